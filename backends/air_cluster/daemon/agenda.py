"""Carries out the instructions of several state machines, one at a time and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class Agenda:
    """A queue of instructions and who carries them out.

    Carrying one out may be an event for another machine, or for the same one, whose new
    instructions then belong behind those that are still to be carried out: a machine counts
    on its instructions being followed in the order in which it gave them.
    """

    def __init__(self) -> None:
        self._queue: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._running = False

    def add(self, carry_out: Callable[[Any], None], instructions: Iterable[Any]) -> None:
        """Carry out *instructions* after what is queued; at once if nothing is."""
        self._queue.extend((carry_out, instruction) for instruction in instructions)
        if self._running:
            return
        self._running = True
        try:
            while self._queue:
                function, instruction = self._queue.popleft()
                function(instruction)
        finally:
            self._running = False
