"""A line for each stage of what runs, on a terminal, while somebody waits for it.

Nothing is shown before half a second has passed, nor off a terminal, nor while nobody asks for the
next block: a program that works on what it has got, or a prompt, has its terminal for itself. What
is shown goes away in the end. The work only counts; a thread looks at the counts.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.data.context import DataContext
from air.data.execution.stats import ExecutionStats, StageStats
from air.data.viewing.shown import counted

if TYPE_CHECKING:
    from rich.table import Table

QUIET_SECONDS = 0.5
_PERIOD_SECONDS = 0.2
_LINGERS_SECONDS = 1.0
_MOST_STAGES = 8
_NAME_WIDTH = 40

_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Line:
    """What is shown of a stage.

    Attributes:
        share: of the work that is done, from 0 to 1, if it is known how much there is.
    """

    name: str
    share: float | None
    counts: str
    seconds: float


def lines_of(stages: Sequence[StageStats], now: float) -> list[Line]:
    """What to show at the time *now* of :func:`time.monotonic`; the last stages of very many."""
    return [_line(stage, now) for stage in stages[-_MOST_STAGES:]]


def _line(stage: StageStats, now: float) -> Line:
    share = None
    if stage.units is not None:
        share = min(stage.done / stage.units, 1.0) if stage.units else 1.0
    counts = counted(stage.rows, "row")
    if stage.units is not None:
        counts = f"{stage.done:,} of {counted(stage.units, 'piece')}, {counts}"
    is_done = share == 1.0 and stage.ended is not None
    until = stage.ended if is_done and stage.ended is not None else now
    name = stage.name
    if len(name) > _NAME_WIDTH:
        name = f"{name[: _NAME_WIDTH - 1]}…"
    return Line(name, share, counts, 0.0 if stage.began is None else until - stage.began)


def is_watched(stats: ExecutionStats, now: float) -> bool:
    """Whether somebody waits for the next block, or did a moment ago."""
    return stats.waits or now - stats.asked < _LINGERS_SECONDS


@contextlib.contextmanager
def progress(stats: ExecutionStats) -> Iterator[None]:
    """Show what *stats* count until the end of the block, where that is wanted."""
    if not (DataContext.get_current().enable_progress_bars and _is_terminal(sys.stderr)):
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_show, args=(stats, sys.stderr, ended), name="air-data-progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread is not threading.current_thread():
            thread.join()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _show(stats: ExecutionStats, stream: Any, ended: threading.Event) -> None:
    if ended.wait(QUIET_SECONDS) or not _one_at_a_time.acquire(blocking=False):
        return
    try:
        with contextlib.suppress(OSError, ValueError):  # the terminal went away
            _draw_until(stats, stream, ended)
    finally:
        _one_at_a_time.release()


def _draw_until(stats: ExecutionStats, stream: Any, ended: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    live: Live | None = None
    try:
        while not ended.wait(_PERIOD_SECONDS):
            now = time.monotonic()
            if not is_watched(stats, now):
                if live is not None:
                    live.stop()
                live = None
                continue
            if live is None:
                live = Live(console=console, auto_refresh=False, transient=True)
                live.start()
            live.update(_table(lines_of(stats.stages, now)), refresh=True)
    finally:
        if live is not None:
            live.stop()


def _table(lines: Sequence[Line]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for line in lines:
        bar = ProgressBar(1.0, line.share or 0.0, width=24, pulse=line.share is None)
        table.add_row(Text(line.name), bar, Text(line.counts), Text(f"{line.seconds:.1f} s"))
    return table
