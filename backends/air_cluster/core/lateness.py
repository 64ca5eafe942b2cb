"""When to speak of what waits: after half a minute, and then ever more seldom."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_S = 30.0
"""What has waited for so long is spoken of."""

LOOK_S = 5.0
"""How often it is looked for such."""


class Lateness(Generic[Key]):
    """Remembers what waits, and since when it was seen to.

    A key stands for one wait: who makes progress and waits again has another one, or is not among
    those that wait for a moment. Spoken of is what has waited for :data:`FIRST_S`, and again
    whenever it has waited for twice as long as the last time.
    """

    def __init__(self, first: float = FIRST_S) -> None:
        self._first = first
        self._known: dict[Key, tuple[float, float]] = {}  # since, and when to speak of it

    def due(self, waiting: Iterable[Key], now: float) -> dict[Key, float]:
        """Those to speak of now, and for how many seconds they have waited.

        Args:
            waiting: all that wait.
        """
        known: dict[Key, tuple[float, float]] = {}
        found: dict[Key, float] = {}
        for key in waiting:
            since, speak = self._known.get(key, (now, now + self._first))
            if now >= speak:
                found[key] = now - since
                speak = since + 2 * (now - since)
            known[key] = since, speak
        self._known = known
        return found
