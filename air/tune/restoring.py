"""Bringing an experiment back to where its journal ends."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from air.tune.events import Event, Reported, Suggested
from air.tune.instructions import TellSearcher
from air.tune.machine import Experiment
from air.tune.schedulers import TrialScheduler
from air.tune.search import Searcher
from air.tune.trial import Limits, Trial, TrialState


def relive(
    events: Sequence[Event], limits: Limits, searcher: Searcher, scheduler: TrialScheduler
) -> Experiment:
    """Bring an experiment, its searcher and its scheduler to where ``events`` leave them.

    The searcher goes on from the state that was recorded last and hears what came after. One
    that records no state (``Searcher.get_state``) is asked and told everything again, and what it
    answers is ignored.
    """
    known = _last_state(events)
    if known:
        suggested = events[known - 1]
        assert isinstance(suggested, Suggested)
        searcher.set_state(pickle.loads(suggested.searcher or b""))
    experiment = Experiment(limits)
    for index, event in enumerate(events):
        _relive(experiment, event, searcher if index >= known else None, scheduler)
    return experiment


def rows(events: Sequence[Event], limits: Limits) -> dict[str, list[dict[str, Any]]]:
    """The results of every trial, in order, without those that a restart made void."""
    experiment = Experiment(limits)
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        counts = isinstance(event, Reported) and experiment.counts(event)
        experiment.record(event)
        if counts:
            assert isinstance(event, Reported)
            of_trial = found.setdefault(event.trial_id, [])
            del of_trial[experiment.trials[event.trial_id].results - 1 :]
            of_trial.append(event.metrics)
    return found


def _relive(
    experiment: Experiment, event: Event, searcher: Searcher | None, scheduler: TrialScheduler
) -> None:
    is_heard = _is_heard(experiment, event)
    if isinstance(event, Suggested) and searcher is not None:
        searcher.suggest(event.trial_id)
    if is_heard:
        assert isinstance(event, Reported)
        scheduler.on_trial_result(experiment, experiment.trials[event.trial_id], event.metrics)
    instructions = experiment.record(event)
    if isinstance(event, Suggested):
        scheduler.on_trial_add(experiment, experiment.trials[event.trial_id])
    if is_heard and searcher is not None:
        assert isinstance(event, Reported)
        searcher.on_trial_result(event.trial_id, event.metrics)
    for instruction in instructions:
        if isinstance(instruction, TellSearcher):
            tell(experiment, experiment.trials[instruction.trial_id], searcher, scheduler)


def tell(
    experiment: Experiment, trial: Trial, searcher: Searcher | None, scheduler: TrialScheduler
) -> None:
    """Tell a searcher and a scheduler that a trial is over."""
    error = trial.state is TrialState.ERROR
    if searcher is not None:
        searcher.on_trial_complete(trial.trial_id, trial.last_result, error)
    if error:
        scheduler.on_trial_error(experiment, trial)
    else:
        scheduler.on_trial_complete(experiment, trial, trial.last_result)


def _last_state(events: Sequence[Event]) -> int:
    """How many events there are up to the last one that recorded the searcher's state."""
    for index in reversed(range(len(events))):
        event = events[index]
        if isinstance(event, Suggested) and event.searcher is not None:
            return index + 1
    return 0


def _is_heard(experiment: Experiment, event: Event) -> bool:
    """Whether ``event`` is a result that searcher and scheduler were told: of a running trial."""
    return (
        isinstance(event, Reported)
        and experiment.trials[event.trial_id].state is TrialState.RUNNING
    )
