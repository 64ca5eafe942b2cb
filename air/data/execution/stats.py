"""What an execution took, stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class SkippedRows:
    """Rows that an operator has left out, and what it said of the first."""

    first: str
    count: int = 0


@dataclass(slots=True)
class StageStats:
    """Totals of one stage; seconds are those of its work, summed over all processes."""

    name: str
    tasks: int = 0
    blocks: int = 0
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    skipped: dict[str, SkippedRows] = field(default_factory=dict)

    def skip(self, operator: str, count: int, first: str) -> None:
        """Count rows that *operator* has left out; of the first ones it said *first*."""
        known = self.skipped.setdefault(operator, SkippedRows(first))
        known.count += count

    def add(self, rows: int, size_bytes: int, seconds: float) -> None:
        """Count one block that came out."""
        self.blocks += 1
        self.rows += rows
        self.size_bytes += size_bytes
        self.seconds += seconds

    def __str__(self) -> str:
        where = f"{self.tasks} tasks" if self.tasks else "in the calling process"
        skips = "".join(
            f"; {one.count} rows skipped by {operator} (first {one.first})"
            for operator, one in self.skipped.items()
        )
        return (
            f"{self.name}: {self.rows} rows in {self.blocks} blocks, {_size(self.size_bytes)},"
            f" {self.seconds:.3f} s, {where}{skips}"
        )


@dataclass(slots=True)
class ExecutionStats:
    """The stages of one run of a plan, in the order in which data went through them."""

    stages: list[StageStats] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, names: Sequence[str]) -> list[StageStats]:
        """Add stages and return them to be filled."""
        begun = [StageStats(name) for name in names]
        with self._lock:
            self.stages.extend(begun)
        return begun

    def describe(self) -> str:
        """One line for each stage."""
        return "\n".join(f"{number}. {stage}" for number, stage in enumerate(self.stages, 1))


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"
