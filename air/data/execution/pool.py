"""How many actors a pool has, and which of them works on what: a state machine without I/O.

Pieces of work (*units*) have numbers in the order of the data, and wait in that order until an
actor has room. The machine is told what happens, and when (``wanted``, ``ready``, ``began``,
``ended``, ``died``, ``unusable``), and asked what to do (``next_action``) until there is nothing
more.

Size. It begins with ``smallest`` actors, at the first unit. While there are more units than actors
it grows, by as many at a time as are ready, so that short work is done before many have been
started. An actor that has had nothing to do for ``idle_seconds`` ends if more than ``smallest`` are
ready; one that took longer than that to start is kept for as long.

Death. What an actor had when it died goes to others, before anything else, as it comes first in the
data. An actor works on one unit at a time, so of those that have begun the last one counts as the
cause: when ``max_retries`` does not allow it to be tried again, it has failed, and if that is 0, so
have all that have begun. What has not begun is not tried *again*, unless that happens to it time
after time. An actor of which nothing is left has a successor as soon as there is work for one. Too
many that die one after the other before they are ready make the pool ``broken``, as does one whose
constructor fails: then the first unit that waits fails, and whoever asks for it hears why.

A unit that waits for an actor of its own never waits for units behind it in the data, whose blocks
nobody may take before its own: the successor of the actor that died is free for it.
"""

from __future__ import annotations

import bisect
import sys
from dataclasses import dataclass, field

IDLE_SECONDS = 5.0
_MOST_STARTS = 3
_MOST_LOSSES = 3
"""So many deaths of actors that had not begun with a unit, as far as was told, count like one."""
_LONG_START_SECONDS = 10.0
"""Units are not kept for an actor that has taken longer than this to start."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What was asked for.

    Attributes:
        smallest, largest: actors.
        in_flight: units that an actor has at a time, all but one of which wait there.
        max_retries: how often a unit is worked on again after an actor died of it; -1: for ever.
        idle_seconds: how long one that is not needed is kept.
    """

    smallest: int
    largest: int
    in_flight: int = 2
    max_retries: int = 3
    idle_seconds: float = IDLE_SECONDS

    @property
    def deaths(self) -> int:
        """So many are too many."""
        return sys.maxsize if self.max_retries < 0 else self.max_retries + 1


@dataclass(frozen=True, slots=True)
class StartActor:
    """Make an actor, with this number."""

    actor: int


@dataclass(frozen=True, slots=True)
class StopActor:
    """End an actor, which has nothing to do."""

    actor: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Give a unit to an actor."""

    unit: int
    actor: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up a unit: so many actors died of it, or none can be had at all."""

    unit: int
    deaths: int


Action = StartActor | StopActor | Assign | Fail


@dataclass(slots=True)
class _Actor:
    started: float
    is_ready: bool = False
    start_seconds: float = 0.0
    idle_since: float = 0.0
    units: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Unit:
    actor: int | None = None
    has_begun: bool = False
    deaths: int = 0
    losses: int = 0
    needs_its_own: bool = False


class Pool:
    """Decides for one pool; see the module's text."""

    def __init__(self, limits: PoolLimits) -> None:
        """Begin without actors."""
        self._limits = limits
        self._actors: dict[int, _Actor] = {}
        self._units: dict[int, _Unit] = {}
        self._queue: list[int] = []
        self._next_actor = 0
        self._deaths_in_start = 0
        self.broken = False
        """Whether no unit is given to an actor any more."""

    # What happens -----------------------------------------------------------------------

    def wanted(self, unit: int) -> None:
        """A unit is to be worked on."""
        self._units[unit] = _Unit()
        bisect.insort(self._queue, unit)

    def ready(self, actor: int, now: float) -> None:
        """An actor has been started."""
        state = self._actors[actor]
        state.is_ready = True
        state.start_seconds = now - state.started
        state.idle_since = now
        self._deaths_in_start = 0

    def began(self, unit: int) -> None:
        """The actor that has a unit works on it, or has done so."""
        state = self._units[unit]
        assert state.actor is not None
        state.has_begun = True

    def ended(self, unit: int, now: float) -> None:
        """A unit is done, or nobody wants it any more."""
        state = self._units.pop(unit)
        if state.actor is None:
            self._queue.remove(unit)
            return
        actor = self._actors[state.actor]
        actor.units.remove(unit)
        if not actor.units:
            actor.idle_since = now

    def died(self, actor: int) -> list[int]:
        """An actor is dead.

        Returns:
            The units that it had: they wait again.
        """
        state = self._actors.pop(actor)
        if not state.is_ready:
            self._deaths_in_start += 1
            self.broken |= self._deaths_in_start >= _MOST_STARTS
        begun = [number for number in state.units if self._units[number].has_begun]
        for number in state.units:
            unit = self._units[number]
            if number not in begun:
                unit.losses += 1
                unit.deaths += unit.losses % _MOST_LOSSES == 0
            elif number == begun[-1] or self._limits.max_retries == 0:
                unit.deaths += 1
            unit.actor = None
            unit.has_begun = False
            unit.needs_its_own = True
            bisect.insort(self._queue, number)
        return state.units

    def unusable(self, actor: int) -> None:
        """An actor could not be started, and no other can."""
        del self._actors[actor]
        self.broken = True

    # What to do -------------------------------------------------------------------------

    def next_action(self, now: float) -> Action | None:
        """What to do now, if anything; it counts as done."""
        return self._fail() or self._start(now) or self._assign(now) or self._stop(now)

    @property
    def starting(self) -> list[int]:
        """The actors that are not ready yet."""
        return [number for number, actor in self._actors.items() if not actor.is_ready]

    def waiting_since(self) -> float | None:
        """Since when units wait although no actor is ready; ``None`` if that is not so."""
        if not self._queue or any(actor.is_ready for actor in self._actors.values()):
            return None
        return min((actor.started for actor in self._actors.values()), default=None)

    def check(self) -> None:
        """Assert what must always hold; for tests."""
        limits = self._limits
        assert len(self._actors) <= limits.largest
        assert self._queue == sorted(n for n, unit in self._units.items() if unit.actor is None)
        for number, actor in self._actors.items():
            assert actor.units == sorted(actor.units)
            assert actor.units == [n for n, unit in self._units.items() if unit.actor == number]
            assert len(actor.units) <= limits.in_flight
            assert actor.is_ready or not actor.units
            alone = any(self._units[unit].needs_its_own for unit in actor.units)
            assert not alone or len(actor.units) == 1
        assert all(unit.deaths <= limits.deaths for unit in self._units.values())

    # ------------------------------------------------------------------------------------

    def _fail(self) -> Fail | None:
        for unit in self._queue:
            deaths = self._units[unit].deaths
            if self.broken or deaths >= self._limits.deaths:
                self._queue.remove(unit)
                del self._units[unit]
                return Fail(unit, deaths)
        return None

    def _start(self, now: float) -> StartActor | None:
        number, starting = len(self._actors), len(self.starting)
        if self.broken or not self._units or number >= self._limits.largest:
            return None
        is_first = self._next_actor < self._limits.smallest
        has_work = len(self._units) > number and starting < max(number - starting, 1)
        if not is_first and not has_work:
            return None
        actor = self._next_actor
        self._next_actor += 1
        self._actors[actor] = _Actor(started=now)
        return StartActor(actor)

    def _assign(self, now: float) -> Assign | None:
        if not self._queue:
            return None
        number = self._queue[0]
        unit = self._units[number]
        # The second unit of an actor that others are about to join would wait for the first.
        room = 1 if unit.needs_its_own or self._is_growing(now) else self._limits.in_flight
        free = [
            (len(actor.units), name)
            for name, actor in self._actors.items()
            if actor.is_ready
            and len(actor.units) < room
            and not any(self._units[other].needs_its_own for other in actor.units)
        ]
        if not free:
            return None
        _, name = min(free)
        self._queue.pop(0)
        unit.actor = name
        self._actors[name].units.append(number)
        return Assign(number, name)

    def _is_growing(self, now: float) -> bool:
        return any(
            not actor.is_ready and now - actor.started < _LONG_START_SECONDS
            for actor in self._actors.values()
        )

    def _stop(self, now: float) -> StopActor | None:
        ready = [number for number, actor in self._actors.items() if actor.is_ready]
        if self._queue or len(ready) <= self._limits.smallest:
            return None
        for number in reversed(ready):
            actor = self._actors[number]
            kept = max(self._limits.idle_seconds, actor.start_seconds)
            if not actor.units and now - actor.idle_since >= kept:
                del self._actors[number]
                return StopActor(number)
        return None
