"""Which worker runs which task: the submitter's side of scheduling, without I/O.

A process that submits tasks states to its node how many more workers of each *shape* it
could use (its *demand*) and is granted *leases* on workers. Tasks go straight to leased
workers. How many at a time follows from how long the same function took before: tasks of
microseconds are sent ahead, up to :data:`PIPELINE_S` of estimated work, so that the worker
never waits for the network; a function of unknown or long duration only goes to a worker
that has nothing else to do, so that nothing queues behind it while another worker is free.

States of a task here: *queued* -> *sent* -> (finished, returned to the queue, or lost with
its lease). States of a lease: *open*, or *closing* once others wait for its resources.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable

import msgspec

from air_cluster.protocol.ids import node_of_lease

PIPELINE_S = 0.002
MAX_IN_FLIGHT = 128
LINGER_S = 0.05
"""An idle lease is kept this long, for the next call of a program that makes them one by one."""

SPREAD_PARTS = 64
"""A lease that was dealt out is for one in so many of the tasks that are to be spread, or one."""

STALL_S = 0.01
"""While no worker has come for so long there is no room, and those there are go on."""

DEALT_S = 1.0
"""A lease is kept so long at most that may be on another node than the one that is preferred."""

MAX_DEMAND = 4096
MAX_DEMAND_WITHOUT_RESOURCES = 32
_SMOOTHING = 0.25
_KNOWN_CODES = 1024
"""Of so many functions it is known how long they take: programs may make one for each call."""


class Dispatch(msgspec.Struct, frozen=True):
    """Send a task to the worker of a lease."""

    task_id: bytes
    lease_id: int


class Demand(msgspec.Struct, frozen=True):
    """Tell the node how many more workers of a shape could be used.

    *came* have come from other nodes since this was last said.
    """

    shape_id: int
    count: int
    came: int = 0


class GiveBack(msgspec.Struct, frozen=True):
    """Return a lease to the node."""

    lease_id: int


Instruction = Dispatch | Demand | GiveBack


class Site(enum.Enum):
    """How much the node matters to the tasks of a shape."""

    ANY = enum.auto()
    """Those that may run it are alike."""

    PREFERRED = enum.auto()
    """Some are better than others, which will do while there is no room."""

    SPREAD = enum.auto()
    """The next task had best be on the next node."""


class _Shape(msgspec.Struct):
    takes_resources: bool
    alike: Hashable
    near: int
    site: Site
    queue: OrderedDict[bytes, bytes] = msgspec.field(
        default_factory=OrderedDict
    )  # task -> code key
    leases: dict[int, _Lease] = msgspec.field(default_factory=dict)
    outstanding: int = 0  # demand that the node knows of and has not met
    granted_at: float = 0.0


class _Lease(msgspec.Struct):
    lease_id: int
    shape_id: int
    in_flight: dict[bytes, float] = msgspec.field(default_factory=dict)  # task -> estimated seconds
    load: float = 0.0
    closing: bool = False
    held_up: bool = False  # handed tasks back: its current one takes long
    idle_since: float = 0.0
    tasks_left: int = 0  # it is for so many more; 0 if they are not counted
    spent: bool = False  # that is why it is closing
    until: float = math.inf  # it is for no task after that


class TaskScheduler:
    """Events in, instructions out; *now* is any monotonic clock in seconds."""

    def __init__(self) -> None:
        self._shapes: dict[int, _Shape] = {}
        self._leases: dict[int, _Lease] = {}
        self._where: dict[bytes, int] = {}  # queued task -> shape id
        self._sent: dict[bytes, int] = {}  # task -> lease id
        self._codes: dict[bytes, bytes] = {}  # sent task -> code key
        self._seconds: dict[bytes, float] = {}  # code key -> smoothed duration
        self._shrunk: set[int] = set()  # shapes whose queues have lost tasks

    # Events -------------------------------------------------------------------------------

    def add_shape(
        self,
        shape_id: int,
        *,
        takes_resources: bool,
        alike: Hashable = None,
        near: int = 0,
        site: Site = Site.ANY,
    ) -> None:
        """A new shape: a combination of resources and placement.

        Args:
            shape_id: what it is called here.
            takes_resources: whether it takes any, and so few workers can be had.
            alike: equal for shapes that differ only in where their tasks may be.
            near: the number of the node where its tasks had best run, as their arguments are
                there: an idle lease there of a shape that is *alike* is used for it, since the
                node has no room for another one while it is ours. 0 for none.
            site: how much the node matters. Where it does, leases that were *dealt* are given back
                before they would have to be, so that the next task asks for its place.
        """
        self._shapes[shape_id] = _Shape(takes_resources, alike, near, site)

    def forget_shape(self, shape_id: int) -> bool:
        """Nothing will be submitted with this shape; false if something still refers to it."""
        shape = self._shapes[shape_id]
        if shape.queue or shape.leases or shape.outstanding or shape_id in self._shrunk:
            return False
        del self._shapes[shape_id]
        return True

    def submit(self, task_id: bytes, code: bytes, shape_id: int, now: float) -> list[Instruction]:
        """A task whose arguments are all there."""
        shape = self._shapes[shape_id]
        self._where[task_id] = shape_id
        out: list[Instruction] = []
        if not shape.queue:
            lease = self._lease_near(shape_id, shape) if shape.near else None
            lease = lease or self._lease_for(shape, code)
            if lease is not None:
                self._send(task_id, code, lease, out)
                return out
        shape.queue[task_id] = code
        self._update_demand(shape_id, shape, out)
        return out

    def granted(
        self,
        shape_id: int,
        lease_id: int,
        now: float,
        *,
        elsewhere: bool = False,
        dealt: bool = False,
    ) -> list[Instruction]:
        """A node has leased a worker to us.

        Args:
            shape_id: for tasks of which shape.
            lease_id: what the lease is called.
            now: the time.
            elsewhere: whether that was another node than ours, which does not know of it then.
            dealt: whether the node was chosen for it, from several.
        """
        shape = self._shapes[shape_id]
        shape.outstanding = max(0, shape.outstanding - 1)
        shape.granted_at = now
        lease = _Lease(lease_id, shape_id, idle_since=now)
        if dealt and shape.site is Site.SPREAD:
            lease.tasks_left = _part_of(shape)
        elif dealt and shape.site is Site.PREFERRED:
            lease.until = now + DEALT_S
        shape.leases[lease_id] = lease
        self._leases[lease_id] = lease
        out: list[Instruction] = []
        self._fill(shape, lease, out)
        if elsewhere or (dealt and shape.site is not Site.ANY):
            # In the latter case our node has counted it, but may have heard of more wishes since
            # that were stated before it came: the last word must be a new one.
            shape.outstanding = self._wanted(shape)
            out.append(Demand(shape_id, shape.outstanding, came=int(elsewhere)))
        else:
            self._update_demand(shape_id, shape, out)
        return out

    def finished(self, task_id: bytes, seconds: float | None, now: float) -> list[Instruction]:
        """A task has ended after running for *seconds*; ``None`` if it was cancelled."""
        out: list[Instruction] = []
        lease = self._unsend(task_id, seconds, now)
        if lease is not None:
            shape = self._shapes[lease.shape_id]
            if lease.spent and shape.queue and now - shape.granted_at >= STALL_S:
                lease.closing = lease.spent = False
                lease.tasks_left = _part_of(shape)
            self._fill(shape, lease, out)
            self._close_if_done(lease, out)
            if shape.outstanding:
                self._update_demand(lease.shape_id, shape, out)
        return out

    def returned(self, task_ids: Iterable[bytes], now: float) -> list[Instruction]:
        """A worker hands tasks back that it has not started; they go to the front.

        It does so because they would have waited for long behind the one that it runs, so
        nothing more is sent there until that has ended.
        """
        out: list[Instruction] = []
        touched: set[int] = set()
        for task_id in reversed(list(task_ids)):
            code = self._codes.get(task_id)
            lease = self._unsend(task_id, None, now)
            if lease is None or code is None:
                continue
            shape = self._shapes[lease.shape_id]
            shape.queue[task_id] = code
            shape.queue.move_to_end(task_id, last=False)
            self._where[task_id] = lease.shape_id
            lease.held_up = bool(lease.in_flight)
            touched.add(lease.shape_id)
        for shape_id in sorted(touched):
            shape = self._shapes[shape_id]
            for lease in list(shape.leases.values()):
                if not lease.in_flight:
                    self._fill(shape, lease, out)
                    self._close_if_done(lease, out)
            self._update_demand(shape_id, shape, out)
        return out

    def lost(self, lease_id: int) -> list[bytes]:
        """The worker of a lease died; returns the tasks that were sent to it, in order."""
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            return []
        del self._shapes[lease.shape_id].leases[lease_id]
        for task_id in lease.in_flight:
            del self._sent[task_id], self._codes[task_id]
        return list(lease.in_flight)

    def refused(self, shape_id: int) -> list[bytes]:
        """No worker of this shape can be had; returns its queued tasks, which are forgotten."""
        shape = self._shapes[shape_id]
        shape.outstanding = 0
        dropped = list(shape.queue)
        for task_id in dropped:
            del self._where[task_id]
        shape.queue.clear()
        return dropped

    def reclaim(self, lease_id: int) -> list[Instruction]:
        """Others wait for what this lease holds: send nothing more to it."""
        lease = self._leases.get(lease_id)
        out: list[Instruction] = []
        if lease is not None:
            lease.closing, lease.spent = True, False
            self._close_if_done(lease, out)
        return out

    def forget(self, task_id: bytes) -> None:
        """Take a task out of its queue; one that was sent or is unknown stays as it is.

        The node hears with the next :meth:`tick` that less is needed.
        """
        shape_id = self._where.pop(task_id, None)
        if shape_id is not None:
            del self._shapes[shape_id].queue[task_id]
            self._shrunk.add(shape_id)

    def tick(self, now: float) -> list[Instruction]:
        """Give back leases idle for :data:`LINGER_S`; lower demands that cancelling lowered."""
        out: list[Instruction] = []
        for lease in list(self._leases.values()):
            idle = not lease.in_flight and now - lease.idle_since >= LINGER_S
            if idle or now >= lease.until:
                lease.closing = True
                self._close_if_done(lease, out)
        for shape_id in sorted(self._shrunk):
            self._update_demand(shape_id, self._shapes[shape_id], out)
        self._shrunk.clear()
        return out

    # Queries ------------------------------------------------------------------------------

    @property
    def has_leases(self) -> bool:
        """Whether :meth:`tick` may have something to do."""
        return bool(self._leases)

    def lease_of(self, task_id: bytes) -> int | None:
        """The lease that a task was sent to, if it was sent."""
        return self._sent.get(task_id)

    def state_of(self, task_id: bytes) -> str:
        """``"queued"``, ``"sent"`` or ``"unknown"``."""
        if task_id in self._sent:
            return "sent"
        return "queued" if task_id in self._where else "unknown"

    def is_first(self, task_id: bytes) -> bool:
        """Whether a task was sent and its worker runs it, as far as is known here."""
        lease = self._leases.get(self._sent.get(task_id, -1))
        return lease is not None and next(iter(lease.in_flight)) == task_id

    def firsts(self) -> dict[bytes, int]:
        """The task of each shape that is the next to be sent, and how long its queue is."""
        return {
            next(iter(shape.queue)): len(shape.queue)
            for shape in self._shapes.values()
            if shape.queue
        }

    def queued(self, shape_id: int) -> int:
        """How many tasks of a shape wait for a worker."""
        return len(self._shapes[shape_id].queue)

    def check(self) -> None:
        """Assert the invariants."""
        sent = {t: lease.lease_id for lease in self._leases.values() for t in lease.in_flight}
        assert sent == self._sent
        assert set(self._codes) == set(self._sent)
        queued = {t: s for s, shape in self._shapes.items() for t in shape.queue}
        assert queued == self._where, (queued, self._where)
        for shape_id, shape in self._shapes.items():
            for lease_id, lease in shape.leases.items():
                assert self._leases[lease_id] is lease
                assert lease.shape_id == shape_id
                assert abs(lease.load - sum(lease.in_flight.values())) < 1e-6
                assert len(lease.in_flight) <= MAX_IN_FLIGHT
                assert not lease.held_up or lease.in_flight
                # Work conservation: nobody idles while something of its shape waits.
                assert not (lease.closing and not lease.in_flight)
                assert lease.in_flight or not shape.queue
            assert not shape.queue or shape.outstanding or shape.leases

    # Inner workings -----------------------------------------------------------------------

    def _lease_for(self, shape: _Shape, code: bytes) -> _Lease | None:
        """An idle lease, else the least loaded one that takes more work; or none."""
        best = None
        for lease in shape.leases.values():
            if lease.closing or lease.held_up:
                continue
            if not lease.in_flight:
                return lease
            if best is None or lease.load < best.load:
                best = lease
        if best is not None and self._takes(best, code):
            return best
        return None

    def _lease_near(self, shape_id: int, shape: _Shape) -> _Lease | None:
        """An idle lease on the node where the tasks of a shape had best run."""
        found = None
        for lease in self._leases.values():
            if lease.in_flight or lease.closing or node_of_lease(lease.lease_id) != shape.near:
                continue
            if lease.shape_id == shape_id:
                return lease
            if self._shapes[lease.shape_id].alike == shape.alike:
                found = lease
        if found is not None:
            del self._shapes[found.shape_id].leases[found.lease_id]
            shape.leases[found.lease_id] = found
            found.shape_id, found.tasks_left, found.until = shape_id, 0, math.inf
        return found

    def _takes(self, lease: _Lease, code: bytes) -> bool:
        if not lease.in_flight:
            return True
        seconds = self._seconds.get(code)
        return (
            seconds is not None
            and not lease.held_up
            and lease.load + seconds <= PIPELINE_S
            and len(lease.in_flight) < MAX_IN_FLIGHT
        )

    def _send(self, task_id: bytes, code: bytes, lease: _Lease, out: list[Instruction]) -> None:
        self._where.pop(task_id, None)
        estimate = self._seconds.get(code, PIPELINE_S)
        lease.in_flight[task_id] = estimate
        lease.load += estimate
        if lease.tasks_left:
            lease.tasks_left -= 1
            lease.closing = lease.spent = not lease.tasks_left
        self._sent[task_id] = lease.lease_id
        self._codes[task_id] = code
        out.append(Dispatch(task_id, lease.lease_id))

    def _unsend(self, task_id: bytes, seconds: float | None, now: float) -> _Lease | None:
        lease_id = self._sent.pop(task_id, None)
        if lease_id is None:
            return None
        code = self._codes.pop(task_id)
        if seconds is not None:
            known = self._seconds.get(code)
            if known is None and len(self._seconds) >= _KNOWN_CODES:
                del self._seconds[next(iter(self._seconds))]
            self._seconds[code] = (
                seconds if known is None else known + _SMOOTHING * (seconds - known)
            )
        lease = self._leases[lease_id]
        if next(iter(lease.in_flight)) == task_id:
            lease.held_up = False
        lease.load -= lease.in_flight.pop(task_id)
        if not lease.in_flight:
            lease.load = 0.0
            lease.idle_since = now
        return lease

    def _fill(self, shape: _Shape, lease: _Lease, out: list[Instruction]) -> None:
        while shape.queue and not lease.closing:
            task_id, code = next(iter(shape.queue.items()))
            if not self._takes(lease, code):
                return
            del shape.queue[task_id]
            self._send(task_id, code, lease, out)

    def _close_if_done(self, lease: _Lease, out: list[Instruction]) -> None:
        if not lease.closing or lease.in_flight:
            return
        shape = self._shapes[lease.shape_id]
        del self._leases[lease.lease_id], shape.leases[lease.lease_id]
        out.append(GiveBack(lease.lease_id))
        self._update_demand(lease.shape_id, shape, out)

    def _update_demand(self, shape_id: int, shape: _Shape, out: list[Instruction]) -> None:
        """State the demand anew when it has changed by enough to matter.

        Exact at zero, else within a factor of two: a thousand submissions cost ten messages.
        """
        wanted = self._wanted(shape)
        known = shape.outstanding
        if wanted == known or (wanted and known and known <= 2 * wanted and wanted <= 2 * known):
            return
        shape.outstanding = wanted
        out.append(Demand(shape_id, wanted))

    def _wanted(self, shape: _Shape) -> int:
        limit = MAX_DEMAND if shape.takes_resources else MAX_DEMAND_WITHOUT_RESOURCES
        return min(len(shape.queue), limit)


def _part_of(shape: _Shape) -> int:
    """For how many of the tasks that are to be spread one lease is."""
    return max(1, len(shape.queue) // SPREAD_PARTS)
