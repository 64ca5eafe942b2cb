"""What making a block took, measured where it was made."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass

_PAGE_BYTES = resource.getpagesize()
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What making a block took.

    Attributes:
        seconds: of time that went by.
        cpu_seconds: of all threads of the process.
        peak_bytes: memory of the process. Its highest while the block was made if it had never
            been as high before, otherwise what it was when the block was there.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


QUICK_SECONDS = 0.001
"""Asking the system for time and memory takes more than a tenth of this in some places."""


class Meter:
    """Measures from when it is made to :meth:`read`."""

    __slots__ = ("_cpu", "_highest", "_light", "_started")

    def __init__(self, *, light: bool = False) -> None:
        """With *light* only the time is measured, and taken for that of the CPU."""
        self._light = light
        if not light:
            self._highest = _highest_bytes()
            self._cpu = time.process_time()
        self._started = time.perf_counter()

    def read(self) -> Cost:
        """What has been used by now."""
        seconds = time.perf_counter() - self._started
        if self._light:
            return Cost(seconds, seconds)
        cpu = time.process_time() - self._cpu
        highest = _highest_bytes()
        return Cost(seconds, cpu, highest if highest > self._highest else _bytes_now(highest))


def _highest_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


def _bytes_now(otherwise: int) -> int:
    with contextlib.suppress(OSError):  # Linux alone has it
        file = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            return int(os.read(file, 128).split()[1]) * _PAGE_BYTES
        finally:
            os.close(file)
    return otherwise
