"""What an experiment shows of itself: tables on a terminal, elsewhere one line at its end."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, TextIO

from air.train.metrics import AUTOMATIC, ITERATION, flatten, is_finite, is_number, lookup
from air.tune.events import Event, Reported
from air.tune.machine import Experiment
from air.tune.trial import Trial, TrialState

INTERVAL_S = 5.0
MAX_ROWS = 20
MAX_METRICS = 4
MAX_PARAMETERS = 6

# Those first that one wants to see when not all can be shown.
_URGENCY = [
    TrialState.ERROR,
    TrialState.RUNNING,
    TrialState.STOPPING,
    TrialState.PENDING,
    TrialState.TERMINATED,
]
_WORDS = {
    TrialState.TERMINATED: "finished",
    TrialState.ERROR: "failed",
    TrialState.RUNNING: "running",
    TrialState.STOPPING: "stopping",
    TrialState.PENDING: "waiting",
}


class Progress:
    """A watcher that prints to the standard error stream, and does without one that fails."""

    def __init__(self, metric: str | None, mode: str | None, directory: str) -> None:
        self._metric = metric
        self._mode = mode
        self._directory = directory
        self._is_terminal = _is_terminal()
        self._began = self._shown_at = time.monotonic()
        self._metrics: list[str] = [metric] if metric else []

    def on_event(self, experiment: Experiment, event: Event) -> None:
        """Print a table if it is time for one."""
        if not self._is_terminal:
            return
        if isinstance(event, Reported) and not self._metrics:
            numbers = [name for name, value in flatten(event.metrics) if is_number(value)]
            self._metrics = [name for name in numbers if name not in AUTOMATIC][:MAX_METRICS]
        now = time.monotonic()
        if now - self._shown_at >= INTERVAL_S:
            self._shown_at = now
            self._print_table(experiment)

    def close(self, experiment: Experiment) -> None:
        """Print what the experiment came to."""
        if self._is_terminal:
            self._print_table(experiment)
        stream = _stream()
        if stream is not None:
            with contextlib.suppress(OSError):
                print(f"{self._summary(experiment)}. Results: {self._directory}", file=stream)

    def _summary(self, experiment: Experiment) -> str:
        counts = {state: experiment.count(state) for state in _WORDS}
        words = [f"{count} {_WORDS[state]}" for state, count in counts.items() if count]
        line = f"{len(experiment.trials)} trials in {time.monotonic() - self._began:.1f} s"
        line += f" ({', '.join(words) or 'none'})"
        best = self._best(experiment)
        if best is not None and self._metric is not None:
            value = lookup(best.last_result or {}, self._metric)
            line += f", best {self._metric} {_short(value)} ({best.name})"
        if experiment.stop_reason is not None:
            line += f", ended early: {experiment.stop_reason}"
        return line

    def _best(self, experiment: Experiment) -> Trial | None:
        """The trial whose last result is best by the metric of the experiment."""
        if self._metric is None or self._mode is None:
            return None
        scored = [
            (value, trial)
            for trial in experiment.trials.values()
            if is_finite(value := lookup(trial.last_result or {}, self._metric))
        ]
        if not scored:
            return None
        best = max if self._mode == "max" else min
        return best(scored, key=lambda pair: pair[0])[1]

    def _print_table(self, experiment: Experiment) -> None:
        stream = _stream()
        if stream is None:
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        ordered = sorted(experiment.trials.values(), key=lambda each: _URGENCY.index(each.state))
        shown = ordered[:MAX_ROWS]
        names = [name for trial in shown for name, _ in flatten(trial.config)]
        parameters = list(dict.fromkeys(names))[:MAX_PARAMETERS]
        table = Table(title=escape(self._summary(experiment)), title_justify="left")
        for name in ("trial", "state", *parameters, "iteration", "time (s)", *self._metrics):
            table.add_column(escape(name))
        for trial in shown:
            config, result = dict(flatten(trial.config)), trial.last_result or {}
            values = [
                *(config.get(name) for name in parameters),
                result.get(ITERATION),
                result.get("time_total_s"),
                *(lookup(result, name) for name in self._metrics),
            ]
            cells = [trial.name, _WORDS[trial.state], *map(_short, values)]
            table.add_row(*map(escape, cells))
        if len(ordered) > MAX_ROWS:
            table.caption = f"and {len(ordered) - MAX_ROWS} more trials"
        with contextlib.suppress(OSError):
            Console(file=stream).print(table)


def _stream() -> TextIO | None:
    """Where to print; ``None`` where the program was started without a stream, or closed it."""
    stream = sys.stderr
    return None if getattr(stream, "closed", False) else stream


def _is_terminal() -> bool:
    stream = _stream()
    return stream is not None and hasattr(stream, "isatty") and stream.isatty()


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
