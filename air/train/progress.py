"""What a run shows of itself on a terminal while it trains; off a terminal it shows nothing.

While workers train in other processes, a line tells how many iterations are done, of how many if
that is known, how many a second, and the last metrics. It goes away in the end, and a line with
what came of the run stays. Where the training function runs in this process the terminal is its
own, for a debugger say, and only the last line is shown. The switch that silences the progress of
datasets, ``DataContext.enable_progress_bars``, silences this as well.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from air.train.metrics import AUTOMATIC, ITERATION, flatten, is_number

if TYPE_CHECKING:
    from rich.console import Console

MOST_METRICS = 4

Show = Callable[[Mapping[str, Any]], None]
"""Shows a row of results."""


@contextlib.contextmanager
def progress(name: str, total: int | None, path: str, *, live: bool) -> Iterator[Show]:
    """Show the rows of the run *name* until the end of the block, where that is wanted.

    Args:
        live: also on the way, and not only at the end.
        total: iterations, where it is known how many there will be.
        path: where its results are.
    """
    if not _is_wanted():
        yield _nothing
        return
    from rich.console import Console

    console = Console(file=sys.stderr)
    last: dict[str, Any] = {}
    began = time.monotonic()
    with _live(console, name, total) if live else contextlib.nullcontext(_nothing) as show:

        def keep_and_show(row: Mapping[str, Any]) -> None:
            last.clear()
            last.update(row)
            show(row)

        yield keep_and_show
    seconds = time.monotonic() - began
    with contextlib.suppress(OSError, ValueError):  # the terminal went away
        console.print(summary(name, last, seconds, path), markup=False, highlight=False)


def _nothing(_row: Mapping[str, Any]) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def _live(console: Console, name: str, total: int | None) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(name, total=total, said="starting")

        def show(row: Mapping[str, Any]) -> None:
            said = told(row, total, time.monotonic() - began)
            bars.update(task, completed=row[ITERATION], said=said)

        yield show


def told(row: Mapping[str, Any], total: int | None, seconds: float) -> str:
    """A row of results in a few words, *seconds* after the run began."""
    done = row[ITERATION]
    count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
    rate = f"{done / seconds:.3g}/s" if seconds > 0 else ""
    return "  ".join(part for part in (count, rate, _metrics(row)) if part)


def summary(name: str, row: Mapping[str, Any], seconds: float, path: str) -> str:
    """What came of a run whose last row this is, in a line; without a row, that there is none."""
    if not row:
        return f"{name}: nothing was reported in {seconds:.1f} s. Results: {path}"
    iterations = f"{row[ITERATION]:,} {'iteration' if row[ITERATION] == 1 else 'iterations'}"
    found = _metrics(row)
    return f"{name}: {iterations} in {seconds:.1f} s{found and f'; {found}'}. Results: {path}"


def _metrics(row: Mapping[str, Any]) -> str:
    numbers = [
        (name, value)
        for name, value in flatten(row)
        if is_number(value) and name not in AUTOMATIC and not isinstance(value, bool)
    ]
    return "  ".join(f"{name} {value:.5g}" for name, value in numbers[:MOST_METRICS])


def _is_wanted() -> bool:
    from air.data.context import DataContext

    try:
        return sys.stderr.isatty() and DataContext.get_current().enable_progress_bars
    except (AttributeError, ValueError):  # there is no such stream, or it is closed
        return False
