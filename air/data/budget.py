"""How an execution divides its memory budget; see :class:`Budget`."""

from __future__ import annotations

from dataclasses import dataclass

from air.data.context import DataContext
from air.errors import NotInitialized
from air.executor.current import get_executor, is_initialized
from air.executor.resources import CPU, OBJECT_STORE_MEMORY, Resources
from air.executor.streaming import BYTES_AHEAD

_STORE_SHARE = 4
_DEFAULT = 1 << 30

_BLOCKS = 16
"""Blocks for each CPU that the budget holds: what tasks work on, have made, and are making."""

_ENOUGH = 8 << 20
"""Blocks need not be larger than this to be worth a task; there may be fewer tasks instead."""

_SMALLEST_BLOCK = 1 << 20

_TIGHT = 512 << 20
"""Below this, what allocators keep for later use is a large part of the budget."""

_DECODED_BYTES = 48 << 20
"""What readers hold at most of a piece, where they take care: see :meth:`Budget.reading`."""

_DECODED_SHARE = 0.75
"""The part of a budget that a reader may hold, where that is less."""

_KEPT_BYTES = 8 << 20
"""What a process has more after it has worked than before, whatever it gives back."""

_KEPT_PIECE_BYTES = 512 << 10
_SMALL_PIECE_BYTES = 128 << 10
_SMALL = 64 << 20
"""Below this, even the pieces of a few columns that allocators keep are too much."""

_DECODING = 1.5
"""Bytes that a reader holds for each byte of what it decodes in one go."""

_GROWING = 3
"""And how many more for texts, bytes and lists: their memory grows by copying, in large pages."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What all processes together may take for one execution, and for what.

    * Tasks work on pieces of :attr:`piece_bytes`, make blocks of :attr:`block_bytes`, and are
      :attr:`ahead_bytes` ahead.
    * Blocks for which others must be there first (:attr:`waiting_bytes`) are in memory, and the
      rest of them in files.
    * How many tasks run at a time follows from what each takes: what it reads (:meth:`reading`),
      two copies of what it works on, and what it gives.

    What processes take that do nothing, interpreters and libraries, comes on top.

    Attributes:
        total_bytes: all together.
        cpus: how many tasks may compute at the same time.
        block_bytes: how large the blocks may be that are made; larger ones are divided.
    """

    total_bytes: int
    cpus: int
    block_bytes: int

    @staticmethod
    def of(total_bytes: int, cpus: int, largest_block: int) -> Budget:
        """Divide so many bytes.

        Args:
            largest_block: bytes of a block, if there is memory enough.
        """
        wanted = max(total_bytes // (_BLOCKS * cpus), min(_ENOUGH, total_bytes // (2 * _BLOCKS)))
        return Budget(total_bytes, cpus, min(largest_block, max(wanted, _SMALLEST_BLOCK)))

    @property
    def is_tight(self) -> bool:
        """Whether memory that is not used is to go back to the system at once."""
        return self.total_bytes < _TIGHT

    @property
    def kept_bytes(self) -> int:
        """Bytes that processes keep when they have worked, which do not count where much is."""
        return min(self.cpus * _KEPT_BYTES, self.total_bytes // 4) if self.is_tight else 0

    @property
    def kept_piece_bytes(self) -> int | None:
        """How large pieces of freed memory are that processes keep; ``None`` for as they like.

        A process has few of them free at a time, and to have them anew takes half of the time of
        some operators.
        """
        if not self.is_tight:
            return None
        return _SMALL_PIECE_BYTES if self.total_bytes < _SMALL else _KEPT_PIECE_BYTES

    @property
    def piece_bytes(self) -> int:
        """What is read is worked on in pieces of so many bytes at most, if it can be divided."""
        return max(self.block_bytes, self.total_bytes // 8)

    def is_large(self, block_bytes: int) -> bool:
        """Whether a block of so many bytes, which was asked for, is one of few that fit."""
        return self.is_tight and block_bytes > self.piece_bytes

    @property
    def ahead_bytes(self) -> int:
        """Bytes that tasks may have yielded before they wait."""
        return min(self.block_bytes, BYTES_AHEAD)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of blocks that may wait in memory for others."""
        tasks = 2 * self.cpus * (3 * self.block_bytes + self._decoded_bytes // 2)
        return max(min(self.total_bytes - tasks, self.total_bytes // 2), self.total_bytes // 8)

    def beside(self, apart_bytes: int) -> int:
        """Bytes for tasks and what they give, beside blocks that wait elsewhere."""
        return max(self.total_bytes - self.kept_bytes - apart_bytes, self.total_bytes // 2)

    def reading(self, size_bytes: int | None) -> int:
        """Bytes that are held while a piece of so many bytes is read."""
        if not self.is_tight:
            return self.block_bytes if size_bytes is None else size_bytes
        if size_bytes is None:
            return self._decoded_bytes
        return min(round(size_bytes * _DECODING), self._decoded_bytes)

    def decodes_whole(self, size_bytes: int, largest_varying: int = 0) -> bool:
        """Whether a reader that takes care may decode so many bytes in one go.

        Args:
            largest_varying: bytes of the largest column whose values are not all as long.
        """
        held = max(size_bytes * _DECODING, size_bytes + largest_varying * _GROWING)
        return held <= self._decoded_bytes

    @property
    def _decoded_bytes(self) -> int:
        return min(_DECODED_BYTES, int(self.total_bytes * _DECODED_SHARE))


def current_budget() -> Budget:
    """The budget of an execution that begins now in this process."""
    context = DataContext.get_current()
    supply = _supply()
    total = context.memory_budget
    if total is None:
        total = int(supply.get(OBJECT_STORE_MEMORY, 0)) // _STORE_SHARE or _DEFAULT
    return Budget.of(total, max(int(supply.get(CPU, 1)), 1), context.target_max_block_size)


def _supply() -> Resources:
    """What the backend has; nothing if there is none."""
    if not is_initialized():
        return Resources()
    try:
        return Resources(get_executor().cluster_resources())
    except NotInitialized:
        # A process that was forked, as workers of a DataLoader are: it cannot ask, and works alone.
        return Resources()
