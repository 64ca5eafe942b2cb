"""Rebuilds values in place: their arrays lie in the segment that the writer filled."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from air.executor.serialization import loads
from air.executor.tensors import lender
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
        are the arrays, tables and slices that are made from them. Larger tensors of torch are
        views that this process alone may write to.

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
            view = self._mapping(location.segment).view(location.offset, location.nbytes)
        except BaseException:
            on_release()
            raise
        outer, lender.lend = lender.lend, partial(self._lend, location, view)
        try:
            return load(view, location.lengths, on_release, rebuild)
        finally:
            lender.lend = outer

    def _lend(self, location: Location, view: memoryview, content: Any) -> Any:
        """Memory for a tensor of the value in *view*: see ``air.executor.tensors``."""
        from air_cluster.store.private import MIN_BYTES, address_of, private_array

        start = address_of(content.data) - address_of(view)
        if content.nbytes < MIN_BYTES or not 0 <= start <= view.nbytes - content.nbytes:
            return None
        file, _size = self._open_segment(location.segment)
        try:
            return private_array(file, location.offset + start, content)
        except OSError:
            return None  # then it is copied
        finally:
            os.close(file)

    def forget(self, segment: int) -> None:
        """Drop a mapping; values that were read from it stay valid. Unknown ids are fine."""
        mapping = self._mappings.pop(segment, None)
        if mapping is not None:
            mapping.close()

    def close(self) -> None:
        """Drop all mappings; values that were read stay valid."""
        for segment in list(self._mappings):
            self.forget(segment)

    def _mapping(self, segment: int) -> Mapping:
        mapping = self._mappings.get(segment)
        if mapping is None:
            opened = Mapping(*self._open_segment(segment), writable=False)
            mapping = self._mappings.setdefault(segment, opened)
            if mapping is not opened:  # another thread was faster
                opened.close()
        return mapping


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
