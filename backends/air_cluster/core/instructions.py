"""What :class:`~air_cluster.core.leases.NodeScheduler` tells the daemon to do."""

from __future__ import annotations

import msgspec

from air_cluster.core.shapes import LossKind, RefusalKind, ShapeKey


class StartWorker(msgspec.Struct, frozen=True):
    """Start a process; report ``worker_ready`` or ``worker_died``.

    A dedicated worker will hold one actor for its whole life. One with an *environment* (its
    key) is ready when that is set up; should it fail, report ``environment_failed``.
    """

    worker_id: str
    dedicated: bool = False
    environment: bytes = b""


class StopWorker(msgspec.Struct, frozen=True):
    """Kill a process, whatever it does, and report ``worker_died`` once it is gone.

    What it held stays taken until then: a dying process still has its memory and devices.
    """

    worker_id: str


class Grant(msgspec.Struct, frozen=True):
    """Lend a worker to *owner*, who may send it tasks of *shape* until it returns the lease."""

    owner: bytes
    shape: ShapeKey
    lease_id: int
    worker_id: str
    gpu_ids: tuple[int, ...] = ()


class Refuse(msgspec.Struct, frozen=True):
    """Tell *owner* that *count* workers of *shape* will not come.

    That was all that it wanted, and nothing is known of its demand any more; save when the
    reason is BUSY: then other workers may be on their way, and what it had asked for before is
    still on record.
    """

    owner: bytes
    shape: ShapeKey
    reason: RefusalKind
    message: str
    count: int


class Reclaim(msgspec.Struct, frozen=True):
    """Ask *owner* to return a lease after what it has already sent there: others wait.

    Sent once for each lease.
    """

    lease_id: int
    owner: bytes


class LeaseLost(msgspec.Struct, frozen=True):
    """Tell *owner* that the worker behind a lease is gone, or is being stopped."""

    lease_id: int
    owner: bytes
    reason: LossKind


class Place(msgspec.Struct, frozen=True):
    """A fresh worker for an actor is ready: construct the actor there."""

    actor_id: bytes
    worker_id: str
    gpu_ids: tuple[int, ...] = ()


class RefusePlacement(msgspec.Struct, frozen=True):
    """No worker will come for an actor. Its placement has been dropped."""

    actor_id: bytes
    reason: RefusalKind
    message: str


class BundleReserved(msgspec.Struct, frozen=True):
    """A bundle for which ``await_reservation`` was called is now set aside (uncommitted)."""

    group_id: bytes
    index: int


Instruction = (
    StartWorker
    | StopWorker
    | Grant
    | Refuse
    | Reclaim
    | LeaseLost
    | Place
    | RefusePlacement
    | BundleReserved
)
