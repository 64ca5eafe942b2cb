"""Parts of a segment that a process may write to without anybody else seeing it.

The system copies each page when it is first written to (``MAP_PRIVATE``), and none before. Python's
own ``mmap`` keeps a descriptor for each mapping before version 3.13, and a program may have
thousands of tensors, so the C library is asked directly.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

from air_cluster.store.segment import PAGE

MIN_BYTES = 256 << 10
"""To map less takes as long as to copy it."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value


class _Private:
    """A mapping, for numpy to make an array of; it ends with that.

    Args:
        content: is kept alive, for as long as its memory is not to be used for another value.
    """

    def __init__(self, file: int, offset: int, content: Any) -> None:
        skipped = offset % PAGE
        self._nbytes = skipped + content.nbytes
        self._content = content
        self._address = _libc.mmap(
            None, self._nbytes, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE,
            file, offset - skipped,
        )  # fmt: skip
        if self._address == _FAILED:
            raise OSError(ctypes.get_errno(), "no memory can be mapped")
        self.__array_interface__ = {
            "data": (self._address + skipped, False),
            "shape": (content.nbytes,),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        if self._address != _FAILED:
            _libc.munmap(self._address, self._nbytes)


def private_array(file: int, offset: int, content: Any) -> Any:
    """An array of the same bytes as *content*, which lies at *offset* of a segment.

    Args:
        file: a descriptor of the segment; not needed any more afterwards.

    Raises:
        OSError: there are too many mappings, or there is no address space.
    """
    return np.asarray(_Private(file, offset, content))


def address_of(view: memoryview) -> int:
    """Where memory lies."""
    found: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return found
