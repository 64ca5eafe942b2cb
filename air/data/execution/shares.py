"""How the stages of a segment share the cluster, so that none waits for another for ever.

Actors hold their resources as long as the segment runs, and all stages work at the same time: if
the pools took everything, the tasks that read for them, or a later pool, could never start.

The same goes for segments that run at the same time, because one takes the blocks of the other as
they are made (:class:`Beside`). What is behind a step that begins when all rows are there is not
among them: pools are made when there is work for them, and end with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from air.data.execution.stages import Stage
from air.errors import Unschedulable
from air.executor.options import actor_options, task_options
from air.executor.resources import CPU, Resources, describe

_REQUESTS = frozenset({"num_cpus", "num_gpus", "memory", "resources"})


@dataclass(frozen=True, slots=True)
class Share:
    """What a stage gets.

    Attributes:
        options: of its tasks or actors.
        smallest: actors at the start; 0 for tasks.
        largest: actors at most; 0 for tasks.
    """

    options: Mapping[str, Any]
    smallest: int = 0
    largest: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """What others need while some stages run.

    Attributes:
        held: by pools that take what these stages make.
        needed: by one actor of each pool whose blocks these stages take.
        tasks: whether tasks make these blocks, which hold a CPU if there is one.
    """

    held: Resources = field(default_factory=Resources)
    needed: Resources = field(default_factory=Resources)
    tasks: bool = False


NOBODY = Beside()


def share_cluster(
    stages: Sequence[Stage], supply: Resources, beside: Beside = NOBODY
) -> list[Share]:
    """Decide on pool sizes and task options.

    Pools that name no resources hold none, as actors do anyway. Other pools get as many actors
    as asked for, if there is room for one of each stage, and for what is *beside* them, and fewer
    otherwise. Tasks that name no resources hold a CPU, unless the pools need them all.

    Raises:
        Unschedulable: there is no room for one task or actor of each stage at the same time,
            although each would fit alone.
    """
    holders = [_Holder(stage) for stage in stages]
    counted = [holder for holder in holders if holder.request.fits_in(supply)]
    others = beside.held + beside.needed
    room = supply - others - Resources({CPU: 1 if beside.tasks else 0})
    if not _fits(counted, room):
        room = supply - others
        for holder in counted:
            if holder.gives_way:
                holder.request = Resources()
        if not _fits(counted, room):
            demands = "; ".join(f"{h.stage.name}: {describe(h.request)}" for h in counted)
            if others:
                demands += f"; pools of steps before and after these: {describe(others)}"
            raise Unschedulable(
                "the stages of this dataset run at the same time and need more together than the"
                f" cluster's {describe(supply)}. One of each takes {demands}. Ask for less, or"
                " materialize() between them"
            )
    pools = [holder for holder in counted if holder.stage.compute.pool is not None]
    for wanted in ("smallest", "largest"):
        _grow(pools, wanted, counted, supply, room)
        if wanted == "smallest":
            for holder in pools:
                holder.smallest = holder.size
    return [holder.share() for holder in holders]


class _Holder:
    """A stage while it is being decided what it holds."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.size = 1
        options = stage.compute.options
        asks = bool(_REQUESTS & options.keys())
        if stage.compute.pool is not None:
            self.request = actor_options(options).resources
            self.gives_way = False
        else:
            self.request = task_options(options).resources
            self.gives_way = not asks
        pool = stage.compute.pool
        self.smallest = pool.smallest if pool is not None else 0

    def share(self) -> Share:
        options = dict(self.stage.compute.options)
        if self.stage.compute.pool is None:
            if self.gives_way and not self.request:
                options["num_cpus"] = 0
            return Share(options)
        if not self.request:
            # They would all fit on one machine.
            options.setdefault("scheduling_strategy", "SPREAD")
        return Share(options, self.smallest, max(self.size, self.smallest))


def check_supply(stages: Sequence[Stage], supply: Resources) -> None:
    """Complain about what could not run on tasks either, where stages run without them.

    Raises:
        Unschedulable: a stage asks for more than all nodes have together.
    """
    for stage in stages:
        request = request_of(stage)
        if stage.compute.asked and not request.fits_in(supply):
            raise Unschedulable(
                f"{stage.name} needs {describe(request)}, which no node could ever give. All nodes"
                f" have {describe(supply)}"
            )


def _grow(
    pools: Sequence[_Holder],
    wanted: str,
    holders: Sequence[_Holder],
    supply: Resources,
    room: Resources,
) -> None:
    """Add actors to the pools in turn until they have what they want or nothing fits in *room*."""
    cpus = supply.get(CPU, 1.0)
    growing = list(pools)
    while growing:
        for holder in list(growing):
            pool = holder.stage.compute.pool
            assert pool is not None
            target = pool.smallest if wanted == "smallest" else pool.largest(cpus)
            holder.size += 1
            if holder.size > target or not _fits(holders, room):
                holder.size -= 1
                growing.remove(holder)


def held_by(stages: Sequence[Stage], shares: Sequence[Share]) -> Resources:
    """What the pools among *stages* hold when they have grown."""
    return _sum(
        (request_of(stage), share.largest) for stage, share in zip(stages, shares, strict=True)
    )


def request_of(stage: Stage) -> Resources:
    """What a task of *stage* holds, or an actor."""
    return _Holder(stage).request


def _fits(holders: Sequence[_Holder], room: Resources) -> bool:
    return _sum((holder.request, holder.size) for holder in holders).fits_in(room)


def _sum(requests: Iterable[tuple[Resources, int]]) -> Resources:
    total = Resources()
    for request, number in requests:
        for _ in range(number if request else 0):
            total += request
    return total
