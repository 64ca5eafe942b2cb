"""Going through a dataset: row by row, or in batches of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from air.data.batching.batch_format import check_batch_format
from air.data.batching.batches import Batches
from air.data.batching.cutting import Cut, is_sliced
from air.data.batching.prefetch import prefetched
from air.data.blocks.block import Block, Schema, accessor, require_table, select
from air.data.blocks.handle import BlockHandle
from air.data.budget import current_budget
from air.data.viewing.shown import head
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag, check_number

if TYPE_CHECKING:
    from air.data.consumption import Consumption


@methods_suggest_keywords
class DataIterator:
    """Goes through the rows of a dataset, any number of times.

    It can be sent to tasks and actors; the data is worked out where it is iterated.
    """

    def __init__(
        self, dataset: Consumption, *, stay: bool = False, columns: Sequence[str] | None = None
    ) -> None:
        """Use ``Dataset.iterator()`` or ``Dataset.streaming_split()``.

        With *stay* the work is done in the iterating process, without tasks. Only *columns* are
        given out, if there are any.
        """
        self._dataset = dataset
        self._stay = stay
        self._columns = columns

    def iter_rows(self) -> Iterator[Any]:
        """The rows in order: dictionaries of Python values, or plain objects."""
        with closing(self._dataset.run(stay=self._stay, any_blocks=True)) as handles:
            for handle in handles:
                yield from accessor(self._picked(handle)).rows()

    def iter_epochs(self, max_epoch: int = -1) -> Iterator[DataIterator]:
        """This iterator, once for each epoch; each use of it goes through the rows once.

        Args:
            max_epoch: how often; without end if -1.
        """
        most = int(check_number(max_epoch, "iter_epochs: max_epoch", minimum=-1, integer=True))
        return itertools.repeat(self) if most < 0 else itertools.repeat(self, most)

    def iter_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        batch_format: str = "default",
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches, in order.

        Args:
            prefetch_batches: batches to make ahead in a thread where the data comes from other
                processes; 0 for none. Where batches are slices of numbers that are there, which
                takes less than to hand them over, the rows of so many are fetched ahead.
            batch_size: rows of each batch, save the last; ``None`` takes blocks as they come.
            batch_format: ``"default"`` and ``"numpy"`` give dictionaries of arrays (a list and
                an array for plain objects), ``"pandas"`` a DataFrame, ``"polars"`` one of
                Polars, ``"pyarrow"`` a table.
                Arrays and frames are the caller's own and may be changed.
            drop_last: leave out a last batch with fewer rows.
            local_shuffle_buffer_size: draw each row from about this many that are at hand,
                instead of in order.
            local_shuffle_seed: of that drawing; fresh each time if ``None``.

        Raises:
            InvalidOption: an unknown format, a size below 1, or a shuffle seed without buffer.
        """
        check_batch_format(batch_format)
        options = Batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
        return self.iterate(
            options,
            lambda cut: cut.to_batch(batch_format),
            slices=lambda schema: is_sliced(schema, batch_format),
        )

    def iter_torch_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        dtypes: Any = None,
        device: Any = None,
        collate_fn: Callable[[Any], Any] | None = None,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches of tensors, in order.

        A batch is a dictionary of tensors, and one tensor for plain objects. A column of lists,
        and one of arrays with different shapes, is a list of tensors. Whole numbers with missing
        values come as floats with NaN in their place.

        Args:
            prefetch_batches, batch_size, drop_last, local_shuffle_buffer_size,
                local_shuffle_seed: as for :meth:`iter_batches`.
            dtypes: a ``torch.dtype`` for all tensors, or a dictionary of them by column; as the
                columns are where there is none.
            device: to put the tensors on; left in memory if ``None``.
            collate_fn: makes a batch of a dictionary of arrays (a list, for plain objects) in
                place of all this, in the thread that makes batches ahead.

        Raises:
            InvalidOption: as :meth:`iter_batches` does, and for *dtypes* or *device* that torch
                does not know, or that are given beside a *collate_fn*.
            TypeError: *collate_fn* is no function.
            UnsupportedValue: a column that holds no numbers; names it.
            ImportError: torch is not installed.
        """
        if collate_fn is None:
            from air.data.torch.tensors import Tensors

            make = Tensors("iter_torch_batches", dtypes, device).of_cut
        elif not callable(collate_fn):
            raise TypeError(
                "iter_torch_batches: collate_fn must be a function of a batch, got"
                f" {collate_fn!r:.80}"
            )
        elif dtypes is not None or device is not None:
            raise InvalidOption(
                "iter_torch_batches: a collate_fn decides by itself; leave dtypes and device out"
            )
        else:

            def make(cut: Cut) -> Any:
                return collate_fn(cut.to_batch("default"))

        options = Batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
        return self.iterate(options, make)

    def iter_tf_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        dtypes: Any = None,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches of TensorFlow's tensors, in order.

        A batch is a dictionary of tensors, and one tensor for plain objects. Arrays of one shape
        are one tensor with a dimension more, lists a ``tf.RaggedTensor``, text and bytes
        ``tf.string``, which is UTF-8. Missing numbers are NaN, and whole numbers beside them
        floats.

        Args:
            prefetch_batches, batch_size, drop_last, local_shuffle_buffer_size,
                local_shuffle_seed: as for :meth:`iter_batches`.
            dtypes: a ``tf.DType`` for all tensors, or a dictionary of them by column; as the
                columns are where there is none.

        Raises:
            InvalidOption: as :meth:`iter_batches` does, and for *dtypes* that are none.
            UnsupportedValue: a column holds neither numbers nor text, has missing values that
                are no numbers, or cannot become what *dtypes* says; names it.
            ImportError: TensorFlow is not installed.
        """
        from air.data.tensorflow.tensors import Tensors

        tensors = Tensors("iter_tf_batches", dtypes)
        options = Batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
        return self.iterate(options, lambda cut: tensors.of_rows(cut.rows()))

    def to_torch(
        self,
        *,
        label_column: str | None = None,
        feature_columns: Any = None,
        label_column_dtype: Any = None,
        feature_column_dtypes: Any = None,
        batch_size: int | None = 1,
        prefetch_batches: int = 1,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
        unsqueeze_label_tensor: bool = True,
        unsqueeze_feature_tensors: bool = True,
    ) -> Any:
        """A ``torch.utils.data.IterableDataset`` of ``(features, label)``, batch by batch.

        Give it to a ``DataLoader(..., batch_size=None)``: batches are made here, and
        *prefetch_batches* ahead, so that workers of a loader are seldom worth their while. Each of
        them works out all rows by itself, and makes its share of the batches; it cannot fetch
        blocks that a cluster holds. It has a length if the number of rows is known without
        running anything.

        Args:
            label_column: its tensor is the label, which is ``None`` without.
            feature_columns: a list of columns gives one tensor of them side by side, with the
                shape ``(N, columns)``; a list of lists a list of tensors; a dictionary of lists a
                dictionary of tensors. All but the label, for one tensor, if ``None``.
            label_column_dtype: a ``torch.dtype``.
            feature_column_dtypes: one for all, or in the form of *feature_columns*.
            batch_size, prefetch_batches, drop_last, local_shuffle_buffer_size,
                local_shuffle_seed: as for :meth:`iter_batches`.
            unsqueeze_label_tensor: give labels the shape ``(N, 1)`` in place of ``(N,)``.
            unsqueeze_feature_tensors: give a column of features that stands alone the shape
                ``(N, 1)`` in place of ``(N,)``.

        Raises:
            InvalidOption: *feature_columns* or the dtypes do not have these forms.
            ColumnNotFound: it is known that a column is not there.
            UnsupportedValue: the rows are plain objects; while it is gone through: columns hold
                no numbers, arrays of different shapes, or cannot be put side by side.
            ImportError: torch is not installed.
        """
        check_flag(unsqueeze_label_tensor, "to_torch: unsqueeze_label_tensor")
        check_flag(unsqueeze_feature_tensors, "to_torch: unsqueeze_feature_tensors")
        from air.data.torch.features import Features
        from air.data.torch.iterable import IterableBatches

        features = Features(
            label_column,
            feature_columns,
            label_column_dtype,
            feature_column_dtypes,
            unsqueeze_label=unsqueeze_label_tensor,
            unsqueeze_features=unsqueeze_feature_tensors,
        )
        self._dataset.check_columns(features.columns, "to_torch")
        options = Batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
        # Without names all columns are features.
        wanted = self if feature_columns is None else self._of_columns(features.columns)
        return IterableBatches(wanted, options, features)

    def to_tf(
        self,
        feature_columns: str | Sequence[str],
        label_columns: str | Sequence[str],
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 1,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Any:
        """A ``tf.data.Dataset`` of ``(features, labels)``, batch by batch, for ``model.fit``.

        Its signature is that of the schema, which is that of the first block where nothing else
        is known: :meth:`iter_tf_batches` says which tensors columns become. Sizes that differ,
        and the rows of a batch unless *drop_last* is set, are ``None``. It knows its length if
        the number of rows is known without running anything. It can be gone through any number
        of times, in this process; TensorFlow is told not to shard it, as what a trainer hands to
        its workers is parted already.

        Args:
            feature_columns: a column, for one tensor, or a list of them, for a dictionary.
            label_columns: the same for the labels.
            prefetch_batches, batch_size, drop_last, local_shuffle_buffer_size,
                local_shuffle_seed: as for :meth:`iter_batches`.

        Raises:
            InvalidOption: as :meth:`iter_batches` does, or columns are no names.
            ColumnNotFound: there is no such column.
            UnsuitableData: there are no rows, and nothing is known of their columns.
            UnsupportedValue: a column holds neither numbers nor text, or the rows are plain
                objects. Values that do not fit the signature, such as missing ones among whole
                numbers, end the iteration with an error of TensorFlow that quotes ours.
            ImportError: TensorFlow is not installed.
        """
        from air.data.tensorflow.dataset import Examples, columns_of

        options = Batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
        names = columns_of(feature_columns, label_columns)
        self._dataset.check_columns(names, "to_tf")
        examples = Examples(feature_columns, label_columns, self.schema())
        wanted = self._of_columns(names)
        return examples.dataset(
            lambda: wanted.iterate(options, lambda cut: examples.of_rows(cut.rows())),
            rows=batch_size if drop_last else None,
            count=options.count(self.num_rows()),
        )

    def staying(self) -> DataIterator:
        """The same rows, worked out in the process that goes through them, without tasks."""
        return DataIterator(self._dataset, stay=True, columns=self._columns)

    def num_rows(self) -> int | None:
        """The number of rows if it is known without running anything."""
        return self._dataset.known_rows()

    def schema(self) -> Schema | None:
        """See ``Dataset.schema``."""
        return self._dataset.schema()

    def stats(self) -> str:
        """What the last iteration took, a line for each stage; see ``Dataset.stats``.

        That of a ``streaming_split`` whose parts are dealt out tells of the run for all of them.
        """
        return self._dataset.stats()

    def iterate(
        self,
        options: Batches,
        make: Callable[[Cut], Any],
        *,
        slices: Callable[[Schema | None], bool] | None = None,
    ) -> Iterator[Any]:
        """Batches as *make* makes them, for code that adds a kind of them.

        They are made ahead, in a thread, if blocks come from elsewhere and are not so large that
        there is hardly memory for two. What runs in this process stays in the calling thread,
        where a debugger can stop in it.

        Args:
            slices: whether making a batch of rows with that schema takes next to nothing, so that
                only blocks are fetched ahead.
        """
        any_blocks = options.batch_size is not None and not options.mixes
        with closing(self._dataset.run(stay=self._stay, any_blocks=any_blocks)) as handles:
            first = next(handles, None)
            if first is None:
                return
            schema, ahead = first.metadata.schema, options.prefetch_batches
            if first.is_here or current_budget().is_large(first.size_bytes):
                ahead = 0
            begun = [first]
            del first  # no block is kept here while the next is made

            def blocks() -> Iterator[Block]:
                yield self._picked(begun.pop())
                yield from map(self._picked, handles)

            def made(found: Iterator[Block]) -> Iterator[Any]:
                return map(make, options.of_blocks(found))

            if not ahead:
                yield from made(blocks())
            elif slices is None or options.mixes or not slices(schema):
                yield from prefetched(lambda: made(blocks()), ahead)
            else:
                rows = ahead * (options.batch_size or 1)
                with closing(prefetched(blocks, rows, len)) as fetched:
                    yield from made(fetched)

    def _of_columns(self, names: Sequence[str]) -> DataIterator:
        """Goes through these columns only, so that others need not be read."""
        wanted = tuple(dict.fromkeys(names))
        return DataIterator(self._dataset.of_columns(wanted), stay=self._stay, columns=wanted)

    def _picked(self, handle: BlockHandle) -> Block:
        block = handle.get()
        table = None if self._columns is None else require_table(block, "select_columns")
        return block if table is None else select(table, self._columns or (), "select_columns")

    def __repr__(self) -> str:
        return f"DataIterator({head(self._dataset)})"
