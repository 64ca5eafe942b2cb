"""Reads what workers print, no faster than the rest of the node can bear."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec

from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

_READ_BYTES = 64 << 10
_MOST_BYTES = 1 << 20
"""Of what was printed by a process that has ended, or will be; a pipe holds much less."""

_BYTES_PER_S = 32 << 20
_LINE_BYTES = 400
"""A line costs as much as so many bytes, because it does to those who show it."""

_BURST_S = 1.0
_PAUSE_S = 0.05


class Meter(msgspec.Struct, eq=False):
    """How many of a node's pipes bring more than they may: these share what there is."""

    throttled: int = 0


class LogPipe:
    """Reads a worker's standard output or error.

    Who prints more than anybody could read has to wait until that was taken, as it would at a
    terminal: so it can neither fill memory nor keep the daemon from its work, and nothing is lost.

    Args:
        on_data: called with what was read.
        on_end: called once when there will be no more.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        meter: Meter,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        os.set_blocking(fd, False)
        self._reactor = reactor
        self._fd = fd
        self._meter = meter
        self._on_data = on_data
        self._on_end = on_end
        self._finished = False
        self._watched = False
        self._throttled = False
        self._paid_until = 0.0
        """When what was read so far has been paid for, at the rate that is allowed."""

    def start(self) -> None:
        """Read from now on."""
        if not (self._watched or self._finished):
            self._watched = True
            self._reactor.register(self, READ)

    def fileno(self) -> int:
        """The pipe's descriptor."""
        return self._fd

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        self._charge(self._read())

    def read(self) -> None:
        """Pass on all that was printed so far."""
        left = _MOST_BYTES
        while left > 0 and not self._finished and (data := self._read()):
            left -= len(data)

    def drain(self) -> None:
        """Pass on all that was printed so far, and no more after that."""
        self.read()
        self._finish()

    def _read(self) -> bytes:
        if self._finished:
            return b""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self._finish()
        return data

    def _charge(self, data: bytes) -> None:
        """Stop reading for a while if this was too much."""
        now = time.monotonic()
        rate = _BYTES_PER_S / max(1, self._meter.throttled)
        cost = (len(data) + _LINE_BYTES * data.count(b"\n")) / rate
        self._paid_until = max(now, self._paid_until) + cost
        ahead = self._paid_until - now
        self._set_throttled(ahead > _BURST_S / 2)
        if ahead > _BURST_S and not self._finished:
            self._watched = False
            self._reactor.unregister(self)
            self._reactor.call_later(max(_PAUSE_S, ahead - _BURST_S), self.start)

    def _set_throttled(self, throttled: bool) -> None:
        throttled = throttled and not self._finished
        self._meter.throttled += throttled - self._throttled
        self._throttled = throttled

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._set_throttled(False)
        if self._watched:
            self._reactor.unregister(self)
        os.close(self._fd)
        self._on_end()
