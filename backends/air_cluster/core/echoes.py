"""Which of the lines that many workers print are shown to a person, and how often.

See :class:`Echoes`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

_MAX_KNOWN = 10_000


class Line(NamedTuple):
    """A line to be shown."""

    source: str
    is_error: bool
    text: str


class _Known(msgspec.Struct):
    source: str
    until: float
    echoes: int = 0
    last: str = ""


class Echoes:
    """Takes lines that several workers print alike together.

    The first is shown at once. When others print the same within *window_s* seconds, that is
    shown once, at the end of that time, with how many there were. What one worker repeats is
    shown as often as it prints it, and what differs is never left out.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._known: dict[tuple[bool, str], _Known] = {}  # those that end first, first

    def add(self, line: Line, now: float) -> list[Line]:
        """A line has come; returns what is to be shown."""
        shown = self.due(now)
        key = (line.is_error, line.text)
        known = self._known.get(key)
        if known is not None and known.source != line.source:
            known.echoes += 1
            known.last = line.source
            return shown
        if known is None and line.text.strip() and self._window_s:
            self._known[key] = _Known(line.source, now + self._window_s)
            if len(self._known) > _MAX_KNOWN:
                shown += self._forget_first()
        return [*shown, line]

    def due(self, now: float) -> list[Line]:
        """Time has passed; returns what is to be shown."""
        shown: list[Line] = []
        while self._known and next(iter(self._known.values())).until <= now:
            shown += self._forget_first()
        return shown

    def settle(self) -> list[Line]:
        """No more will come; returns what is to be shown."""
        return self.due(float("inf"))

    @property
    def next_due(self) -> float | None:
        """When :meth:`due` may have something to show; ``None`` if never."""
        return next((known.until for known in self._known.values()), None)

    def _forget_first(self) -> list[Line]:
        is_error, text = key = next(iter(self._known))
        known = self._known.pop(key)
        if not known.echoes:
            return []
        if known.echoes > 1:
            text = f"{text} [repeated {known.echoes}x across cluster]"
        return [Line(known.last, is_error, text)]
