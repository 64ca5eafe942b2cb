"""Waits for events of descriptors: awake for a moment, then asleep.

To be woken up costs much more than a message does (25 us against 4 us on the reference machine, on
either side: who sends has to wake the other one). So a thread whose last waits were short looks
again and again for the next event before it sleeps, for about as long as a sleep costs: then it
loses at most as much as it could have won (Karlin and others, "Competitive randomized algorithms
for nonuniform problems", 1994; "spin-then-block"). Where others want the processor this would harm
them, so it offers it to them each time, and refrains from it for a while once somebody took it.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Protocol

READ, WRITE = 1, 2
"""What a descriptor may be watched for; these are combined by ``|``."""

_AWAKE_S = 0.000_2
_TAKEN_S = 0.000_1
_SHORT_WAITS = 3
_REST = 8
_HAS_SEVERAL_CPUS = len(os.sched_getaffinity(0)) > 1


class Pollable(Protocol):
    """What can be watched: sockets and pipes that have a file descriptor."""

    def fileno(self) -> int:
        """The descriptor to watch."""
        ...

    def on_events(self, mask: int) -> None:
        """Called when the descriptor is ready for ``mask``."""
        ...


class Wakefulness:
    """Whether to look for events for a moment instead of going to sleep; no I/O."""

    def __init__(self) -> None:
        self._short = 0  # waits in a row; below 0: so many more than usual are wanted

    @property
    def pays(self) -> bool:
        """Whether the next event will probably come soon."""
        return self._short >= _SHORT_WAITS

    def slept(self, seconds: float) -> None:
        """An event came after so long."""
        if seconds < _AWAKE_S:
            self._short += 1
        elif self._short > 0:
            self._short = 0

    def disturbed(self) -> None:
        """Others want the processor."""
        self._short = -_REST


class Poller:
    """Descriptors that are watched, and whom they belong to."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Pollable] = {}
        self._wakefulness = Wakefulness()

    def register(self, pollable: Pollable, mask: int) -> None:
        """Watch a descriptor."""
        fd = pollable.fileno()
        self._epoll.register(fd, _to_epoll(mask))
        self._watched[fd] = pollable

    def modify(self, pollable: Pollable, mask: int) -> None:
        """Watch for other events on it, if it is watched."""
        fd = pollable.fileno()
        if self._watched.get(fd) is pollable:
            self._epoll.modify(fd, _to_epoll(mask))

    def unregister(self, pollable: Pollable) -> None:
        """Stop watching it, if that is done."""
        fd = pollable.fileno()
        if self._watched.get(fd) is pollable:
            del self._watched[fd]
            with contextlib.suppress(OSError):  # it was closed
                self._epoll.unregister(fd)

    def wait(self, timeout: float | None, *, alone: bool) -> list[tuple[int, int]]:
        """Wait for events, for *timeout* seconds at most.

        Args:
            alone: whether no other thread of this process has something to do. Who looks all the
                time would take the interpreter from it.
        """
        poll = self._epoll.poll
        if timeout is not None and timeout < _AWAKE_S:
            return poll(timeout)
        wakefulness = self._wakefulness
        now = began = time.perf_counter()
        if alone and wakefulness.pays and _HAS_SEVERAL_CPUS:
            while now - began < _AWAKE_S:
                events = poll(0)
                if events:
                    return events
                os.sched_yield()
                before, now = now, time.perf_counter()
                if now - before > _TAKEN_S:
                    wakefulness.disturbed()
                    return poll(timeout)
        events = poll(timeout)
        wakefulness.slept(time.perf_counter() - began)
        return events

    def find(self, fd: int) -> Pollable | None:
        """Whom a descriptor belongs to that had an event; nobody any more, perhaps."""
        return self._watched.get(fd)

    def close(self) -> None:
        """Watch nothing any more."""
        self._watched.clear()
        self._epoll.close()


def to_mask(events: int) -> int:
    """What descriptors are ready for: errors and hang-ups show when it is tried."""
    mask = READ if events & ~select.EPOLLOUT else 0
    return mask | WRITE if events & ~select.EPOLLIN else mask


def _to_epoll(mask: int) -> int:
    events = select.EPOLLIN if mask & READ else 0
    return events | select.EPOLLOUT if mask & WRITE else events
