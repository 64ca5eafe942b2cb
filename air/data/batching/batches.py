"""How the rows of a stream of blocks are put together to batches, as iteration is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from air.data.batching.cutting import Cut, cuts, whole
from air.data.batching.regrouping import shuffled
from air.data.blocks.block import Block
from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The options that all ways to go through batches share.

    Attributes:
        prefetch_batches: made ahead, in a thread.
        batch_size: rows of each, save the last; ``None`` takes blocks as they come.
        drop_last: leave out a last batch with fewer rows.
        local_shuffle_buffer_size: rows among which each is drawn; ``None`` keeps their order.
        local_shuffle_seed: of that drawing.
        share: ``(i, n)`` for batches *i*, *i + n*, ... only; ``None`` for all.

    Raises:
        InvalidOption: a size below 1, a shuffle's seed without a buffer, or *drop_last* where
            batches have no size.
    """

    prefetch_batches: int
    batch_size: int | None
    drop_last: bool
    local_shuffle_buffer_size: int | None
    local_shuffle_seed: int | None
    share: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_flag(self.drop_last, "drop_last")
        check_number(self.prefetch_batches, "prefetch_batches", minimum=0, integer=True)
        if self.batch_size is not None:
            check_number(self.batch_size, "batch_size", minimum=1, integer=True)
        elif self.drop_last:
            raise InvalidOption("drop_last needs a batch_size: blocks come as they are without")
        buffer, seed = self.local_shuffle_buffer_size, self.local_shuffle_seed
        if buffer is not None:
            check_number(buffer, "local_shuffle_buffer_size", minimum=1, integer=True)
            if self.batch_size is None:
                raise InvalidOption("local_shuffle_buffer_size needs a batch_size")
            if seed is not None:
                check_number(seed, "local_shuffle_seed", minimum=0, integer=True)
        elif seed is not None:
            raise InvalidOption("local_shuffle_seed needs a local_shuffle_buffer_size")

    @property
    def mixes(self) -> bool:
        """Whether rows are drawn from a buffer."""
        return self.local_shuffle_buffer_size is not None

    def count(self, rows: int | None) -> int | None:
        """How many batches so many rows make; ``None`` if one of both is not known."""
        if rows is None or self.batch_size is None:
            return None
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def of_blocks(self, blocks: Iterable[Block]) -> Iterator[Cut]:
        """The rows of *blocks*, batch by batch."""
        batches = self._all(blocks)
        if self.share is None:
            return batches
        first, step = self.share
        return itertools.islice(batches, first, None, step)

    def _all(self, blocks: Iterable[Block]) -> Iterator[Cut]:
        if self.local_shuffle_buffer_size is None or self.batch_size is None:
            return cuts(blocks, self.batch_size, drop_last=self.drop_last)
        mixed = shuffled(
            blocks,
            self.batch_size,
            buffer_size=self.local_shuffle_buffer_size,
            seed=self.local_shuffle_seed,
            drop_last=self.drop_last,
        )
        return map(whole, mixed)
