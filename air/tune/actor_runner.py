"""Runs trials in actors, as many at a time as there is room for."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from air.core.actor import ActorClass
from air.core.api import get, kill, wait
from air.core.placement_group import PlacementGroup, placement_group, remove_placement_group
from air.errors import TaskError, Unschedulable
from air.executor.current import get_executor
from air.executor.handles import ActorHandle, ObjectRef
from air.tune.execution import TrialFunction, TrialSpec
from air.tune.runners import Listener, Runner
from air.tune.trial_actor import Step, TrialActor
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

KILL_GRACE_S = 5.0
"""How long to wait for the end of a trial that was killed, which may be writing a checkpoint."""

STOP_GRACE_S = 10.0
"""How long a trial may go on after it was told to stop, before it is ended: to its next report, or
with reports if it does not let ``StopTraining`` through. How long it takes to clean up is its own
affair."""


@dataclass(slots=True, eq=False)
class _Slot:
    """An actor, and the trial in it."""

    actor: ActorHandle
    group: PlacementGroup | None
    bundles: list[dict[str, float]]
    trial_id: str | None = None
    pending: ObjectRef[Step] | None = None
    was_told: bool = False
    """Whether it was told to stop in the answer to a report."""
    overdue_at: float | None = None


class ActorRunner(Runner):
    """Runs every trial in an actor, which is used again for the next one.

    A trial's bundles are first the resources of its actor, then those of whatever the trainable
    starts itself, which all share a placement group. ``bundles`` are those of a usual trial: how
    often they fit into the cluster gives ``slots``.
    """

    def __init__(
        self,
        function: ObjectRef[TrialFunction],
        bundles: Sequence[Mapping[str, float]],
        *,
        strategy: str = "PACK",
        reuse_actors: bool = True,
    ) -> None:
        self._function = function
        self._strategy = strategy
        self._reuse = reuse_actors
        self._slots: list[_Slot] = []
        self._receiving: _Slot | None = None
        self._refused: list[tuple[str, Unschedulable]] = []
        self.slots = _room(bundles)

    def start(self, spec: TrialSpec) -> None:
        try:
            slot = self._idle_slot(spec) or self._new_slot(spec)
        except Unschedulable as error:
            self._refused.append((spec.trial_id, error))
            return
        slot.trial_id = spec.trial_id
        slot.pending = slot.actor.begin.remote(spec)

    def stop(self, trial_id: str) -> None:
        for slot in self._slots:
            # A trial hears of it in the answer to its next report, and one whose report is being
            # dealt with in the answer to that.
            if slot.trial_id == trial_id and slot is not self._receiving:
                slot.overdue_at = time.monotonic() + STOP_GRACE_S

    def poll(self, listener: Listener, timeout: float | None) -> None:
        self._release_idle()  # no trial came for them
        if self._refused:
            listener.on_failure(*self._refused.pop(0))
            return
        pending = {slot.pending: slot for slot in self._slots if slot.pending is not None}
        if not pending:
            return
        overdue = [slot.overdue_at for slot in self._slots if slot.overdue_at is not None]
        if overdue:
            left = max(0.0, min(overdue) - time.monotonic())
            timeout = left if timeout is None else min(timeout, left)
        refs = list(pending)
        ready, _ = wait(refs, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = wait(refs, num_returns=len(refs), timeout=0)
        for ref in ready:
            self._receive(pending[ref], ref, listener)
        self._end_overdue(listener)

    def close(self) -> None:
        self._release(*self._slots)

    def _receive(self, slot: _Slot, ref: ObjectRef[Step], listener: Listener) -> None:
        trial_id = slot.trial_id
        assert trial_id is not None
        self._receiving = slot
        try:
            try:
                step = get(ref)
            except (Exception, SystemExit) as error:
                # After anything but an exception of the trainable's own the actor may be gone.
                self._free(slot, usable=isinstance(error, TaskError))
                listener.on_failure(trial_id, error)
                return
            stop = step.report is not None and listener.on_report(trial_id, step.report)
            if step.ended:
                self._free(slot, usable=True)
                listener.on_end(trial_id)
                return
            if stop and step.report is not None and not step.report.amends:
                if slot.was_told and slot.overdue_at is None:
                    slot.overdue_at = time.monotonic() + STOP_GRACE_S
                slot.was_told = True
            slot.pending = slot.actor.resume.remote(stop)
        finally:
            self._receiving = None

    def _end_overdue(self, listener: Listener) -> None:
        now = time.monotonic()
        for slot in list(self._slots):
            if slot.overdue_at is not None and now >= slot.overdue_at:
                trial_id = slot.trial_id
                self._release(slot)
                if trial_id is not None:
                    listener.on_end(trial_id)

    def _free(self, slot: _Slot, *, usable: bool) -> None:
        """Make room for the next trial."""
        slot.trial_id, slot.pending, slot.was_told, slot.overdue_at = None, None, False, None
        if not (usable and self._reuse):
            self._release(slot)

    def _idle_slot(self, spec: TrialSpec) -> _Slot | None:
        """An actor that waits for a trial such as this; those that wait for others make room."""
        for slot in self._slots:
            if slot.trial_id is None and slot.bundles == list(spec.bundles):
                return slot
        self._release_idle()
        return None

    def _new_slot(self, spec: TrialSpec) -> _Slot:
        own, *others = spec.bundles
        options: dict[str, object] = {}
        group = None
        if others:
            group = placement_group([each for each in spec.bundles if each], self._strategy)
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
                group, 0 if own else -1, placement_group_capture_child_tasks=True
            )
        resources = dict(own)
        actor = ActorClass(TrialActor, options).options(
            num_cpus=resources.pop("CPU", 0),
            num_gpus=resources.pop("GPU", 0),
            memory=resources.pop("memory", None),
            resources=resources,
        )
        bundles = [dict(bundle) for bundle in spec.bundles]
        slot = _Slot(actor.remote(self._function), group, bundles)
        self._slots.append(slot)
        return slot

    def _release_idle(self) -> None:
        self._release(*[slot for slot in self._slots if slot.trial_id is None])

    def _release(self, *slots: _Slot) -> None:
        self._slots = [slot for slot in self._slots if slot not in slots]
        for slot in slots:
            kill(slot.actor)
        # What they were doing ends with their processes.
        pending = [slot.pending for slot in slots if slot.pending is not None]
        if pending:
            wait(pending, num_returns=len(pending), timeout=KILL_GRACE_S)
        for slot in slots:
            if slot.group is not None:
                remove_placement_group(slot.group)


def _room(bundles: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit at the same time; at least 1, for one that waits or is refused."""
    if len(bundles) == 1:
        nodes = [node.resources for node in get_executor().nodes() if node.alive]
        return max(1, sum(_times(node, bundles[0]) for node in nodes))
    demand: dict[str, float] = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            demand[name] = demand.get(name, 0) + amount
    return max(1, _times(get_executor().cluster_resources(), demand))


def _times(supply: Mapping[str, float], demand: Mapping[str, float]) -> int:
    """How often ``demand`` fits into ``supply``."""
    fits = [
        math.floor(supply.get(name, 0) / amount + 1e-9) for name, amount in demand.items() if amount
    ]
    return min(fits, default=0)
