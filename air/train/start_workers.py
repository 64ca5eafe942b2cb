"""Starting the workers of a run: reserving what they hold, and giving it back."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from air.config import ScalingConfig
from air.core.actor import ActorClass
from air.core.api import get, kill
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
from air.executor.handles import ActorHandle
from air.train.actor_workers import ActorWorkerGroup
from air.train.inline_worker import InlineWorkerGroup
from air.train.worker import Worker
from air.train.worker_group import WorkerGroup
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

logger = logging.getLogger(__name__)


@contextmanager
def worker_group(scaling: ScalingConfig) -> Iterator[WorkerGroup]:
    """The workers that *scaling* asks for; whatever happens, they are gone afterwards.

    Inside a placement group that has room for them (a trial's) they run there, otherwise in one
    of their own.

    Raises:
        Unschedulable: no node could ever hold them. Where everything runs in one thread this goes
            for one worker, which is all that there is.
    """
    num_workers = scaling.num_workers or 1
    if Capability.PARALLEL_TASKS not in get_executor().capabilities:
        if num_workers > 1:
            _say_one_worker(get_executor().name)
        with _naming(scaling):
            check_possible(replace(scaling, num_workers=1).bundles, scaling.placement_strategy)
        yield InlineWorkerGroup()
        return
    outer = get_current_placement_group()
    if outer is not None and _has_room(outer, scaling.worker_bundle, num_workers):
        with _actors(outer, scaling.worker_bundle, num_workers) as actors:
            yield ActorWorkerGroup(actors)
        return
    with _naming(scaling):
        group = _reserve(scaling.bundles, scaling.placement_strategy)
    try:
        if group is not None:
            get(group.ready())
        with _actors(group, scaling.worker_bundle, num_workers) as actors:
            yield ActorWorkerGroup(actors)
    finally:
        if group is not None:
            remove_placement_group(group)


def effective_num_workers(scaling: ScalingConfig) -> int:
    """How many workers :func:`worker_group` gives on the running backend."""
    if Capability.PARALLEL_TASKS not in get_executor().capabilities:
        return 1
    return scaling.num_workers or 1


def check_possible(bundles: Sequence[Mapping[str, float]], strategy: str) -> None:
    """Raise `Unschedulable` if no node could ever hold *bundles*; empty ones do not count."""
    group = _reserve(bundles, strategy)
    if group is not None:
        remove_placement_group(group)


def _reserve(bundles: Sequence[Mapping[str, float]], strategy: str) -> PlacementGroup | None:
    """A placement group for *bundles*; ``None`` if they are all empty."""
    filled = [bundle for bundle in bundles if bundle]
    return placement_group(filled, strategy=strategy) if filled else None


@contextmanager
def _naming(scaling: ScalingConfig) -> Iterator[None]:
    """Say in an error where the request came from."""
    try:
        yield
    except Unschedulable as error:
        trainer = f" and trainer_resources={scaling.trainer_bundle}"
        error.add_note(
            f"(ScalingConfig asks for num_workers={scaling.num_workers or 1} with "
            f"{scaling.worker_bundle} each{trainer if scaling.trainer_bundle else ''}: ask for "
            "less, or start a backend that has it)"
        )
        raise


@contextmanager
def _actors(
    group: PlacementGroup | None, bundle: Mapping[str, float], num_workers: int
) -> Iterator[list[ActorHandle]]:
    resources = dict(bundle)
    worker_class = ActorClass(
        Worker, {"num_cpus": resources.pop("CPU", 0), "num_gpus": resources.pop("GPU", 0)}
    ).options(memory=resources.pop("memory", None), resources=resources)
    actors: list[ActorHandle] = []
    try:
        for index in range(num_workers):
            placed = worker_class
            if group is not None:
                # The coordinator's bundle, if there is one, comes before those of the workers.
                # Workers that hold nothing have none.
                own = group.bundle_count - num_workers + index if bundle else -1
                strategy = PlacementGroupSchedulingStrategy(group, own)
                placed = worker_class.options(scheduling_strategy=strategy)
            actors.append(placed.remote())
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


@functools.cache
def _say_one_worker(backend: str) -> None:
    logger.warning(
        "The backend %r runs everything in this thread: trainers run with one worker here.",
        backend,
    )
