"""How the stages of a segment share the cluster, so that none waits for another for ever.

Actors hold their resources as long as the segment runs, and all stages work at the same time: if
the pools took everything, the tasks that read for them, or a later pool, could never start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


def share_cluster(stages: Sequence[Stage], supply: Resources) -> list[Share]:
    """Decide on pool sizes and task options.

    Pools that name no resources hold none, as actors do anyway. Other pools get as many actors
    as asked for, if there is room for one of each stage beside them, and fewer otherwise. Tasks
    that name no resources hold a CPU, unless the pools need them all.

    Raises:
        Unschedulable: there is no room for one task or actor of each stage at the same time,
            although each would fit alone.
    """
    holders = [_Holder(stage) for stage in stages]
    counted = [holder for holder in holders if holder.request.fits_in(supply)]
    if not _fits(counted, supply):
        for holder in counted:
            if holder.gives_way:
                holder.request = Resources()
        if not _fits(counted, supply):
            demands = "; ".join(f"{h.stage.name}: {describe(h.request)}" for h in counted)
            raise Unschedulable(
                "the stages of this dataset run at the same time and need more together than the"
                f" cluster's {describe(supply)}. One of each takes {demands}. Ask for less, or"
                " materialize() between them"
            )
    pools = [holder for holder in counted if holder.stage.compute.pool is not None]
    for wanted in ("smallest", "largest"):
        _grow(pools, wanted, counted, supply)
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
        request = _Holder(stage).request
        if stage.compute.asked and not request.fits_in(supply):
            raise Unschedulable(
                f"{stage.name} needs {describe(request)}, which no node could ever give. All nodes"
                f" have {describe(supply)}"
            )


def _grow(
    pools: Sequence[_Holder], wanted: str, holders: Sequence[_Holder], supply: Resources
) -> None:
    """Add actors to the pools in turn until they have what they want or nothing fits."""
    cpus = supply.get(CPU, 1.0)
    growing = list(pools)
    while growing:
        for holder in list(growing):
            pool = holder.stage.compute.pool
            assert pool is not None
            target = pool.smallest if wanted == "smallest" else pool.largest(cpus)
            holder.size += 1
            if holder.size > target or not _fits(holders, supply):
                holder.size -= 1
                growing.remove(holder)


def _fits(holders: Sequence[_Holder], supply: Resources) -> bool:
    total = Resources()
    for holder in holders:
        for _ in range(holder.size if holder.request else 0):
            total += holder.request
    return total.fits_in(supply)
