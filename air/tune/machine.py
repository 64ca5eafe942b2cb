"""The life of an experiment and of its trials, as a state machine without any I/O.

``Experiment.apply(event)`` takes what happened (``air.tune.events``) and returns what to do about
it (``air.tune.instructions``). Decisions are part of the events (``Reported.stop``,
``Failed.retry``), so the state of the trials is a function of the events alone: replaying the
journal gives it back, whatever has become of the limits. The driver (``air.tune.driver``) carries
out each instruction, in order, before it applies the next event from outside; the events that an
instruction leads to are given below.

A trial:

    state       event                          next state
    ----------  -----------------------------  ------------------------------------------------
    (none)      Suggested                      PENDING
    PENDING     Started                        RUNNING
    RUNNING     Reported                       RUNNING
    RUNNING     Reported, stop                 STOPPING     -> StopTrial
    RUNNING     Ended                          TERMINATED   -> TellSearcher
    RUNNING     Failed, retry                  PENDING
    RUNNING     Failed                         ERROR        -> TellSearcher
    RUNNING     StopRequested                  STOPPING     -> StopTrial
    STOPPING    Reported                       STOPPING     (mostly too late; see ``counts``)
    STOPPING    Ended, Failed                  TERMINATED   -> TellSearcher
    RUNNING     Resumed                        PENDING, or TERMINATED if not to be resumed
    STOPPING    Resumed                        TERMINATED
    PENDING     Resumed                        PENDING, or TERMINATED if not to be resumed
    ERROR       Resumed                        ERROR, or PENDING if to be tried again

The experiment asks for a trial whenever it has room for one, one at a time:

    instruction     leads to one of
    --------------  -----------------------------
    AskSearcher     Suggested, Waiting, Exhausted
    StartTrial      Started
    StopTrial       Ended or Failed, later
    StopExperiment  StopRequested
    TellSearcher    (nothing)
    DropCheckpoint  (nothing)
    Finish          (nothing: the experiment is over)
"""

from __future__ import annotations

from collections.abc import Iterable

from air.errors import AirError
from air.train.metrics import ITERATION
from air.tune.events import (
    Ended,
    Event,
    Exhausted,
    Failed,
    Opened,
    Reported,
    Resumed,
    Started,
    StopRequested,
    Suggested,
    Waiting,
)
from air.tune.instructions import (
    AskSearcher,
    DropCheckpoint,
    Finish,
    Instruction,
    StartTrial,
    StopExperiment,
    StopTrial,
    TellSearcher,
)
from air.tune.trial import Limits, SavedCheckpoint, Trial, TrialState, sort_out


class IllegalEvent(AirError):
    """An event that cannot happen in the state the experiment is in: a bug, or a bad journal."""


class Experiment:
    """All trials of an experiment, and what comes next."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.opened: Opened | None = None
        self.trials: dict[str, Trial] = {}
        self.stop_reason: str | None = None
        """Why the experiment was ended early; ``None`` while it was not."""
        self._exhausted = False
        self._searcher_waits = False
        # Ordered sets (dicts without values): trials are started in the order they became ready.
        self._pending: dict[str, None] = {}
        self._busy: dict[str, None] = {}
        # AskSearcher or StartTrial, until the event that it leads to.
        self._outstanding: Instruction | None = None
        self._finished = False

    @classmethod
    def replay(cls, events: Iterable[Event], limits: Limits) -> Experiment:
        """The experiment after ``events``, as they were recorded."""
        experiment = cls(limits)
        for event in events:
            experiment.record(event)
        return experiment

    def apply(self, event: Event) -> list[Instruction]:
        """Take ``event`` into account and say what to do.

        Raises ``IllegalEvent`` where the tables above have no entry; nothing has changed then.
        """
        instructions = self.record(event)
        if any(isinstance(instruction, StopExperiment) for instruction in instructions):
            return instructions  # what comes next is for the StopRequested to say
        following = self._next()
        if following is not None:
            instructions.append(following)
        return instructions

    @property
    def finished(self) -> bool:
        """Whether ``Finish`` was the last word."""
        return self._finished

    @property
    def running(self) -> list[Trial]:
        """The trials that hold a slot."""
        return [self.trials[trial_id] for trial_id in self._busy]

    def may_retry(self, trial_id: str) -> bool:
        """Whether a trial that fails now is to be tried again."""
        allowed = self.limits.max_failures
        return allowed == -1 or self.trials[trial_id].failures < allowed

    def count(self, state: TrialState) -> int:
        """How many trials are in ``state``."""
        return sum(trial.state is state for trial in self.trials.values())

    def counts(self, event: Reported) -> bool:
        """Whether a result that is about to be recorded is a part of its trial.

        All are until the trial has been told to stop. Of one that has, so is what it adds to its
        last result, which for a trainer is the checkpoint of the model as it was then; and where
        it was not a result that stopped it, the one that it was working on.
        """
        trial = self.trials[event.trial_id]
        if trial.state is not TrialState.STOPPING:
            return trial.state is TrialState.RUNNING
        if not event.amends:
            return trial.result_to_come
        last = trial.last_result or {}
        return last.get(ITERATION) == event.metrics.get(ITERATION)

    # --- events -------------------------------------------------------------------------------

    def record(self, event: Event) -> list[Instruction]:
        """Take ``event`` into account, and say what follows from it alone: nothing new is begun."""
        match event:
            case Opened():
                if self.opened is not None:
                    raise IllegalEvent("An experiment is opened once.")
                self.opened = event
                return []
            case Suggested():
                return self._on_suggested(event)
            case Waiting():
                self._outstanding = None
                self._searcher_waits = True
                return []
            case Exhausted():
                self._outstanding = None
                self._exhausted = True
                return []
            case Started():
                return self._on_started(event)
            case Reported():
                return self._on_reported(event)
            case Ended():
                trial = self._trial(event, TrialState.RUNNING, TrialState.STOPPING)
                return self._over(trial, TrialState.TERMINATED)
            case Failed():
                return self._on_failed(event)
            case StopRequested(reason=reason):
                return self._on_stop_requested(reason)
            case Resumed():
                return self._on_resumed(event)

    def _on_suggested(self, event: Suggested) -> list[Instruction]:
        if event.trial_id in self.trials:
            raise IllegalEvent(f"There is a trial {event.trial_id!r} already.")
        self._outstanding = None
        self.trials[event.trial_id] = Trial(event.trial_id, event.name, event.config)
        self._pending[event.trial_id] = None
        return []

    def _on_started(self, event: Started) -> list[Instruction]:
        trial = self._trial(event, TrialState.PENDING)
        self._outstanding = None
        del self._pending[trial.trial_id]
        self._busy[trial.trial_id] = None
        trial.state = TrialState.RUNNING
        trial.rewind_to = event.results if event.results != trial.results else None
        return []

    def _on_reported(self, event: Reported) -> list[Instruction]:
        trial = self._trial(event, TrialState.RUNNING, TrialState.STOPPING)
        self._searcher_waits = False
        if not self.counts(event):
            return [] if event.checkpoint is None else [DropCheckpoint(event.checkpoint)]
        trial.result_to_come = False
        instructions: list[Instruction] = []
        if trial.rewind_to is not None:
            instructions += self._rewind(trial, trial.rewind_to)
        if not event.amends:
            trial.results += 1
        trial.last_result = event.metrics
        if event.checkpoint is not None:
            saved = SavedCheckpoint(
                event.checkpoint, trial.results, event.metrics, event.checkpoint_class
            )
            if trial.checkpoints and trial.checkpoints[-1].results == trial.results:
                instructions.append(DropCheckpoint(trial.checkpoints.pop().path))
            trial.checkpoints.append(saved)
            trial.resume_from = saved
            trial.checkpoints, dropped = sort_out(trial.checkpoints, self.limits)
            instructions += [DropCheckpoint(each.path) for each in dropped]
        if event.stop:
            trial.state = TrialState.STOPPING
            instructions.append(StopTrial(trial.trial_id))
        return instructions

    def _on_failed(self, event: Failed) -> list[Instruction]:
        trial = self._trial(event, TrialState.RUNNING, TrialState.STOPPING)
        if trial.state is TrialState.STOPPING:
            return self._over(trial, TrialState.TERMINATED)
        trial.failures += 1
        trial.failure = event.failure
        if not event.retry:
            instructions = self._over(trial, TrialState.ERROR)
            if self.limits.fail_fast and self.stop_reason is None:
                instructions.append(
                    StopExperiment(f"trial {trial.name} failed and fail_fast is set")
                )
            return instructions
        self._searcher_waits = False
        del self._busy[trial.trial_id]
        trial.state = TrialState.PENDING
        self._pending[trial.trial_id] = None
        return []

    def _on_stop_requested(self, reason: str) -> list[Instruction]:
        if self.stop_reason is not None:
            return []
        self.stop_reason = reason
        instructions: list[Instruction] = []
        for trial in self.running:
            if trial.state is TrialState.RUNNING:
                trial.state = TrialState.STOPPING
                trial.result_to_come = True
                instructions.append(StopTrial(trial.trial_id))
        return instructions

    def _on_resumed(self, event: Resumed) -> list[Instruction]:
        instructions: list[Instruction] = []
        self.stop_reason = None
        self._outstanding = None
        self._exhausted = self._searcher_waits = self._finished = False
        self._busy.clear()
        self._pending.clear()
        for trial in self.trials.values():
            match trial.state:
                case TrialState.TERMINATED:
                    continue
                case TrialState.STOPPING:
                    run_again = False
                case TrialState.PENDING | TrialState.RUNNING:
                    run_again = event.unfinished
                case TrialState.ERROR:
                    if event.errored == "keep":
                        continue
                    run_again = True
                    if event.errored == "restart":
                        trial.resume_from = None
            trial.failures, trial.failure, trial.result_to_come = 0, None, False
            if run_again:
                trial.state = TrialState.PENDING
                self._pending[trial.trial_id] = None
            else:
                trial.state = TrialState.TERMINATED
                instructions.append(TellSearcher(trial.trial_id))
        return instructions

    def _over(self, trial: Trial, state: TrialState) -> list[Instruction]:
        trial.state = state
        if state is TrialState.TERMINATED:
            trial.failure = None
        trial.resume_from = trial.checkpoints[-1] if trial.checkpoints else None
        trial.result_to_come = False
        del self._busy[trial.trial_id]
        self._searcher_waits = False
        return [TellSearcher(trial.trial_id)]

    # --- what comes next ----------------------------------------------------------------------

    def _next(self) -> Instruction | None:
        if self._outstanding is not None or self._finished:
            return None
        if self.stop_reason is None and len(self._busy) < self.limits.slots:
            if self._pending:
                trial = self.trials[next(iter(self._pending))]
                saved = trial.resume_from
                self._outstanding = StartTrial(
                    trial.trial_id,
                    saved.path if saved else None,
                    saved.results if saved else 0,
                )
                return self._outstanding
            if self._may_ask:
                self._outstanding = AskSearcher()
                return self._outstanding
        if not self._busy and (self.stop_reason is not None or not self._searcher_waits):
            self._finished = True
            return Finish()
        return None

    @property
    def _may_ask(self) -> bool:
        total = self.limits.total
        return (
            not self._exhausted
            and not self._searcher_waits
            and (total is None or len(self.trials) < total)
        )

    @property
    def is_stuck(self) -> bool:
        """Whether the searcher waits for results although no trial runs that could give one."""
        return self._searcher_waits and not self._busy and not self._finished

    def _rewind(self, trial: Trial, results: int) -> list[Instruction]:
        """Forget the results after number ``results``."""
        trial.rewind_to = None
        trial.results = results
        dropped = [saved for saved in trial.checkpoints if saved.results > results]
        trial.checkpoints = [saved for saved in trial.checkpoints if saved.results <= results]
        if trial.resume_from not in trial.checkpoints:
            trial.resume_from = None
        return [DropCheckpoint(saved.path) for saved in dropped]

    # --- checks -------------------------------------------------------------------------------

    def _trial(self, event: Started | Reported | Ended | Failed, *states: TrialState) -> Trial:
        trial = self.trials.get(event.trial_id)
        if trial is None:
            raise IllegalEvent(f"{event!r}: there is no such trial.")
        if trial.state not in states:
            raise IllegalEvent(f"{type(event).__name__} of a trial that is {trial.state.value}.")
        return trial

    def check(self) -> None:
        """Raise ``AssertionError`` unless everything that must always hold does."""
        busy = (TrialState.RUNNING, TrialState.STOPPING)
        for trial_id, trial in self.trials.items():
            assert trial.trial_id == trial_id
            assert (trial_id in self._busy) == (trial.state in busy), trial
            assert (trial_id in self._pending) == (trial.state is TrialState.PENDING), trial
            assert (trial.state is TrialState.ERROR) <= (trial.failure is not None), trial
            assert (trial.state is TrialState.TERMINATED) <= (trial.failure is None), trial
            assert (trial.results > 0) <= (trial.last_result is not None), trial
            ordinals = [saved.results for saved in trial.checkpoints]
            assert ordinals == sorted(set(ordinals)), trial
            assert all(1 <= ordinal <= trial.results for ordinal in ordinals), trial
            if trial.resume_from is not None:
                assert trial.resume_from in trial.checkpoints, trial
        assert len(self._busy) <= self.limits.slots
        assert not (self._finished and self._busy)
        assert not (self._finished and self._outstanding)
        if self.limits.total is not None:
            assert len(self.trials) <= self.limits.total
        if self.stop_reason is not None:
            assert all(self.trials[t].state is TrialState.STOPPING for t in self._busy)
        if isinstance(self._outstanding, StartTrial):
            assert self._outstanding.trial_id in self._pending
