"""Where a task goes so that little has to travel: to its largest arguments."""

from __future__ import annotations

from collections.abc import Iterable

WORTH_BYTES = 1 << 20
"""Less than this travels as fast as the head answers where else there is room."""


def node_with_most(held: Iterable[tuple[int, int]], here: int) -> int | None:
    """The node where a task had best run, if that is another one than its caller's.

    Args:
        held: for each large argument the number of the node that holds it, and its bytes.
        here: the number of the caller's node, which is asked first anyway.

    Returns:
        The node that holds most bytes, and at least :data:`WORTH_BYTES` more than *here*; the
        one of several that is named first.
    """
    sizes: dict[int, int] = {}
    for node, nbytes in held:
        sizes[node] = sizes.get(node, 0) + nbytes
    mine = sizes.pop(here, 0)
    best = max(sizes, key=sizes.__getitem__, default=None)
    return best if best is not None and sizes[best] - mine >= WORTH_BYTES else None
