"""Going through a dataset: row by row, or in batches of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from air.data.batch_format import check_batch_format
from air.data.batching import rebatch, shuffled
from air.data.block import Block, Schema, accessor
from air.data.prefetch import prefetched
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

    def __init__(self, dataset: Consumption, *, stay: bool = False) -> None:
        """Use ``Dataset.iterator()`` or ``Dataset.streaming_split()``.

        With *stay* the work is done in the iterating process, without tasks.
        """
        self._dataset = dataset
        self._stay = stay

    def iter_rows(self) -> Iterator[Any]:
        """The rows in order: dictionaries of Python values, or plain objects."""
        with closing(self._dataset.run(stay=self._stay)) as handles:
            for handle in handles:
                yield from accessor(handle.get()).rows()

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
                processes; 0 for none.
            batch_size: rows of each batch, save the last; ``None`` takes blocks as they come.
            batch_format: ``"default"`` and ``"numpy"`` give dictionaries of arrays (a list and
                an array for plain objects), ``"pandas"`` a DataFrame, ``"pyarrow"`` a table.
                Arrays and frames are the caller's own and may be changed.
            drop_last: leave out a last batch with fewer rows.
            local_shuffle_buffer_size: draw each row from about this many that are at hand,
                instead of in order.
            local_shuffle_seed: of that drawing; fresh each time if ``None``.

        Raises:
            InvalidOption: an unknown format, a size below 1, or a shuffle seed without buffer.
        """
        check_batch_format(batch_format)
        check_flag(drop_last, "drop_last")
        check_number(prefetch_batches, "prefetch_batches", minimum=0, integer=True)
        if batch_size is not None:
            check_number(batch_size, "batch_size", minimum=1, integer=True)
        if local_shuffle_buffer_size is not None:
            check_number(
                local_shuffle_buffer_size, "local_shuffle_buffer_size", minimum=1, integer=True
            )
            if batch_size is None:
                raise InvalidOption("local_shuffle_buffer_size needs a batch_size")
            if local_shuffle_seed is not None:
                check_number(local_shuffle_seed, "local_shuffle_seed", minimum=0, integer=True)
        elif local_shuffle_seed is not None:
            raise InvalidOption("local_shuffle_seed needs a local_shuffle_buffer_size")

        def regrouped(blocks: Iterable[Block]) -> Iterator[Block]:
            if local_shuffle_buffer_size is None or batch_size is None:
                return rebatch(blocks, batch_size, drop_last=drop_last)
            return shuffled(
                blocks,
                batch_size,
                buffer_size=local_shuffle_buffer_size,
                seed=local_shuffle_seed,
                drop_last=drop_last,
            )

        def batches(blocks: Iterable[Block]) -> Iterator[Any]:
            return (accessor(block).to_batch(batch_format) for block in regrouped(blocks))

        return self._made_ahead(batches, prefetch_batches)

    def schema(self) -> Schema | None:
        """See ``Dataset.schema``."""
        return self._dataset.schema()

    def stats(self) -> str:
        """What the last iteration took, a line for each stage."""
        return self._dataset.stats()

    def _made_ahead(
        self, batches: Callable[[Iterable[Block]], Iterator[Any]], ahead: int
    ) -> Iterator[Any]:
        """Batches, made in a thread if blocks come from elsewhere.

        What runs in this process stays in the calling thread, where a debugger can stop in it.
        """
        with closing(self._dataset.run(stay=self._stay)) as handles:
            first = next(handles, None)
            if first is None:
                return

            def made() -> Iterator[Any]:
                return batches(h.get() for h in itertools.chain([first], handles))

            yield from prefetched(made, ahead) if ahead and not first.is_here else made()

    def __repr__(self) -> str:
        return f"DataIterator({self._dataset!r})"
