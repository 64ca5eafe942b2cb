"""Between clients and daemons: workers for tasks."""

from __future__ import annotations

import msgspec

HOME, ONCE, PINNED = 0, 1, 2


class Condition(msgspec.Struct, array_like=True, frozen=True):
    """On a label of a node; *operator* as in ``air.executor.labels``."""

    key: str
    operator: str
    values: list[str]


class Environment(msgspec.Struct, array_like=True, frozen=True):
    """A runtime environment; without a key, none.

    Attributes:
        key: of workers that may be used for one another's tasks.
        job: the only program whose workers these are; empty if there is no such limit.
        fresh: whether its workers must not have imported anything of the user's before.
        setup: what the worker has to do; of no interest to daemons.
    """

    key: bytes = b""
    job: bytes = b""
    fresh: bool = False
    setup: bytes = b""


class Shape(msgspec.Struct, array_like=True, frozen=True):
    """What a worker must offer: resources, or room in a bundle of a placement group."""

    resources: dict[str, float]
    group: bytes = b""
    bundle: int = -1
    node: str = ""
    soft: bool = False
    spread: bool = False
    preferred: int = 0
    labels: list[Condition] = []
    preferred_labels: list[Condition] = []
    environment: Environment = Environment()


class SetDemand(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """A client could use *count* more workers of this shape now.

    *mode* is ``HOME`` for its own node; ``ONCE`` for another one, which forgets what it cannot
    grant now, since the demand stays with the client's own node; ``PINNED`` for another one
    that alone can meet it.

    *came* have come from other nodes since the client's own one was last told.
    """

    shape_id: int
    shape: Shape
    count: int
    depth: int
    mode: int = HOME
    came: int = 0


class LeaseGranted(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """A worker is the client's until it gives the lease back."""

    shape_id: int
    lease_id: int
    worker: bytes
    address: str
    gpu_ids: list[int]


class LeaseRefused(msgspec.Struct, tag=5, array_like=True, frozen=True):
    """No worker of this shape can ever be had, because of *kind*.

    ``unschedulable``, ``removed`` (its placement group), ``broken`` (workers do not start) or
    ``environment`` (its runtime environment cannot be set up).
    """

    shape_id: int
    kind: str
    message: str


class LeaseReclaim(msgspec.Struct, tag=6, array_like=True, frozen=True):
    """Others wait: give this lease back when the tasks on it are done."""

    lease_id: int


class LeaseReturn(msgspec.Struct, tag=7, array_like=True, frozen=True):
    """The client needs this worker no longer."""

    lease_id: int


class LeaseLost(msgspec.Struct, tag=8, array_like=True, frozen=True):
    """The worker behind a lease died or was stopped.

    Attributes:
        out_of_memory: because its node ran out of memory.
        is_hopeless: what ran would do so again.
    """

    lease_id: int
    reason: str
    out_of_memory: bool = False
    is_hopeless: bool = False


class Blocked(msgspec.Struct, tag=9, array_like=True, frozen=True):
    """The worker that sends this waits in ``get``, or (*blocked* false) goes on."""

    blocked: bool


class KillWorker(msgspec.Struct, tag=33, array_like=True, frozen=True):
    """End the process of a leased worker: a forced cancellation."""

    lease_id: int


class Redirected(msgspec.Struct, tag=39, array_like=True, frozen=True):
    """Another node has room: ask its daemon, at *address*, for *count* workers of this shape.

    *pinned*: only that node can ever grant them, so let the demand wait there.
    """

    shape_id: int
    node: int
    daemon: bytes
    address: str
    count: int
    pinned: bool
