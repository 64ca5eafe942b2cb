"""The workers of one run: actors in a placement group, or this very process."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from air.config import ScalingConfig
from air.core.actor import ActorClass
from air.core.api import get, kill, wait
from air.core.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    placement_group,
    remove_placement_group,
)
from air.core.runtime_context import get_runtime_context
from air.errors import Unschedulable
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.handles import ActorHandle, ObjectRef
from air.train.session import Session, StopTraining
from air.train.worker import Report, TrainFunction, Worker, WorkerInfo, run_train_function
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

logger = logging.getLogger(__name__)

CONSEQUENCE_GRACE_S = 5.0
"""How long to wait for the failure that another worker's failure looks like a consequence of."""

OnReport = Callable[[Report], bool]
"""Deals with a report of rank 0, and says whether to stop."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker stands among the others; see the getters of `air.train` for each."""

    world_rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    node_rank: int


class WorkerGroup(Protocol):
    """What a framework's set-up and a trainer see of the workers."""

    @property
    def placements(self) -> Sequence[Placement]:
        """Of each worker, in the order of their ranks."""
        ...

    @property
    def infos(self) -> Sequence[WorkerInfo]:
        """Of each worker, in the order of their ranks."""
        ...

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call *function* in every worker at the same time; results in the order of ranks."""
        ...

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        """Call *function* in one worker."""
        ...

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        """Run a training function in every worker to its end; *sessions* by rank.

        Returns when all have ended, or rank 0 has after it was told to stop. Raises what the
        first worker to fail raised; an error that *is_consequence* of another worker's failure
        gives way to that.
        """
        ...


class ActorWorkerGroup:
    """Workers that are actors."""

    def __init__(self, actors: Sequence[ActorHandle]) -> None:
        infos = get([actor.info.remote() for actor in actors])
        nodes = list(dict.fromkeys(info.node_id for info in infos))
        # Neighbours in rank share a node, so that collectives in a ring cross the network least.
        order = sorted(range(len(actors)), key=lambda i: nodes.index(infos[i].node_id))
        self._actors = [actors[i] for i in order]
        self.infos = [infos[i] for i in order]
        self.placements = _placements([info.node_id for info in self.infos])

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        results: list[Any] = get([a.execute.remote(function, *args) for a in self._actors])
        return results

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        return get(self._actors[rank].execute.remote(function, *args))

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        here = get_runtime_context().get_node_id()
        steps = {
            self._actors[rank].begin.remote(
                function, config, replace(session, sink=_unset_sink), here
            ): rank
            for rank, session in enumerate(sessions)
        }
        stopped = False
        while steps:
            ready, _ = wait(list(steps), num_returns=1)
            rank = steps.pop(ready[0])
            try:
                report = get(ready[0])
            except Exception as error:
                if stopped:
                    # The others were left behind by the stop, or rank 0 failed to clean up
                    # after it; the run has its results.
                    logger.debug("worker %d failed after the run was stopped", rank, exc_info=True)
                    report = None
                else:
                    self._raise_cause(error, rank, steps, is_consequence)
            if report is not None:
                stopped = on_report(report) or stopped
                steps[self._actors[rank].resume.remote(stopped)] = rank
            elif stopped and rank == 0:
                return

    def _raise_cause(
        self,
        error: Exception,
        rank: int,
        steps: Mapping[ObjectRef[Any], int],
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        """Raise *error*, or what caused it, with the rank of the worker noted on it."""
        deadline = time.monotonic() + CONSEQUENCE_GRACE_S
        others = dict(steps)
        while others and is_consequence(error):
            ready, _ = wait(list(others), timeout=max(0, deadline - time.monotonic()))
            if not ready:
                break
            other = others.pop(ready[0])
            try:
                get(ready[0])
            except Exception as cause:
                if not is_consequence(cause):
                    error, rank = cause, other
        error.add_note(f"(raised in training worker {rank} of {len(self._actors)})")
        raise error


class InlineWorkerGroup:
    """One worker that is the calling thread, so that a debugger stops in user code."""

    def __init__(self) -> None:
        self.infos = [WorkerInfo.here()]
        self.placements = _placements([self.infos[0].node_id])

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return [function(*args)]

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        assert rank == 0
        return function(*args)

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        stopped = False

        def sink(metrics: dict[str, Any], checkpoint: Any) -> None:
            nonlocal stopped
            stopped = on_report(Report(metrics, checkpoint)) or stopped
            if stopped:
                raise StopTraining

        (session,) = sessions
        run_train_function(function, config, replace(session, sink=sink))


@contextmanager
def worker_group(scaling: ScalingConfig) -> Iterator[WorkerGroup]:
    """The workers that *scaling* asks for; whatever happens, they are gone afterwards.

    Inside a placement group that has room for them (a trial's) they run there, otherwise in one
    of their own.
    """
    num_workers = scaling.num_workers or 1
    if Capability.PARALLEL_TASKS not in get_executor().capabilities:
        if num_workers > 1:
            _say_one_worker(get_executor().name)
        yield InlineWorkerGroup()
        return
    outer = get_current_placement_group()
    if outer is not None and _has_room(outer, scaling.worker_bundle, num_workers):
        with _actors(outer, scaling.worker_bundle, num_workers) as actors:
            yield ActorWorkerGroup(actors)
        return
    bundles = [bundle for bundle in scaling.bundles if bundle]
    try:
        group = placement_group(bundles, strategy=scaling.placement_strategy)
    except Unschedulable as error:
        error.add_note(
            f"(ScalingConfig asks for num_workers={num_workers} with {scaling.worker_bundle} each:"
            " lower one of them)"
        )
        raise
    try:
        get(group.ready())
        with _actors(group, scaling.worker_bundle, num_workers) as actors:
            yield ActorWorkerGroup(actors)
    finally:
        remove_placement_group(group)


def effective_num_workers(scaling: ScalingConfig) -> int:
    """How many workers :func:`worker_group` gives on the running backend."""
    if Capability.PARALLEL_TASKS not in get_executor().capabilities:
        return 1
    return scaling.num_workers or 1


@contextmanager
def _actors(
    group: PlacementGroup, bundle: Mapping[str, float], num_workers: int
) -> Iterator[list[ActorHandle]]:
    resources = dict(bundle)
    worker_class = ActorClass(
        Worker, {"num_cpus": resources.pop("CPU", 0), "num_gpus": resources.pop("GPU", 0)}
    ).options(resources=resources)
    # The coordinator's bundle, if there is one, comes before those of the workers.
    first = group.bundle_count - num_workers
    actors: list[ActorHandle] = []
    try:
        for index in range(first, group.bundle_count):
            strategy = PlacementGroupSchedulingStrategy(group, index)
            actors.append(worker_class.options(scheduling_strategy=strategy).remote())
        yield actors
    finally:
        for actor in actors:
            kill(actor)


def _has_room(group: PlacementGroup, bundle: Mapping[str, float], num_workers: int) -> bool:
    """Whether the last bundles of the caller's group are there for workers like these."""
    bundles = group.bundle_specs
    if any(get_runtime_context().get_assigned_resources().values()):
        bundles = bundles[1:]  # the first is what the caller itself holds
    last = bundles[-num_workers:]
    return len(last) == num_workers and all(
        each.get(name, 0) >= amount for each in last for name, amount in bundle.items()
    )


def _placements(node_ids: Sequence[str]) -> list[Placement]:
    nodes = list(dict.fromkeys(node_ids))
    return [
        Placement(
            world_rank=rank,
            world_size=len(node_ids),
            local_rank=node_ids[:rank].count(node),
            local_world_size=node_ids.count(node),
            node_rank=nodes.index(node),
        )
        for rank, node in enumerate(node_ids)
    ]


def _unset_sink(metrics: dict[str, Any], checkpoint: Any) -> None:
    raise AssertionError("the worker sets the sink")


@functools.cache
def _say_one_worker(backend: str) -> None:
    logger.warning(
        "The backend %r runs everything in this thread: trainers run with one worker here.",
        backend,
    )
