"""``Tuner``: runs a trainable with many configurations."""

from __future__ import annotations

import dataclasses
import os
import pickle
import secrets
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from air.config import RunConfig
from air.core.api import get, put
from air.errors import InvalidOption
from air.executor import serialization
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.keywords import methods_suggest_keywords
from air.train.journal import make_storage, new_run_directory
from air.tune import journal
from air.tune.actor_runner import ActorRunner
from air.tune.config import TuneConfig
from air.tune.driver import Driver, Plan
from air.tune.events import JOURNAL_VERSION, Event, Opened, Resumed
from air.tune.failures import TuneError
from air.tune.journal import Journal
from air.tune.machine import Experiment
from air.tune.progress import Progress
from air.tune.restoring import relive
from air.tune.result_grid import ResultGrid
from air.tune.runners import InlineRunner, Runner
from air.tune.schedulers import FIFOScheduler
from air.tune.search import BasicVariantGenerator
from air.tune.search.space import Space
from air.tune.stopping import StopRule
from air.tune.trainable import Prepared, prepare
from air.tune.trial import Limits, Trial


class _Settings(NamedTuple):
    """What the journal keeps of a ``Tuner``, besides the trainable."""

    param_space: Mapping[str, Any] | None
    tune_config: TuneConfig
    run_config: RunConfig


@methods_suggest_keywords
class Tuner:
    """Runs a trainable with configurations from a search space, and compares what comes of it.

    Args:
        trainable: a function of a config, which calls ``air.train.report`` or returns a dict of
            metrics; or a trainer, whose parameters ``param_space`` then changes:
            ``{"params": {"max_depth": tune.randint(1, 9)}}`` goes into its ``params``.
        param_space: nested dicts and lists with domains in them (``tune.uniform``,
            ``tune.grid_search``, ...). Without one all trials have the same config, ``{}``.
        tune_config: how many configurations, how they are found, what they are compared by.
        run_config: where the experiment is kept, when trials end, what becomes of failures. A
            trainer's own is used unless one is given here.

    Raises:
        TypeError, ValueError: the trainable or the space cannot be run; names the place.
        InvalidOption: the space sets a parameter that the trainer does not have.
    """

    def __init__(
        self,
        trainable: Any,
        *,
        param_space: Mapping[str, Any] | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        _check_config(tune_config, TuneConfig, "tune_config")
        _check_config(run_config, RunConfig, "run_config")
        if param_space is not None:
            Space(param_space)  # checks it
        self._prepared = prepare(trainable, param_space, run_config)
        self._settings = _Settings(
            param_space, tune_config or TuneConfig(), self._prepared.run_config
        )
        self._restored: tuple[str, Resumed] | None = None
        self._results: ResultGrid | None = None

    def fit(self) -> ResultGrid:
        """Run the experiment, or what is left of a restored one, and return its results.

        A trial that fails is in the results with its error and does not end the experiment (but
        see ``FailureConfig``). However the experiment ends, also by an exception or a kill, its
        directory holds all that was reported, and ``Tuner.restore`` goes on from there. A ``Tuner``
        that was not restored begins a new experiment with every call.

        Raises:
            SerializationError: the trainable or a parameter cannot be sent to another process;
                names the part of it that cannot.
            FileExistsError: the directory that ``RunConfig.name`` asks for holds an experiment.
            JournalBusy: another process runs the restored experiment.
            InvalidOption, ValueError: the settings do not fit one another or the trainable.
            TuneError: the metric of the ``TuneConfig`` is not among those that are reported, or the
                search algorithm does not go on.
            Unschedulable: no node could ever hold a trial.
        """
        pickled = _pickled(self._settings)
        # Search algorithms and schedulers change as they go. The experiment has its own, as a
        # restored one does, so that a second fit() is like the first.
        settings = _unpickled(pickled)
        with _runner(self._prepared, settings) as runner:
            plan = _plan(self._prepared, settings, runner.slots)
            first: Event
            if self._restored is None:
                first, book = _begin(self._prepared.name, settings.run_config, pickled)
                opened, experiment = first, Experiment(plan.limits)
            else:
                directory, first = self._restored
                book, events = Journal.reopen(directory)
                experiment = relive(events, plan.limits, plan.searcher, plan.scheduler)
                opened = _opened(experiment, directory)
            with book:
                self._results = _run(plan, settings, experiment, opened, first, book, runner)
        return self._results

    def get_results(self) -> ResultGrid:
        """The results of the last ``fit``, or those that a restored experiment has so far.

        Raises ``RuntimeError`` if there are none: neither ``fit`` nor ``Tuner.restore`` was called.
        """
        if self._results is None:
            if self._restored is None:
                raise RuntimeError(
                    "This Tuner has no results yet: call fit(), or make one of an experiment that "
                    "ran before with Tuner.restore(path, trainable)."
                )
            directory, _ = self._restored
            config = self._settings.tune_config
            limits = _limits(self._settings.run_config)
            experiment = Experiment.replay(journal.read(_journal_in(directory)), limits)
            self._results = ResultGrid(
                experiment, directory, metric=config.metric, mode=config.mode
            )
        return self._results

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        trainable: Any,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        param_space: Mapping[str, Any] | None = None,
    ) -> Tuner:
        """The ``Tuner`` of an experiment that ran before, whose ``fit`` goes on with it.

        Trials that are over are not run again. ``trainable`` is what the experiment was begun with.

        Args:
            path: the experiment's directory (``ResultGrid.experiment_path``).
            resume_unfinished: whether trials that were running go on, from their last checkpoint
                or else from the beginning.
            resume_errored: whether failed trials go on, from their last checkpoint.
            restart_errored: whether failed trials run again from the beginning.
            param_space: replaces the one that was recorded.

        Raises:
            FileNotFoundError: there is no experiment in ``path``.
            JournalDamaged: it cannot be read.
            ValueError: ``trainable`` has another name than the experiment's.
            InvalidOption: both of ``resume_errored`` and ``restart_errored`` are given.
        """
        if resume_errored and restart_errored:
            raise InvalidOption(
                "Tuner.restore: resume_errored and restart_errored exclude each other: failed "
                "trials go on from their checkpoint or run again from the beginning."
            )
        directory = os.path.abspath(os.path.expanduser(os.fspath(path)))
        opened = _opened(
            Experiment.replay(journal.read(_journal_in(directory)), Limits()), directory
        )
        settings = _unpickled(opened.settings)
        tuner = cls(
            trainable,
            param_space=settings.param_space if param_space is None else param_space,
            tune_config=settings.tune_config,
            run_config=settings.run_config,
        )
        if tuner._prepared.name != opened.trainable:
            raise ValueError(
                f"The experiment in {directory} was run with the trainable {opened.trainable!r}, "
                f"and is to be restored with another one, {tuner._prepared.name!r}."
            )
        errored: Literal["keep", "resume", "restart"] = "keep"
        if resume_errored or restart_errored:
            errored = "resume" if resume_errored else "restart"
        tuner._restored = (directory, Resumed(resume_unfinished, errored))
        return tuner

    @classmethod
    def can_restore(cls, path: str | os.PathLike[str]) -> bool:
        """Whether there is an experiment in ``path`` that ``restore`` can go on with."""
        return journal.exists(os.path.expanduser(os.fspath(path)))


# --- the parts of fit() -------------------------------------------------------------------------


def _run(
    plan: Plan,
    settings: _Settings,
    experiment: Experiment,
    opened: Opened,
    first: Event,
    book: Journal,
    runner: Runner,
) -> ResultGrid:
    directory = os.path.dirname(book.path)
    config = settings.tune_config
    progress = Progress(config.metric, config.mode, directory)
    driver = Driver(plan, experiment, opened, book, runner, watchers=[progress])
    try:
        driver.run(first)
    except BaseException as error:
        error.add_note(
            f"(the experiment is kept in {directory}; Tuner.restore(path, trainable) goes on)"
        )
        raise
    progress.close(experiment)
    return ResultGrid(
        experiment, directory, metric=config.metric, mode=config.mode, errors=driver.errors
    )


def _runner(prepared: Prepared, settings: _Settings) -> Runner:
    if not _runs_in_parallel():
        # As elsewhere, trials get a copy of the trainable, and one that has none is refused.
        return InlineRunner(get(put(prepared.function)))
    get_executor().preload(prepared.modules)
    return ActorRunner(
        prepared.function,
        prepared.bundles_of({}),
        strategy=prepared.strategy,
        reuse_actors=settings.tune_config.reuse_actors,
    )


def _runs_in_parallel() -> bool:
    return Capability.PARALLEL_TASKS in get_executor().capabilities


def _plan(prepared: Prepared, settings: _Settings, slots: int) -> Plan:
    config, run_config = settings.tune_config, settings.run_config
    searcher = config.search_alg or BasicVariantGenerator()
    space = settings.param_space
    takes_space = searcher.set_search_properties(
        config.metric, config.mode, space or {}, num_samples=config.num_samples
    )
    own_space = None
    if not takes_space:
        own_space = Space.nothing() if space is None else Space(space)
        own_space.constants()  # checks that there is nothing else in it
    scheduler = config.scheduler or FIFOScheduler()
    scheduler.set_search_properties(config.metric, config.mode)
    return Plan(
        limits=dataclasses.replace(
            _limits(run_config),
            slots=min(slots, config.max_concurrent_trials or slots),
            total=searcher.total_trials(config.num_samples),
        ),
        searcher=searcher,
        scheduler=scheduler,
        stop_rule=StopRule(run_config.stop),
        name_of=config.trial_name_creator or _default_name(prepared.name),
        bundles_of=prepared.bundles_of,
        own_space=own_space,
        metric=config.metric,
        budget_s=config.budget_s,
    )


def _limits(config: RunConfig) -> Limits:
    failures, checkpoints = config.failure_config, config.checkpoint_config
    return Limits(
        max_failures=failures.max_failures,
        fail_fast=failures.fail_fast,
        checkpoints_to_keep=checkpoints.num_to_keep,
        score_attribute=checkpoints.checkpoint_score_attribute,
        score_order=checkpoints.checkpoint_score_order,
    )


def _default_name(trainable: str) -> Any:
    def name_of(trial: Trial) -> str:
        return f"{trainable}_{trial.trial_id}"

    return name_of


def _begin(trainable: str, config: RunConfig, settings: bytes) -> tuple[Opened, Journal]:
    """Make the directory and the journal of a new experiment."""
    if config.name is None:
        now = time.strftime("%Y-%m-%d_%H-%M-%S")
        directory = new_run_directory(config.storage_dir, f"{trainable}_{now}")
    else:
        directory = os.path.join(config.storage_dir, config.name)
        _refuse_second(directory)
        make_storage(directory)
    opened = Opened(
        version=JOURNAL_VERSION,
        experiment_id=secrets.token_hex(4),
        name=os.path.basename(directory),
        trainable=trainable,
        created=time.time(),
        settings=settings,
    )
    return opened, Journal.create(directory, opened)


def _refuse_second(directory: str) -> None:
    if not journal.exists(directory):
        return
    experiment = Experiment.replay(journal.read(_journal_in(directory)), Limits())
    over = sum(trial.is_over for trial in experiment.trials.values())
    raise FileExistsError(
        f"{directory} holds an experiment already ({len(experiment.trials)} trials, {over} of them "
        "over). Go on with it by Tuner.restore(path, trainable).fit(), or give another "
        "RunConfig.name."
    )


def _journal_in(directory: str) -> str:
    if journal.exists(directory):
        return os.path.join(directory, journal.FILE_NAME)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"There is no experiment at {directory}: no such directory.")
    raise FileNotFoundError(
        f"There is no experiment at {directory}: it has no {journal.FILE_NAME}. Give the path that "
        "ResultGrid.experiment_path showed."
    )


def _opened(experiment: Experiment, directory: str) -> Opened:
    if experiment.opened is None:
        raise TuneError(f"The journal in {directory} is empty.")
    return experiment.opened


def _pickled(settings: _Settings) -> bytes:
    """The settings as bytes; raises ``SerializationError`` for what cannot be pickled."""
    stream, buffers = serialization.dumps(settings._asdict(), "what the Tuner was given")
    return pickle.dumps((stream, [bytes(buffer) for buffer in buffers]))


def _unpickled(content: bytes) -> _Settings:
    return _Settings(**serialization.loads(*pickle.loads(content)))


def _check_config(value: object, expected: type, name: str) -> None:
    if value is not None and not isinstance(value, expected):
        raise InvalidOption(
            f"Tuner: {name} must be a {expected.__name__}, got {type(value).__name__}: {value!r}"
        )
