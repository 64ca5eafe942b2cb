"""What an execution took, stage by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from air.data.execution.cost import Cost
from air.data.viewing.shown import counted, size_text


@dataclass(slots=True)
class SkippedRows:
    """Rows that an operator has left out, and what it said of the first."""

    first: str
    count: int = 0


@dataclass(slots=True)
class StageStats:
    """Totals of one stage.

    Attributes:
        units: pieces of work that there are, if that is known beforehand.
        tasks: pieces of work that were done as tasks.
        done: pieces of work that have ended.
        seconds, cpu_seconds: of its work, summed over all processes.
        peak_bytes: the most memory that a process had which worked on it.
        began, ended: when the work on the first block began, and when the last one was there, on
            the clock of :func:`time.monotonic`.
    """

    name: str
    units: int | None = None
    tasks: int = 0
    done: int = 0
    blocks: int = 0
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    began: float | None = None
    ended: float | None = None
    skipped: dict[str, SkippedRows] = field(default_factory=dict)

    def skip(self, operator: str, count: int, first: str) -> None:
        """Count rows that *operator* has left out; of the first ones it said *first*."""
        known = self.skipped.setdefault(operator, SkippedRows(first))
        known.count += count

    def add(self, rows: int, size_bytes: int, cost: Cost) -> None:
        """Count one block that came out."""
        self.blocks += 1
        self.rows += rows
        self.size_bytes += size_bytes
        self.seconds += cost.seconds
        self.cpu_seconds += cost.cpu_seconds
        self.peak_bytes = max(self.peak_bytes, cost.peak_bytes)
        self.ended = time.monotonic()
        began = self.ended - cost.seconds
        self.began = began if self.began is None else min(self.began, began)

    @property
    def wall_seconds(self) -> float:
        """From the beginning of the first work to the end of the last."""
        return self.ended - self.began if self.ended is not None and self.began is not None else 0.0

    def __str__(self) -> str:
        where = counted(self.tasks, "task") if self.tasks else "in the calling process"
        skips = "".join(
            f"; {one.count} rows skipped by {operator} (first {one.first})"
            for operator, one in self.skipped.items()
        )
        return (
            f"{self.name}: {counted(self.rows, 'row')} in {counted(self.blocks, 'block')},"
            f" {size_text(self.size_bytes)};"
            f" took {self.wall_seconds:.3f} s (work {self.seconds:.3f} s, CPU"
            f" {self.cpu_seconds:.3f} s), peak memory {size_text(self.peak_bytes)}; {where}{skips}"
        )


@dataclass(slots=True)
class ExecutionStats:
    """The stages of one run of a plan.

    Attributes:
        waits: whether somebody waits for the next block now.
        asked: when somebody last began to wait for one, or had one.
    """

    stages: list[StageStats] = field(default_factory=list)
    spilled_bytes: int = 0
    spilled_files: int = 0
    waits: bool = False
    asked: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, names: Sequence[str], units: int | None = None) -> list[StageStats]:
        """Add stages and return them to be filled; *units* are pieces of work for the first."""
        begun = [StageStats(name) for name in names]
        if begun:
            begun[0].units = units
        with self._lock:
            self.stages.extend(begun)
        return begun

    def spilled(self, size_bytes: int) -> None:
        """Count a file that blocks were written to because memory was short."""
        with self._lock:
            self.spilled_bytes += size_bytes
            self.spilled_files += 1

    def describe(self) -> str:
        """One line for each stage, and one for what they have in common, if there is more."""
        # The last ones are begun first, because they ask the others for what they work on.
        ordered = sorted(self.stages, key=lambda stage: (stage.began is None, stage.began or 0.0))
        lines = [f"{number}. {stage}" for number, stage in enumerate(ordered, 1)]
        began = [stage.began for stage in self.stages if stage.began is not None]
        ended = [stage.ended for stage in self.stages if stage.ended is not None]
        if len(self.stages) > 1 and began:
            lines.append(f"all together took {max(ended) - min(began):.3f} s")
        if self.spilled_files:
            lines.append(
                f"{size_text(self.spilled_bytes)} waited in {counted(self.spilled_files, 'file')},"
                " because there was more than half of the memory budget waiting"
            )
        return "\n".join(lines)
