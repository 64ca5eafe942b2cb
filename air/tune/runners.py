"""Where trials run: in this thread one by one, or many at a time in actors.

A runner is told which trials to run and calls back with what they do. It knows nothing of the
experiment; the driver decides.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Protocol

import msgspec

from air.train.failures import failure_of
from air.train.session import StopTraining
from air.tune.execution import Report, TrialFunction, TrialSpec, run_trial


class Listener(Protocol):
    """Hears what the trials of a runner do, in the thread that polls it."""

    def on_report(self, trial_id: str, report: Report) -> bool:
        """A trial reported; returns whether it is to stop."""
        ...

    def on_end(self, trial_id: str) -> None:
        """A trial's function has ended."""
        ...

    def on_failure(self, trial_id: str, error: BaseException) -> None:
        """A trial's function raised, or its process died."""
        ...


class Runner(ABC):
    """Runs trials. Not for use from several threads at once."""

    slots: int
    """The most trials that can make progress at the same time."""

    @abstractmethod
    def start(self, spec: TrialSpec) -> None:
        """Run a trial. Its events come with a later ``poll``."""

    @abstractmethod
    def stop(self, trial_id: str) -> None:
        """Bring a trial to its end, which is then reported as any other."""

    @abstractmethod
    def poll(self, listener: Listener, timeout: float | None) -> None:
        """Pass on what has happened; waits for something to happen, at most ``timeout`` seconds.

        What the listener raises comes out of here.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up on trials that still run, and release everything. Safe to call twice."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class InlineRunner(Runner):
    """Runs one trial at a time, in the thread that polls.

    A debugger stops in the trainable as in any function, and a decision to stop takes effect
    inside the call of ``report`` that led to it. A time limit takes effect at the next report.
    """

    slots = 1

    def __init__(self, function: TrialFunction) -> None:
        self._function = function
        self._queue: deque[TrialSpec] = deque()
        self._stopped: set[str] = set()

    def start(self, spec: TrialSpec) -> None:
        self._queue.append(spec)

    def stop(self, trial_id: str) -> None:
        # For a trial that has not begun. One that runs learns it from the report in whose course
        # this is called.
        self._stopped.add(trial_id)

    def poll(self, listener: Listener, timeout: float | None) -> None:
        if not self._queue:
            return
        spec = self._queue.popleft()
        if spec.trial_id in self._stopped:
            listener.on_end(spec.trial_id)
            return
        trouble: list[BaseException] = []

        def emit(report: Report) -> bool:
            try:
                return listener.on_report(spec.trial_id, report)
            except BaseException as error:
                # Not the function's error: the function is to end, and the caller to see it.
                trouble.append(error)
                raise StopTraining from None

        # As elsewhere, what the function does to its config is its own affair.
        own = msgspec.structs.replace(spec, config=copy.deepcopy(spec.config))
        failure = failure_of(lambda: run_trial(self._function, own, emit), spec.name)
        if trouble:
            raise trouble[0]
        if failure is not None:
            listener.on_failure(spec.trial_id, failure)
        else:
            listener.on_end(spec.trial_id)

    def close(self) -> None:
        self._queue.clear()
