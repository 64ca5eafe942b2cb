"""Arrow arrays that show a part of their buffers, pickled with that part alone.

Slicing an Arrow array copies nothing: the slice has all the buffers, and pyarrow pickles them
whole. Here each buffer is cut to what the slice shows. That copies nothing either, save offsets,
which must begin at 0 again.

An array is described as pyarrow pickles it: its type, length, number of nulls (-1 if that is not
known), offset, buffers, children and dictionary. A *window* are its elements from a place on,
counted from the beginning of the buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from air.executor.slices import Shared

Data = tuple[Any, int, int, int, list[Any], list[Any], Any]

_VIEW = np.dtype([("size", "<i4"), ("prefix", "<i4"), ("buffer", "<i4"), ("offset", "<i4")])
_VIEW_INLINE_MAX = 12  # a text that is no longer lies in the view itself


def reduce_array(array: Any, shared: Shared) -> Any:
    """What ``__reduce__`` would say of an array, with no more of its buffers than it shows.

    Args:
        shared: the buffers that are in the same pickle already; more are added.
    """
    restore, (data,) = array.__reduce__()
    return restore, (_cut(data, data[3], data[1], shared),)


def _cut(data: Data, start: int, length: int, shared: Shared) -> Data:
    """The description of a window."""
    kind, whole, nulls, offset, buffers, children, dictionary = data
    layout = kind
    while isinstance(layout, pa.BaseExtensionType):
        layout = layout.storage_type
    if (start, length) != (offset, whole):
        nulls = length if layout.id == pa.lib.Type_NA else 0 if buffers[0] is None else -1
    window = _Window(data, layout, start, length, shared)
    offset, buffers, children = _CUTTERS.get(layout.id, _fixed)(window)
    buffers = [
        None if buffer is None else shared.setdefault((buffer.address, buffer.size), buffer)
        for buffer in buffers
    ]
    if dictionary is not None:
        dictionary = _cut(dictionary, dictionary[3], dictionary[1], shared)
    return kind, length, nulls, offset, buffers, children, dictionary


class _Window:
    """A window, and the elements before it that have to come along.

    Bits are cut at whole bytes. So where elements have a bit that says whether they are null,
    up to seven more stay in front (*lead*), in all the other buffers as well.
    """

    __slots__ = ("buffers", "children", "first", "layout", "lead", "length", "shared", "start")

    def __init__(self, data: Data, layout: Any, start: int, length: int, shared: Shared) -> None:
        self.buffers, self.children = data[4], data[5]
        self.layout = layout
        self.start, self.length, self.shared = start, length, shared
        has_bits = layout.id == pa.lib.Type_BOOL or self.buffers[0] is not None
        self.lead = start % 8 if has_bits else 0
        self.first = start - self.lead

    @property
    def total(self) -> int:
        return self.lead + self.length

    def bits(self, index: int) -> Any:
        end = self.start + self.length
        return _part(self.buffers[index], self.first // 8, (end + 7) // 8)

    def bytes(self, index: int, width: int) -> Any:
        return _part(self.buffers[index], self.first * width, (self.first + self.total) * width)

    def numbers(self, index: int, dtype: Any, more: int = 0) -> np.ndarray[Any, Any]:
        """As many numbers as there are elements, and a few more behind them."""
        if not self.total + more or self.buffers[index] is None:  # only an empty one has none
            return np.zeros(self.total + more, dtype)
        at = self.first * np.dtype(dtype).itemsize
        return np.frombuffer(self.buffers[index], dtype, self.total + more, at)

    def child(self, index: int, start: int, length: int) -> Data:
        """A window of a child, from a place in its elements on."""
        child = self.children[index]
        return _cut(child, child[3] + start, length, self.shared)


_Parts = tuple[int, list[Any], list[Any]]  # offset, buffers, children


def _part(buffer: Any, start: int, end: int) -> Any:
    if buffer is None or (start == 0 and end >= buffer.size):
        return buffer
    return buffer.slice(start, min(end, buffer.size) - start)


def _fixed(window: _Window) -> _Parts:
    """Numbers, times, keys of dictionaries: so many bytes each."""
    try:
        width, rest = divmod(window.layout.bit_width, 8)
    except ValueError:
        rest = 1
    if rest:  # we know nothing of such a type: it stays whole
        return window.start, window.buffers, window.children
    return window.lead, [window.bits(0), window.bytes(1, width)], []


def _booleans(window: _Window) -> _Parts:
    return window.lead, [window.bits(0), window.bits(1)], []


def _nothing(window: _Window) -> _Parts:
    return 0, window.buffers, []


def _struct(window: _Window) -> _Parts:
    children = [
        window.child(index, window.first, window.total) for index in range(len(window.children))
    ]
    return window.lead, [window.bits(0)], children


def _offsets(window: _Window, dtype: Any) -> tuple[Any, int, int]:
    """The offsets, beginning at 0, and where they began and ended."""
    if window.buffers[1] is None or not window.length:
        return pa.py_buffer(np.zeros(window.total + 1, dtype)), 0, 0
    found = window.numbers(1, dtype, 1)
    begin, end = int(found[window.lead]), int(found[-1])
    if begin == 0:
        width = np.dtype(dtype).itemsize
        at = window.first * width
        return _part(window.buffers[1], at, at + found.nbytes), begin, end
    return pa.py_buffer(np.maximum(found - found.dtype.type(begin), 0)), begin, end


def _text(dtype: Any) -> Callable[[_Window], _Parts]:
    def cut(window: _Window) -> _Parts:
        offsets, begin, end = _offsets(window, dtype)
        return window.lead, [window.bits(0), offsets, _part(window.buffers[2], begin, end)], []

    return cut


def _lists(dtype: Any) -> Callable[[_Window], _Parts]:
    def cut(window: _Window) -> _Parts:
        offsets, begin, end = _offsets(window, dtype)
        return window.lead, [window.bits(0), offsets], [window.child(0, begin, end - begin)]

    return cut


def _fixed_lists(window: _Window) -> _Parts:
    size = window.layout.list_size
    child = window.child(0, window.first * size, window.total * size)
    return window.lead, [window.bits(0)], [child]


def _list_views(dtype: Any) -> Callable[[_Window], _Parts]:
    def cut(window: _Window) -> _Parts:
        offsets, sizes = window.numbers(1, dtype).copy(), window.numbers(2, dtype).copy()
        sizes[: window.lead] = 0
        used = sizes > 0
        offsets[~used] = 0
        begin = end = 0
        if used.any():
            begin, end = int(offsets[used].min()), int((offsets + sizes)[used].max())
            offsets[used] -= begin
        buffers = [window.bits(0), pa.py_buffer(offsets), pa.py_buffer(sizes)]
        return window.lead, buffers, [window.child(0, begin, end - begin)]

    return cut


def _text_views(window: _Window) -> _Parts:
    views, bits, texts = window.numbers(1, _VIEW), window.bits(0), window.buffers[2:]
    apart = views["size"] > _VIEW_INLINE_MAX
    apart[: window.lead] = False
    if bits is not None:  # what a null points to, nobody knows
        apart &= np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[: window.total] > 0
    if 2 * int(views["size"][apart].sum()) >= sum(text.size for text in texts):
        return window.lead, [bits, window.bytes(1, _VIEW.itemsize), *texts], []
    views = np.where(apart | (views["size"] <= _VIEW_INLINE_MAX), views, np.zeros(1, _VIEW))
    cut = []
    for index, text in enumerate(texts):
        here = apart & (views["buffer"] == index)
        begin = end = 0
        if here.any():
            begin = int(views["offset"][here].min())
            end = int((views["offset"] + views["size"])[here].max())
            views["offset"][here] -= begin
        cut.append(_part(text, begin, end))
    return window.lead, [bits, pa.py_buffer(views.view(np.uint8)), *cut], []


def _sparse_union(window: _Window) -> _Parts:
    _, _, children = _struct(window)
    return 0, [None, window.bytes(1, 1)], children


def _dense_union(window: _Window) -> _Parts:
    kinds, offsets = window.numbers(1, np.int8), window.numbers(2, np.int32).copy()
    children = []
    for index, code in enumerate(window.layout.type_codes):
        here = kinds == code
        begin = end = 0
        if here.any():
            begin, end = int(offsets[here].min()), int(offsets[here].max()) + 1
            offsets[here] -= begin
        children.append(window.child(index, begin, end - begin))
    return 0, [None, window.bytes(1, 1), pa.py_buffer(offsets)], children


def _run_ends(window: _Window) -> _Parts:
    kind, count, _, offset, buffers, _, _ = window.children[0]
    width = kind.bit_width // 8
    ends = np.frombuffer(buffers[1], f"<i{width}", count, offset * width) if count else np.zeros(0)
    first = last = 0
    if window.length:
        first = int(np.searchsorted(ends, window.start, "right"))
        last = int(np.searchsorted(ends, window.start + window.length - 1, "right")) + 1
    cut = np.minimum(ends[first:last] - window.start, window.length).astype(f"<i{width}")
    runs: Data = (kind, last - first, 0, 0, [None, pa.py_buffer(cut)], [], None)
    return 0, [None], [runs, window.child(1, first, last - first)]


_CUTTERS: dict[int, Callable[[_Window], _Parts]] = {
    pa.lib.Type_NA: _nothing,
    pa.lib.Type_BOOL: _booleans,
    pa.lib.Type_STRING: _text(np.int32),
    pa.lib.Type_BINARY: _text(np.int32),
    pa.lib.Type_LARGE_STRING: _text(np.int64),
    pa.lib.Type_LARGE_BINARY: _text(np.int64),
    pa.lib.Type_STRING_VIEW: _text_views,
    pa.lib.Type_BINARY_VIEW: _text_views,
    pa.lib.Type_LIST: _lists(np.int32),
    pa.lib.Type_MAP: _lists(np.int32),
    pa.lib.Type_LARGE_LIST: _lists(np.int64),
    pa.lib.Type_LIST_VIEW: _list_views(np.int32),
    pa.lib.Type_LARGE_LIST_VIEW: _list_views(np.int64),
    pa.lib.Type_FIXED_SIZE_LIST: _fixed_lists,
    pa.lib.Type_STRUCT: _struct,
    pa.lib.Type_SPARSE_UNION: _sparse_union,
    pa.lib.Type_DENSE_UNION: _dense_union,
    pa.lib.Type_RUN_END_ENCODED: _run_ends,
}
