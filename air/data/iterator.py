"""Going through a dataset: its rows, batches of them, and tensors of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from air.data.batch_iterator import BatchIterator
from air.data.batching.batches import Batches
from air.data.batching.cutting import Cut
from air.data.viewing.shown import head
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag


@methods_suggest_keywords
class DataIterator(BatchIterator):
    """Goes through the rows of a dataset, any number of times.

    It can be sent to tasks and actors; the data is worked out where it is iterated.
    """

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

    def __repr__(self) -> str:
        return f"DataIterator({head(self._dataset)})"
