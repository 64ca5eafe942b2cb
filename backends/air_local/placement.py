"""The one node: what it offers, who holds what, and placement groups."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from air.errors import ActorPlacementError, InvalidOption, Unschedulable
from air.executor.gpus import gpu_resources
from air.executor.handles import ObjectRef
from air.executor.interface import InitConfig, NodeInfo, PlacementGroupInfo
from air.executor.labels import all_match, describe_rules
from air.executor.machine import count_cpus, memory_bytes
from air.executor.resources import (
    CPU,
    GPU,
    MEMORY,
    OBJECT_STORE_MEMORY,
    Resources,
    describe,
    missing_hint,
)
from air.executor.scheduling import (
    GroupPlacement,
    LabelPlacement,
    NodePlacement,
    Placement,
    PlacementGroupSpec,
)
from air_local.store import Entry, Failure, Ids, Store, pack

if TYPE_CHECKING:
    from air_local.calls import Frame


@dataclass(slots=True, eq=False)
class Group:
    """A placement group: PENDING while others hold what it needs."""

    id: bytes
    spec: PlacementGroupSpec
    total: Resources
    ready: Entry
    state: str = "PENDING"

    def removed(self) -> ActorPlacementError:
        """The error of what was to run in the group."""
        return ActorPlacementError(f"placement group {self.id.hex()} has been removed")


@dataclass(slots=True)
class _Gpus:
    """Numbered devices and how much of each is in use."""

    used: list[float] = field(default_factory=list)

    def take(self, amount: float) -> tuple[int, ...]:
        """The least used devices; a fraction shares one."""
        share = min(amount, 1.0)
        devices = range(len(self.used))
        order = sorted(devices, key=lambda index: (self.used[index] + share > 1, index))
        chosen = tuple(sorted(order[: math.ceil(amount)]))
        for index in chosen:
            self.used[index] = round(self.used[index] + share, 4)
        return chosen

    def give_back(self, chosen: tuple[int, ...], amount: float) -> None:
        for index in chosen:
            self.used[index] = round(self.used[index] - min(amount, 1.0), 4)


class Node:
    """Checks requests against what there is. Nothing ever waits for resources.

    Tasks run one after the other, so each may use everything there is; actors may together
    hold more than there is. :meth:`available` then stops at zero.
    """

    def __init__(self, config: InitConfig, ids: Ids, store: Store, lock: threading.RLock) -> None:
        self._lock = lock
        self._ids = ids
        self._store = store
        self._labels = dict(config.labels)
        self.node_id = ids.new().hex()
        gpus = gpu_resources() if config.num_gpus is None else {GPU: config.num_gpus}
        offered = {
            CPU: count_cpus() if config.num_cpus is None else config.num_cpus,
            **gpus,
            MEMORY: memory_bytes() if config.memory is None else config.memory,
            **config.resources,
        }
        if config.object_store_memory is not None:
            offered[OBJECT_STORE_MEMORY] = config.object_store_memory
        self.totals = Resources(offered)
        self._held = Resources()
        self._gpus = _Gpus([0.0] * math.ceil(gpus[GPU]))
        self._groups: dict[bytes, Group] = {}

    def info(self) -> NodeInfo:
        """What ``nodes()`` says of this machine."""
        return NodeInfo(self.node_id, "127.0.0.1", True, self.totals, self._labels)

    def available(self) -> dict[str, float]:
        """What is left of the totals, at least zero of each."""
        with self._lock:
            held = self._held
            for group in self._groups.values():
                if group.state == "CREATED":
                    held = held + group.total
        return {name: max(0.0, total - held.get(name, 0.0)) for name, total in self.totals.items()}

    # Requests ---------------------------------------------------------------------------

    def place(
        self, what: str, request: Resources, placement: Placement, parent: Frame | None
    ) -> tuple[Group | None, int, bool]:
        """Check a request; returns the group, bundle index and "capture children" of it.

        Raises:
            Unschedulable: the node or the bundle could never meet it.
            ActorPlacementError: the placement group does not exist any more.
        """
        if placement is None and parent is not None and parent.capture and parent.group is not None:
            placement = GroupPlacement(parent.group.id, -1, capture_child_tasks=True)
        if isinstance(placement, GroupPlacement):
            group = self._check_in_group(what, request, placement)
            return group, placement.bundle_index, placement.capture_child_tasks
        if (
            isinstance(placement, NodePlacement)
            and placement.node_id != self.node_id
            and not placement.soft
        ):
            raise Unschedulable(
                f"{what} must run on node {placement.node_id!r}, which is not there."
                f" Nodes: {self._describe()}"
            )
        if isinstance(placement, LabelPlacement) and not all_match(placement.hard, self._labels):
            raise Unschedulable(
                f"{what} must run on a node with {describe_rules(placement.hard)}, which no node"
                f" has. Nodes: {self._describe()} and has the labels {self._labels!r}"
            )
        if not request.fits_in(self.totals):
            raise Unschedulable(
                f"{what} needs {describe(request)}, which no node could ever give."
                f" Nodes: {self._describe()}.{missing_hint(request, self.totals)}"
            )
        return None, -1, False

    def _check_in_group(self, what: str, request: Resources, placement: GroupPlacement) -> Group:
        group = self._groups.get(placement.group_id)
        shown = f"placement group {placement.group_id.hex()}"
        if group is None or group.state == "REMOVED":
            raise ActorPlacementError(f"{what} must run in {shown}, which has been removed")
        bundles = group.spec.bundles
        if not -1 <= placement.bundle_index < len(bundles):
            raise InvalidOption(
                f"{what}: {shown} has {len(bundles)} bundles, numbered from 0, and none with"
                f" index {placement.bundle_index}"
            )
        if placement.bundle_index >= 0:
            bundles = (bundles[placement.bundle_index],)
        if not any(request.fits_in(bundle) for bundle in bundles):
            held = ", ".join(describe(bundle) for bundle in bundles)
            hint = missing_hint(request, sum(bundles, Resources()), "bundle")
            raise Unschedulable(
                f"{what} needs {describe(request)}, which no bundle of {shown} could ever give."
                f" Bundles: {held}. Nodes: {self._describe()}.{hint}"
            )
        return group

    def _describe(self) -> str:
        return f"{self.node_id} offers {describe(self.totals)}"

    # Accounts ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self, frame: Frame) -> Iterator[None]:
        """Account for what a running task holds. Methods hold nothing: their actor does."""
        if frame.actor is not None:
            yield
            return
        gpu_ids = self.take(frame.resources, frame.group)
        frame.gpu_ids = gpu_ids
        try:
            yield
        finally:
            self.give_back(frame.resources, frame.group, gpu_ids)

    def take(self, request: Resources, group: Group | None) -> tuple[int, ...]:
        """Account for a request, and number its GPUs."""
        with self._lock:
            if group is None:
                self._held = self._held + request
            return self._gpus.take(request.get(GPU, 0.0))

    def give_back(self, request: Resources, group: Group | None, gpu_ids: tuple[int, ...]) -> None:
        """Undo :meth:`take`."""
        with self._lock:
            if group is None:
                self._held = self._held - request
            self._gpus.give_back(gpu_ids, request.get(GPU, 0.0))

    # Placement groups -------------------------------------------------------------------

    def create_group(self, spec: PlacementGroupSpec) -> bytes:
        """Reserve bundles, or queue for them if other groups hold what they need.

        Raises:
            Unschedulable: the node could never give them.
            InvalidOption: the name is taken.
        """
        shown = ", ".join(describe(bundle) for bundle in spec.bundles)
        total = sum(spec.bundles, Resources())
        if not total.fits_in(self.totals):
            raise Unschedulable(
                f"a placement group needs bundles {shown}, together {describe(total)}, which the"
                f" nodes could never give. Nodes: {self._describe()}."
                f"{missing_hint(total, self.totals)}"
            )
        if spec.strategy == "STRICT_SPREAD" and len(spec.bundles) > 1:
            raise Unschedulable(
                f"a STRICT_SPREAD placement group needs a node for each of its"
                f" {len(spec.bundles)} bundles {shown}, but there is one. Nodes: {self._describe()}"
            )
        group_id = self._ids.new()
        if spec.name and any(
            (group.spec.namespace, group.spec.name) == (spec.namespace, spec.name)
            and group.state != "REMOVED"
            for group in self._groups.values()
        ):
            raise InvalidOption(f"the name {spec.name!r} is taken by another placement group")
        entry = self._store.create(f"placement group {group_id.hex()}")
        entry.cancellable = False
        with self._lock:
            self._groups[group_id] = Group(group_id, spec, total, entry)
        self._reserve_pending()
        return group_id

    def group_ready(self, group_id: bytes) -> ObjectRef[bool]:
        """The reference that becomes true with the reservation."""
        group = self._groups.get(group_id)
        if group is not None:
            return self._store.reference(group.ready)
        unknown = ActorPlacementError(f"placement group {group_id.hex()} never existed here")
        return self._store.reference(
            self._store.put("a placement group", failure=Failure(unknown, "placement group"))
        )

    def remove_group(self, group_id: bytes) -> Group | None:
        """Give the bundles back; returns the group if it was there."""
        with self._lock:
            group = self._groups.get(group_id)
            if group is None or group.state == "REMOVED":
                return None
            group.state = "REMOVED"
            if group.ready.done:
                group.ready = self._store.create("a removed placement group")
        self._store.resolve(group.ready, failure=Failure(group.removed(), "placement group"))
        self._reserve_pending()
        return group

    def group_infos(self) -> list[PlacementGroupInfo]:
        """All groups, in the order of their creation."""
        with self._lock:
            return [
                PlacementGroupInfo(
                    group_id=group.id,
                    name=group.spec.name,
                    namespace=group.spec.namespace,
                    strategy=group.spec.strategy,
                    bundles=group.spec.bundles,
                    state=group.state,
                    bundle_nodes=tuple(
                        self.node_id if group.state == "CREATED" else None
                        for _ in group.spec.bundles
                    ),
                )
                for group in self._groups.values()
            ]

    def clear(self) -> None:
        """Forget the groups."""
        self._groups.clear()

    def _reserve_pending(self) -> None:
        """Reserve, in order, every group that fits into what the others leave."""
        with self._lock:
            left = self.totals
            for group in self._groups.values():
                if group.state == "CREATED":
                    left = left - group.total
            reserved = []
            for group in self._groups.values():
                if group.state == "PENDING" and group.total.fits_in(left):
                    left = left - group.total
                    group.state = "CREATED"
                    reserved.append(group)
        for group in reserved:
            self._store.resolve(group.ready, pack(True, "True"))
