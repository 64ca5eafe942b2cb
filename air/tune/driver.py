"""Runs an experiment: carries out what the state machine says, and tells it what happened."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air.train.failures import NOT_TO_BE_TRIED_AGAIN
from air.train.metrics import lookup, names_in, never_reported
from air.tune import failures
from air.tune.events import (
    Ended,
    Event,
    Exhausted,
    Failed,
    Opened,
    Reported,
    Started,
    StopRequested,
    Suggested,
    Waiting,
)
from air.tune.execution import Report, TrialSpec, delete_strays, delete_unfinished
from air.tune.failures import TuneError
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
from air.tune.journal import Journal
from air.tune.machine import Experiment
from air.tune.restoring import tell
from air.tune.runners import Runner
from air.tune.schedulers import TrialScheduler
from air.tune.search import Searcher
from air.tune.search.space import Space
from air.tune.stopping import StopRule
from air.tune.trial import Limits, Trial, TrialState

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Shows the progress of an experiment."""

    def on_event(self, experiment: Experiment, event: Event) -> None:
        """``event`` has happened, and is in ``experiment``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an experiment is run by; all of it checked, nothing of it begun.

    ``name_of`` and ``bundles_of`` give the name of a trial, and what one with a config reserves.
    ``own_space`` is laid under the suggestions of a searcher that brings its own space, and is
    ``None`` where suggestions are whole configurations.
    """

    limits: Limits
    searcher: Searcher
    scheduler: TrialScheduler
    stop_rule: StopRule
    name_of: Callable[[Trial], str]
    bundles_of: Callable[[Mapping[str, Any]], Sequence[Mapping[str, float]]]
    own_space: Space | None = None
    metric: str | None = None
    budget_s: float | None = None


class Driver:
    """One run of an experiment, from its start or from where it was left."""

    def __init__(
        self,
        plan: Plan,
        experiment: Experiment,
        opened: Opened,
        journal: Journal,
        runner: Runner,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._plan = plan
        self._experiment = experiment
        self._journal = journal
        self._runner = runner
        self._watchers = watchers
        self._directory = os.path.dirname(journal.path)
        self._name = opened.name
        self._experiment_id = opened.experiment_id
        self._todo: deque[Instruction] = deque()
        self._busy = False
        self._deadline: float | None = None
        self._names = {trial.name for trial in experiment.trials.values()}
        self._metric_seen = plan.metric is None or any(
            lookup(trial.last_result or {}, plan.metric) is not None
            for trial in experiment.trials.values()
        )
        self.errors: dict[str, BaseException] = {}
        """The exceptions that trials failed with last, by trial."""

    def run(self, first: Event) -> None:
        """Run until the experiment is over; ``first`` is what it is set going with.

        Raises what the searcher, the scheduler, a stop criterion or the journal raise, and
        ``TuneError`` where the search cannot go on. The journal holds all that happened in any
        case, and no trial runs any more.
        """
        try:
            self._run(first)
        except BaseException:
            self._runner.close()
            for trial in self._experiment.running:
                self._clean_up(trial)
            raise

    def _run(self, first: Event) -> None:
        budget = self._plan.budget_s
        self._deadline = None if budget is None else time.monotonic() + budget
        self._apply(first)
        while not self._experiment.finished:
            if self._experiment.is_stuck:
                raise TuneError(
                    f"The searcher {type(self._plan.searcher).__name__} proposes no configuration, "
                    "although no trial runs whose result it could wait for."
                )
            self._runner.poll(self, self._time_left())
            self._keep_to_budget()

    # --- what the runner says -----------------------------------------------------------------

    def on_report(self, trial_id: str, report: Report) -> bool:
        trial = self._experiment.trials[trial_id]
        event = Reported(
            trial_id,
            report.metrics,
            report.checkpoint,
            report.amends,
            checkpoint_class=report.checkpoint_class,
        )
        if trial.state is not TrialState.RUNNING:
            self._apply(event)
            return True
        plan = self._plan
        if not self._metric_seen and plan.metric is not None:
            self._metric_seen = lookup(report.metrics, plan.metric) is not None
        if report.checkpoint is not None:
            self._check_score(report)
        decision = plan.scheduler.on_trial_result(self._experiment, trial, report.metrics)
        if decision not in (plan.scheduler.CONTINUE, plan.scheduler.STOP):
            raise TuneError(
                f"{type(plan.scheduler).__name__}.on_trial_result returned {decision!r}; it "
                "returns TrialScheduler.CONTINUE or TrialScheduler.STOP."
            )
        stop = decision == plan.scheduler.STOP
        stop = plan.stop_rule.stops_trial(trial_id, report.metrics) or stop
        self._apply(msgspec.structs.replace(event, stop=stop))
        plan.searcher.on_trial_result(trial_id, report.metrics)
        if plan.stop_rule.stops_experiment():
            self._apply(StopRequested("the stop criterion of the RunConfig ended the experiment"))
        self._keep_to_budget()
        return trial.state is not TrialState.RUNNING

    def on_end(self, trial_id: str) -> None:
        self._clean_up(self._experiment.trials[trial_id])
        self._apply(Ended(trial_id))
        self._check_metric(self._experiment.trials[trial_id])

    def on_failure(self, trial_id: str, error: BaseException) -> None:
        self._clean_up(self._experiment.trials[trial_id])
        self.errors[trial_id] = error
        is_hopeless = isinstance(error, NOT_TO_BE_TRIED_AGAIN)
        retry = not is_hopeless and self._experiment.may_retry(trial_id)
        self._apply(Failed(trial_id, failures.capture(error), retry))
        trial = self._experiment.trials[trial_id]
        if trial.state is not TrialState.TERMINATED:
            logger.warning(
                "Trial %s failed%s: %s: %s",
                trial.name,
                "" if trial.state is TrialState.ERROR else " and is tried again",
                type(error).__name__,
                str(error).partition("\n")[0],
            )

    # --- what the machine says ----------------------------------------------------------------

    def _apply(self, event: Event) -> None:
        """Let ``event`` happen, and everything that follows from it."""
        instructions = self._experiment.apply(event)
        # From here on it has happened: it is on record before it has consequences. How a search
        # algorithm bides its time is of no interest to anyone later.
        if not isinstance(event, (Opened, Waiting)):
            self._journal.append(event)
        self._todo.extend(instructions)
        for watcher in self._watchers:
            watcher.on_event(self._experiment, event)
        if self._busy:
            return  # an instruction led here; the loop below goes on with what was added
        self._busy = True
        try:
            while self._todo:
                self._carry_out(self._todo.popleft())
        finally:
            self._busy = False

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case AskSearcher():
                self._ask()
            case StartTrial(trial_id=trial_id):
                self._start(self._experiment.trials[trial_id], instruction)
            case StopTrial(trial_id=trial_id):
                self._runner.stop(trial_id)
            case TellSearcher(trial_id=trial_id):
                plan, trial = self._plan, self._experiment.trials[trial_id]
                tell(self._experiment, trial, plan.searcher, plan.scheduler)
            case DropCheckpoint(path=path):
                with suppress(FileNotFoundError):
                    shutil.rmtree(os.path.join(self._directory, path))
            case StopExperiment(reason=reason):
                self._apply(StopRequested(reason))
            case Finish():
                pass

    def _ask(self) -> None:
        searcher = self._plan.searcher
        trial_id = f"{self._experiment_id}_{len(self._experiment.trials):05d}"
        suggestion = searcher.suggest(trial_id)
        if suggestion is None:
            self._apply(Waiting())
        elif isinstance(suggestion, str) and suggestion == searcher.FINISHED:
            self._apply(Exhausted())
        elif isinstance(suggestion, Mapping):
            config = dict(suggestion)
            if self._plan.own_space is not None:
                config = _overlay(self._plan.own_space.constants(), config)
            trial = Trial(trial_id, "", config)
            state = searcher.get_state()
            packed = pickle.dumps(state) if state else None
            self._apply(Suggested(trial_id, self._name_of(trial), config, packed))
            self._plan.scheduler.on_trial_add(self._experiment, self._experiment.trials[trial_id])
        else:
            raise TuneError(
                f"{type(searcher).__name__}.suggest returned {suggestion!r}; it returns a dict, "
                "None or Searcher.FINISHED."
            )

    def _name_of(self, trial: Trial) -> str:
        name = self._plan.name_of(trial)
        if not isinstance(name, str) or os.path.basename(name) != name or name[:1] in ("", "."):
            raise InvalidOption(
                f"TuneConfig.trial_name_creator gave the trial {trial.trial_id} the name {name!r}; "
                "a name is text that can name a directory."
            )
        if name in self._names:
            raise InvalidOption(
                f"TuneConfig.trial_name_creator gave the name {name!r} to two trials; make it "
                "unique, for example with trial.trial_id."
            )
        self._names.add(name)
        return name

    def _start(self, trial: Trial, instruction: StartTrial) -> None:
        started = Started(trial.trial_id, instruction.checkpoint, instruction.results)
        try:
            bundles = self._plan.bundles_of(trial.config)
        except Exception as error:  # a trainer checks the config, and this one will not do
            self._apply(started)
            self.on_failure(trial.trial_id, error)
            return
        saved = trial.resume_from
        spec = TrialSpec(
            trial_id=trial.trial_id,
            name=trial.name,
            experiment_name=self._name,
            experiment_dir=self._directory,
            config=trial.config,
            bundles=bundles,
            checkpoint=os.path.join(self._directory, saved.path) if saved else None,
            last_result=saved.metrics if saved else None,
            checkpoint_class=saved.kind if saved else None,
        )
        delete_strays(spec.directory, [each.path for each in trial.checkpoints])
        self._runner.start(spec)
        self._apply(started)

    def _clean_up(self, trial: Trial) -> None:
        """Leave nothing half-written of a trial whose process may have been killed."""
        delete_unfinished(os.path.join(self._directory, trial.name))

    def _time_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _keep_to_budget(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            self._apply(StopRequested(f"the time budget of {self._plan.budget_s:g} s is over"))

    # --- checks -------------------------------------------------------------------------------

    def _check_metric(self, trial: Trial) -> None:
        """The first trial that ends well shows whether the metric's name is right."""
        metric = self._plan.metric
        if self._metric_seen or metric is None or trial.last_result is None:
            return
        missing = never_reported(metric, names_in(trial.last_result))
        raise TuneError(
            f"{missing} TuneConfig.metric names it, and the first trial to end "
            f"({trial.name}) was without it. What was reported is kept in {self._directory}."
        )

    def _check_score(self, report: Report) -> None:
        score = self._plan.limits.score_attribute
        if score is not None and lookup(report.metrics, score) is None:
            names = names_in(report.metrics)
            raise InvalidOption(
                f"CheckpointConfig.checkpoint_score_attribute names the metric {score!r}, which "
                f"was not reported with the checkpoint.{nearest(score, names)} "
                f"Reported were {listing(names)}."
            )


def _overlay(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``top`` in it; dicts are merged."""
    merged = dict(base)
    for name, value in top.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, Mapping):
            value = _overlay(below, value)
        merged[name] = value
    return merged
