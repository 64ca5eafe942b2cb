"""Going through a dataset: row by row, or in batches of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self

from air.data.batching.batch_format import check_batch_format
from air.data.batching.batches import Batches
from air.data.batching.cutting import Cut, is_sliced
from air.data.batching.prefetch import prefetched
from air.data.blocks.block import Block, Schema, accessor, require_table, select
from air.data.blocks.handle import BlockHandle
from air.data.budget import current_budget
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number

if TYPE_CHECKING:
    from air.data.consumption import Consumption


@methods_suggest_keywords
class BatchIterator:
    """The part of :class:`air.data.DataIterator` that gives rows and batches."""

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

    def iter_epochs(self, max_epoch: int = -1) -> Iterator[Self]:
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

    def staying(self) -> Self:
        """The same rows, worked out in the process that goes through them, without tasks."""
        return type(self)(self._dataset, stay=True, columns=self._columns)

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

    def _of_columns(self, names: Sequence[str]) -> Self:
        """Goes through these columns only, so that others need not be read."""
        wanted = tuple(dict.fromkeys(names))
        return type(self)(self._dataset.of_columns(wanted), stay=self._stay, columns=wanted)

    def _picked(self, handle: BlockHandle) -> Block:
        block = handle.get()
        table = None if self._columns is None else require_table(block, "select_columns")
        return block if table is None else select(table, self._columns or (), "select_columns")
