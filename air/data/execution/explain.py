"""How a plan would run, in words. Nothing is run for it, and no backend started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from air.data.budget import current_budget
from air.data.context import DataContext
from air.data.execution.placement import Placement, decide
from air.data.execution.stages import Stage, fuse
from air.data.optimizer import optimize
from air.data.plan import (
    Aggregate,
    Checkpointed,
    Distinct,
    GroupRows,
    InputBlocks,
    Join,
    Limit,
    Map,
    Node,
    RandomizeBlockOrder,
    RandomSample,
    RandomShuffle,
    Read,
    Repartition,
    Sort,
    TopOf,
    Union,
    Zip,
    told_apart,
)
from air.data.viewing.shown import counted, size_text
from air.executor.capabilities import Capability
from air.executor.current import get_executor, is_initialized

_EXCHANGE = "begins when all rows of the steps before are there; those beyond half of the budget"
_WAYS: Mapping[type[Node], str] = {
    Aggregate: "states of all blocks are put together, in the order of the blocks",
    Checkpointed: "what is in files already is read there, the rest is made and kept",
    Distinct: f"{_EXCHANGE} wait in files",
    GroupRows: f"{_EXCHANGE} wait in files",
    Join: "one side is held whole; where both are large they are sorted first",
    Limit: "nothing is made once there are enough rows",
    RandomSample: "each block by itself, on the way",
    RandomShuffle: f"{_EXCHANGE} wait in files",
    RandomizeBlockOrder: "begins when all blocks of the steps before are there",
    Repartition: f"{_EXCHANGE} wait in files",
    Sort: f"{_EXCHANGE} wait in files",
    TopOf: "the first rows of each block, then of all of these",
    Union: "one after the other",
    Zip: "the right side is made first",
}


def explain(plan: Node) -> str:
    """The plan, what is made of it, and the steps in which that would run."""
    plan = told_apart(plan)
    optimized = optimize(plan)
    lines = ["As it was written:", *tree(plan), "", "After optimization:", *tree(optimized), ""]
    steps = list(_steps(optimized))
    lines.append("It runs as:")
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)] or ["rows are there"]
    return "\n".join([*lines, "", _budget()])


def tree(node: Node, depth: int = 0) -> Iterator[str]:
    """A line for each step, those that it is made from indented below it."""
    told = node.source.pushed() if isinstance(node, Read) else ""
    yield f"{'   ' * depth}+- {node.name}{f' [{told}]' if told else ''}"
    for below in node.inputs:
        yield from tree(below, depth + 1)


def _steps(node: Node) -> Iterator[str]:
    """A line for each stage and each exchange, in the order of the data."""
    maps: list[Map] = []
    below = node
    while isinstance(below, Map):
        maps.append(below)
        below = below.input
    if not isinstance(below, (Read, InputBlocks)):
        for one in below.inputs:
            yield from _steps(one)
        yield f"{below.name}: {_WAYS.get(type(below), 'puts together the results before it')}"
    stages = fuse(maps[::-1], reads=isinstance(below, Read))
    if stages:
        yield from _described(stages, below)


def _described(stages: list[Stage], base: Node) -> Iterator[str]:
    size = count = None
    if isinstance(base, Read):
        size = base.source.estimate_inmemory_data_size()
        count = base.num_blocks()
    elif isinstance(base, InputBlocks):
        size = sum(handle.size_bytes for handle in base.handles)
        count = len(base.handles)
    placement = decide(
        stages,
        size_bytes=size,
        num_units=count,
        limited=False,
        stay=False,
        can_run_in_parallel=_may_run_in_parallel,
    )
    pieces = "" if count is None else f", {counted(count, 'piece')}"
    about = "" if size is None else f", about {size_text(size)}"
    for number, stage in enumerate(stages):
        works_on = f"{pieces}{about}" if number == 0 else ""
        yield f"{stage.name}: {_place(stage, placement)}{works_on}"


def _place(stage: Stage, placement: Placement) -> str:
    if placement is not Placement.TASKS:
        return placement.value
    pool, options = stage.compute.pool, dict(stage.compute.options)
    asks = f" with {', '.join(f'{k}={v!r}' for k, v in options.items())}" if options else ""
    if pool is None:
        most = stage.compute.max_tasks
        return f"on {f'at most {most} ' if most else ''}tasks{asks}"
    if pool.size or pool.max_size == pool.smallest:
        return f"on {pool.smallest} actors{asks}"
    return f"on {pool.smallest} to {pool.max_size or 'as many as there are CPUs'} actors{asks}"


def _may_run_in_parallel() -> bool:
    """Whether the backend does, as far as one can tell without starting it."""
    if not is_initialized():
        return True
    return Capability.PARALLEL_TASKS in get_executor().capabilities


def _budget() -> str:
    if is_initialized():
        budget = size_text(current_budget().total_bytes)
    else:
        chosen = DataContext.get_current().memory_budget
        budget = "a quarter of the object store" if chosen is None else size_text(chosen)
    return f"Memory for blocks that are on the way or wait: {budget}"
