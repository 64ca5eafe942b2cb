"""What workers print, line by line."""

from __future__ import annotations

import os
from collections.abc import Callable

from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

_READ_BYTES = 64 << 10
_MAX_LINE_BYTES = 64 << 10


class LogPipe:
    """Reads a worker's standard output or error; passes on whole lines."""

    def __init__(self, reactor: Reactor, fd: int, on_text: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._reactor = reactor
        self._fd = fd
        self._on_text = on_text
        self._rest = b""
        self._read_bytes = 0
        self._finished = False
        reactor.register(self, READ)

    def fileno(self) -> int:
        """The pipe's descriptor."""
        return self._fd

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._finish()
            return
        self._read_bytes += len(data)
        text = self._rest + data
        end = text.rfind(b"\n") + 1
        if len(text) - end > _MAX_LINE_BYTES:
            end = len(text)  # no sense in keeping a line of that length together
        self._rest = text[end:]
        if end:
            self._on_text(text[:end])

    def read(self) -> None:
        """Pass on all that was printed so far."""
        while not self._finished:
            before = self._read_bytes
            self.on_events(0)
            if self._read_bytes == before:
                break

    def drain(self) -> None:
        """Pass on all that was printed so far, and no more after that."""
        self.read()
        if not self._finished:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        self._reactor.unregister(self)
        os.close(self._fd)
        if self._rest:
            self._on_text(self._rest + b"\n")
