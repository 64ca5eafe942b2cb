"""Where datasets are cut into parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np

from air.data.blocks.handle import BlockHandle
from air.data.datasource import Datasource, ReadTask
from air.data.datasources.paths import FileSet
from air.data.execution.exchange.partitioners import equal_edges
from air.data.plan import InputBlocks, Map, Node, Read, part_of
from air.errors import InvalidOption


def divide(handles: Sequence[BlockHandle], bounds: Sequence[int]) -> list[list[BlockHandle]]:
    """Ranges of rows ``bounds[i] <= row < bounds[i + 1]`` as handles to parts of blocks.

    Every range has at least one handle, if only one without rows, so that it knows its schema.

    Args:
        bounds: ascending, from 0 to the number of rows.
    """
    starts = list(itertools.accumulate((handle.num_rows for handle in handles), initial=0))
    ranges: list[list[BlockHandle]] = []
    for first, last in itertools.pairwise(bounds):
        pieces = [
            handle.slice(max(first - start, 0), last - start)
            for handle, start in zip(handles, starts, strict=False)
            if start < last and start + handle.num_rows > first
        ]
        ranges.append(pieces or [handle.slice(0, 0) for handle in handles[:1]])
    return ranges


def check_indices(indices: Sequence[int]) -> list[int]:
    """Return where to cut, checked.

    Raises:
        InvalidOption: empty, or not ascending whole numbers from 0.
    """
    given = list(indices) if _is_list(indices) else []
    if not given or not all(_is_whole(index) and index >= 0 for index in given):
        raise InvalidOption(
            "split_at_indices takes a list of whole numbers >= 0, such as [100, 200], got"
            f" {indices!r:.80}"
        )
    if given != sorted(given):
        raise InvalidOption(f"split_at_indices takes indices in ascending order, got {given}")
    return [int(index) for index in given]


def indices_for_proportions(rows: int, proportions: Sequence[float]) -> list[int]:
    """Where to cut *rows* rows for parts of these proportions, and one part with the rest.

    Raises:
        InvalidOption: empty, not all above 0, or not below 1 together.
    """
    given = list(proportions) if _is_list(proportions) else []
    if not given or not all(_is_number(share) and share > 0 for share in given):
        raise InvalidOption(
            f"split_proportionately takes a list of numbers above 0, got {proportions!r:.80}"
        )
    if math.fsum(given) >= 1:
        raise InvalidOption(
            "split_proportionately takes proportions below 1 together (the rest is one more"
            f" part), got {given} with the sum {math.fsum(given):g}"
        )
    return [_floor(rows * math.fsum(given[: index + 1])) for index in range(len(given))]


def rows_for_test(rows: int, test_size: float) -> int:
    """How many of *rows* rows are for testing: a share is rounded up, as scikit-learn does.

    Raises:
        InvalidOption: *test_size* leaves nothing to train or to test on.
    """
    test_rows = int(test_size) if _is_whole(test_size) else -_floor(-rows * test_size)
    if not 0 < test_rows < rows:
        raise InvalidOption(
            f"train_test_split: test_size={test_size!r} of {rows} rows leaves"
            f" {rows - test_rows} rows to train and {test_rows} to test on; both must have some"
        )
    return test_rows


def check_test_size(test_size: object) -> None:
    """Complain about a *test_size* that is wrong for any number of rows.

    Raises:
        InvalidOption: neither a share between 0 and 1 nor a whole number above 0.
    """
    value = float(test_size) if _is_number(test_size) else 0.0
    if not (value >= 1 if _is_whole(test_size) else 0 < value < 1):
        raise InvalidOption(
            "train_test_split: test_size must be a share between 0 and 1 or a number of rows"
            f" above 0, got {test_size!r}"
        )


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _floor(value: float) -> int:
    """Rounded down, but not because of what 0.1 + 0.2 is in binary."""
    nearest = round(value)
    return nearest if math.isclose(value, nearest, rel_tol=1e-12) else math.floor(value)


def divide_source(plan: Node, parts: int) -> list[Node] | None:
    """*plan* for each of *parts* contiguous shares of its source, if that can be divided.

    That takes a chain of operators that work on each piece by itself and ask for no resources
    of their own, over blocks, or over a read with at least as many pieces as parts. Shares of
    blocks have equally many rows.
    """
    maps: list[Map] = []
    while isinstance(plan, Map):
        if plan.compute.asked:
            return None
        maps.append(plan)
        plan = plan.input
    shares: list[Node] = []
    if isinstance(plan, InputBlocks):
        ranges = divide(plan.handles, equal_edges(plan.num_rows(), parts))
        shares = [
            InputBlocks(tuple(part), plan.label, part_of(plan.place, number))
            for number, part in enumerate(ranges)
        ]
    elif isinstance(plan, Read):
        tasks = plan.tasks()
        if len(tasks) < parts:
            return None
        edges = equal_edges(len(tasks), parts)
        for number, (first, last) in enumerate(itertools.pairwise(edges)):
            part = _SomeTasks(plan.source, tuple(tasks[first:last]))
            shares.append(Read(part, last - first, part_of(plan.place, number)))
    else:
        return None
    for node in reversed(maps):
        shares = [replace(node, input=share) for share in shares]
    return shares


@dataclass(frozen=True, slots=True)
class _SomeTasks(Datasource):
    """A share of the read tasks of another source."""

    whole: Datasource
    tasks: tuple[ReadTask, ...]

    @property
    def name(self) -> str:
        return self.whole.name

    def files_to_read(self) -> FileSet | None:
        return self.whole.files_to_read()

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        return list(self.tasks)

    def estimate_inmemory_data_size(self) -> int | None:
        sizes = [task.metadata.size_bytes for task in self.tasks]
        return None if None in sizes else sum(size for size in sizes if size is not None)
