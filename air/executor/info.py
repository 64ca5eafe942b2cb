"""Plain values that cross the seam: settings, and what a backend tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from air.executor.environments import Environment


@dataclass(frozen=True, slots=True)
class InitConfig:
    """What ``air.init`` was told, checked; ``None`` means that the backend decides.

    With an *address*, a backend refuses what says something of a node that it does not start.

    Attributes:
        address: a running cluster to connect to, ``"HOST:PORT"`` or ``"auto"``.
        num_cpus: CPUs of this node, instead of those that the machine has.
        num_gpus: GPUs of this node.
        resources: custom resources of this node.
        labels: labels of this node.
        memory: bytes that tasks and actors of this node may use together, besides those.
        object_store_memory: bytes of shared memory for objects on this node.
        namespace: where the names of actors and placement groups are registered; backends get the
            one that was given, or one that no other program has.
        log_to_driver: whether what workers print appears in this program's output.
        runtime_env: the environment of its tasks and actors.
    """

    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    object_store_memory: int | None = None
    namespace: str = ""
    log_to_driver: bool = True
    runtime_env: Environment | None = None


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One machine of the cluster."""

    node_id: str
    address: str
    alive: bool
    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """Where the calling code runs; the identities are hexadecimal text.

    ``task_id``, ``actor_id`` and ``placement_group_id`` are ``None`` where there is none.
    ``host`` is the address by which other nodes reach this one, empty if there are none.
    ``runtime_env`` is what tasks that are started here inherit, as a person would give it.
    """

    job_id: str
    node_id: str
    worker_id: str
    namespace: str
    task_id: str | None = None
    task_name: str | None = None
    actor_id: str | None = None
    placement_group_id: str | None = None
    capture_child_tasks: bool = False
    resources: Mapping[str, float] = field(default_factory=dict)
    gpu_ids: tuple[int, ...] = ()
    was_restarted: bool = False
    host: str = ""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlacementGroupInfo:
    """State of a placement group: PENDING, CREATED or REMOVED."""

    group_id: bytes
    name: str
    strategy: str
    bundles: tuple[Mapping[str, float], ...]
    state: str
    bundle_nodes: tuple[str | None, ...] = ()
    namespace: str = ""
