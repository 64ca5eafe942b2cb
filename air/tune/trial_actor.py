"""The actor that trials run in, one after the other."""

from __future__ import annotations

import contextvars
import threading
from queue import SimpleQueue

import msgspec

from air.tune.execution import Report, TrialFunction, TrialSpec, run_trial


class Step(msgspec.Struct, frozen=True):
    """What a trial did next: it reported, it ended, or both at once."""

    report: Report | None
    ended: bool


class TrialActor:
    """Runs the trainable in a thread, and hands over what it reports one by one.

    A ``report`` in the trainable waits until the driver has answered it. So a trial never runs past
    a decision to stop it, and what it knows to be reported is on record. One call of ``resume``
    both brings the answer and waits for the next step: a round trip for each report.

    One of ``begin`` and ``resume`` is under way for as long as a trial runs.
    """

    def __init__(self, function: TrialFunction) -> None:
        self._function = function
        self._attempt: _Attempt | None = None

    def begin(self, spec: TrialSpec) -> Step:
        """Start a trial, and wait for its first step."""
        self._attempt = _Attempt(self._function, spec)
        return self._attempt.next_step()

    def resume(self, stop: bool) -> Step:
        """Answer a report, and wait for the next step; raises what the trainable raised."""
        assert self._attempt is not None
        self._attempt.answer(stop)
        return self._attempt.next_step()


class _Attempt:
    def __init__(self, function: TrialFunction, spec: TrialSpec) -> None:
        self._function = function
        self._spec = spec
        self._items: SimpleQueue[Report | BaseException | None] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        # What runs where is kept in context variables: the thread belongs to the actor's call.
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._run,), name=f"trial-{spec.trial_id}", daemon=True
        ).start()

    def next_step(self) -> Step:
        item = self._items.get()
        if isinstance(item, BaseException):
            raise item
        return Step(item, ended=item is None or item.is_last)

    def answer(self, stop: bool) -> None:
        self._answers.put(stop)

    def _emit(self, report: Report) -> bool:
        self._items.put(report)
        return not report.is_last and self._answers.get()

    def _run(self) -> None:
        try:
            run_trial(self._function, self._spec, self._emit)
        except BaseException as error:  # it is the driver's to judge
            self._items.put(error)
        else:
            self._items.put(None)
