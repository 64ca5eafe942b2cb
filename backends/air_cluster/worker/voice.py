"""In whose name a worker prints: its standard streams, with marks for the daemon between."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TYPE_CHECKING

from air_cluster.client import context
from air_cluster.core.printed import Label, mark

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STREAMS = ((1, "stdout"), (2, "stderr"))
_MAX_NAME = 64


class Voice:
    """Standard output and error of this process.

    A mark goes out before the first text of a task, not with every task: who prints nothing
    pays nothing.

    Attributes:
        job: the program that is served.
        spoke: whether something was printed since :meth:`hush`.
    """

    def __init__(self) -> None:
        self.job = b""
        self.spoke = False
        self._actor = ""
        self._marked = {number: Label() for number, _ in _STREAMS}
        self._spare = {number: os.dup(number) for number, _ in _STREAMS}

    def install(self) -> None:
        """Print by means of this from now on."""
        for number, name in _STREAMS:
            # Handlers of logging may hold what was there before.
            with contextlib.suppress(AttributeError, ValueError, OSError):
                getattr(sys, name).reconfigure(line_buffering=True)
            self._open(number, name)

    def serve(self, job: bytes) -> None:
        """What is printed from now on is for this program, whoever prints it."""
        if job != self.job:
            self.job = job
            for number, _ in _STREAMS:
                self._mark(number, Label(job))

    def become_actor(self, job: bytes, name: str) -> None:
        """From now on an actor prints; the daemon knows that."""
        self.job, self._actor = job, name
        for number, _ in _STREAMS:
            self._marked[number] = Label(job, name)

    def rename_actor(self, instance: object) -> None:
        """The actor was made: if its class says how to call it, it is called that."""
        if type(instance).__repr__ is not object.__repr__:
            with contextlib.suppress(Exception):
                name = repr(instance)
                if name and len(name) <= _MAX_NAME and name.isprintable():
                    self._actor = name

    def speak(self, number: int) -> None:
        """Something is about to be written to this descriptor."""
        name = self._actor
        if not name:
            running = context.current.get()
            # A thread that a task has started has no context.
            name = self._marked[number].name if running is None else running.name
        label = Label(self.job, name)
        if label != self._marked[number]:
            self._marked[number] = label
            with contextlib.suppress(OSError):
                os.write(number, mark(label))

    def hush(self) -> None:
        """A task has ended: what it left in buffers is printed, and nothing more in its name."""
        self.spoke = False
        for number, name in _STREAMS:
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
            if self._marked[number].name:
                self._mark(number, Label(self.job))

    def repair(self) -> None:
        """Open again what a task has closed; the next one needs it."""
        for number, name in _STREAMS:
            try:
                if not getattr(getattr(sys, name), "closed", True):
                    continue
            except (AttributeError, ValueError):  # it was deleted, or detached
                pass
            try:
                os.fstat(number)
            except OSError:
                os.dup2(self._spare[number], number)
            self._open(number, name)

    def _open(self, number: int, name: str) -> None:
        stream = _Text(_Marking(number, self), self)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)

    def _mark(self, number: int, label: Label) -> None:
        """Write a mark, unless that would have to wait for somebody who prints without end."""
        with contextlib.suppress(OSError):
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            if poll.poll(0):
                os.write(number, mark(label))
                self._marked[number] = label


class _Marking(io.FileIO):
    def __init__(self, number: int, voice: Voice) -> None:
        super().__init__(number, "w", closefd=False)
        self._voice = voice

    def write(self, data: ReadableBuffer, /) -> int:
        self._voice.speak(self.fileno())
        return super().write(data)


class _Text(io.TextIOWrapper):
    def __init__(self, raw: _Marking, voice: Voice) -> None:
        super().__init__(
            io.BufferedWriter(raw), "utf-8", errors="backslashreplace", line_buffering=True
        )
        self._voice = voice

    def write(self, text: str, /) -> int:
        self._voice.spoke = True
        return super().write(text)
