"""How much of a file is read at a time where memory is short."""

from __future__ import annotations

from air.data.budget import Budget

_SMALLEST = 64 << 10
_UNPACKED = 5
"""Bytes of text for each byte of a compressed file, as a rule."""


def portion(budget: Budget | None, usual: int, held: int) -> int:
    """How many bytes to take at a time.

    Args:
        budget: what memory there is; ``None`` for enough.
        usual: how many to take if there is enough.
        held: how many a reader holds for each of them while it makes rows of them.
    """
    if budget is None or not budget.is_tight:
        return usual
    return min(usual, max(budget.piece_bytes // held, _SMALLEST))


def is_taken_whole(budget: Budget, size: int, held: int, *, is_compressed: bool) -> bool:
    """Whether a file of so many bytes may be in memory at once, where it has to be parsed for that.

    Args:
        size: of the file; negative if it is not known.
        held: as for :func:`portion`.
    """
    content = size * _UNPACKED if is_compressed else size
    if size < 0:
        return False
    if budget.is_tight:
        return content <= budget.block_bytes
    return content * held <= budget.total_bytes // budget.cpus
