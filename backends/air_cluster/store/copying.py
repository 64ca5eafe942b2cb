"""Copies into mapped memory, by more than one thread where that pays.

One thread copies warm pages at about 9 GB/s on the reference machine and two at 13; page
faults on fresh pages limit a thread to 1.1 GB/s, and a system call that fills them, one at
a time in a segment, to 2.3.

For copies of about 100 MB and more the C library writes past the cache, at 15 GB/s; but at
4 where the target lies a little higher within its page than the source does, because the
processor then takes each load for one of a store before it. Fresh numpy arrays start 16
bytes into a page, hence large buffers are laid out on pages; what is ill placed all the
same is copied in pieces.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

_RELEASE_GIL_BYTES = 1 << 20
_SYSTEM_CALL_BYTES = 1 << 17
_SHARE_BYTES = 16 << 20  # starting a thread costs as much as copying 1 MiB
_MOST_THREADS = 4
_PAGE = 4096
_ILL_PLACED = 1024  # bytes that the target is higher within its page
_PIECE_BYTES = 32 << 20
_SYSTEM_CALL_SPEED = 2  # in threads that fault pages in
_BUFFER_BYTES = 1 << 20  # is still in the processor's cache when it is read again


def copy(target: memoryview, data: memoryview) -> None:
    """Copy *data* to *target*, contiguous bytes of one size.

    Lets other threads of the process go on during a large copy.
    """
    if data.nbytes < _RELEASE_GIL_BYTES:
        target[:] = data
    else:
        _together(_copies(target, data, _threads_for(data.nbytes)))


def fill(fd: int, offset: int, target: memoryview, data: memoryview) -> None:
    """:func:`copy` to pages that were never used before.

    Args:
        fd, offset: where *target* is in a file that is mapped there.
    """
    if data.nbytes < _SYSTEM_CALL_BYTES:
        target[:] = data
        return
    faulting = _threads_for(data.nbytes) - 1
    cut = data.nbytes * _SYSTEM_CALL_SPEED // (_SYSTEM_CALL_SPEED + faulting)
    jobs = [partial(_write, fd, offset, data[:cut])]
    if faulting:
        jobs += _copies(target[cut:], data[cut:], faulting)
    _together(jobs)


def pump(nbytes: int, read: Callable[[memoryview], int], fd: int, offset: int) -> None:
    """Write *nbytes* that come in pieces to a file, or to pages that were never used before.

    Args:
        read: puts some bytes, at least one, at the start of the buffer that it is given, and
            returns how many.
        fd, offset: where to.
    """
    if not nbytes:
        return
    if _per_thread.buffer is None:
        _per_thread.buffer = memoryview(bytearray(_BUFFER_BYTES))
    buffer = _per_thread.buffer
    end = offset + nbytes
    while offset < end:
        count = read(buffer[: end - offset])
        _write(fd, offset, buffer[:count])
        offset += count


class _PerThread(threading.local):
    buffer: memoryview | None = None


_per_thread = _PerThread()


def _threads_for(nbytes: int) -> int:
    if nbytes < _SHARE_BYTES:
        return 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cpus or 1, _MOST_THREADS)


def _copies(target: memoryview, data: memoryview, count: int) -> list[partial[None]]:
    step = -(-data.nbytes // count)
    return [
        partial(_copy, target[start : start + step], data[start : start + step])
        for start in range(0, data.nbytes, step)
    ]


def _copy(target: memoryview, data: memoryview) -> None:
    # As fast as an assignment of memoryviews, but without the interpreter's lock.
    import numpy as np

    to, source = np.frombuffer(target, np.uint8), np.frombuffer(data, np.uint8)
    shift = (to.ctypes.data - source.ctypes.data) % _PAGE
    step = _PIECE_BYTES if 0 < shift < _ILL_PLACED else data.nbytes
    for start in range(0, data.nbytes, step):
        np.copyto(to[start : start + step], source[start : start + step])


def _write(fd: int, offset: int, data: memoryview) -> None:
    while data:
        done = os.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done


def _together(jobs: list[partial[None]]) -> None:
    """Run *jobs* at the same time, the first in this thread; all have ended on return."""
    errors: list[BaseException] = []
    threads = []
    own = jobs[:1]
    for job in jobs[1:]:
        thread = threading.Thread(target=_run, args=(job, errors), name="air-copy", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            own.append(job)
        else:
            threads.append(thread)
    try:
        for job in own:
            job()
    finally:
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _run(job: Callable[[], None], errors: list[BaseException]) -> None:
    try:
        job()
    except BaseException as error:  # raised again by the thread that waits
        errors.append(error)
