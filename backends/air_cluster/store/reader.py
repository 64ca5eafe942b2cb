"""Rebuilds values in place: their arrays lie in the segment that the writer filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from air.executor.serialization import loads
from air_cluster.store import layout
from air_cluster.store.layout import Location
from air_cluster.store.segment import Mapping


class Reader:
    """Reads values from segments, each mapped once, read-only. Thread-safe.

    Args:
        open_segment: gives the descriptor, which the reader takes over, and the size in
            bytes of the segment with this id. May block; what it raises leaves :meth:`load`
            as it is.
    """

    def __init__(self, open_segment: Callable[[int], tuple[int, int]]) -> None:
        self._open_segment = open_segment
        self._mappings: dict[int, Mapping] = {}

    def load(
        self,
        location: Location,
        on_release: Callable[[], None],
        rebuild: Callable[..., Any] = loads,
    ) -> Any:
        """Rebuild the value at *location*, whose range must stay as it is until *on_release*.

        Out-of-band buffers are not copied: they are read-only views of the segment, and so
        are the arrays, tables and slices that are made from them.

        Args:
            on_release: called exactly once. A value with out-of-band buffers: when the last
                of them is garbage. A value without: before this returns. A load that
                raises: at the latest when its exception is garbage. It runs in whichever
                thread drops the buffer, possibly in a garbage collection in the middle of
                any other code, at interpreter exit, and again in a child that user code
                forked: it must not block, take a lock that is held while objects are
                made, or raise.
            rebuild: makes the value of its stream and its buffers.

        Raises:
            ValueError: the range is not inside the segment.
        """
        try:
            view = self._view(location)
        except BaseException:
            on_release()
            raise
        return load(view, location.lengths, on_release, rebuild)

    def forget(self, segment: int) -> None:
        """Drop a mapping; values that were read from it stay valid. Unknown ids are fine."""
        mapping = self._mappings.pop(segment, None)
        if mapping is not None:
            mapping.close()

    def close(self) -> None:
        """Drop all mappings; values that were read stay valid."""
        for segment in list(self._mappings):
            self.forget(segment)

    def _view(self, location: Location) -> memoryview:
        mapping = self._mappings.get(location.segment)
        if mapping is None:
            opened = Mapping(*self._open_segment(location.segment), writable=False)
            mapping = self._mappings.setdefault(location.segment, opened)
            if mapping is not opened:  # another thread was faster
                opened.close()
        return mapping.view(location.offset, location.nbytes)


def load(
    view: memoryview,
    lengths: Sequence[int],
    on_release: Callable[[], None],
    rebuild: Callable[..., Any] = loads,
) -> Any:
    """Rebuild the value in *view*: see :meth:`Reader.load`.

    Args:
        lengths: as in :class:`Location`.
    """
    if len(lengths) == 1:
        try:
            return rebuild(view, ())
        finally:
            on_release()
    try:
        from air_cluster.store.pins import pinned

        view = pinned(view, on_release)
    except BaseException:
        on_release()
        raise
    return rebuild(*layout.split(view, lengths))
