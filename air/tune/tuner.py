"""``Tuner``: runs a trainable with many configurations."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal

from air.config import RunConfig
from air.core.api import get
from air.errors import InvalidOption
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.keywords import methods_suggest_keywords
from air.train.failures import NOT_TO_BE_TRIED_AGAIN
from air.train.sharing import share
from air.train.start_workers import check_possible
from air.train.storage import check_storage
from air.tune import directory as experiments
from air.tune import journal
from air.tune.actor_runner import ActorRunner
from air.tune.config import TuneConfig
from air.tune.driver import Driver, Plan
from air.tune.events import Event, Opened, Resumed
from air.tune.journal import Journal
from air.tune.machine import Experiment
from air.tune.planning import Settings, make_limits, make_plan
from air.tune.progress import Progress
from air.tune.restoring import relive
from air.tune.result_grid import ResultGrid
from air.tune.runners import InlineRunner, Runner
from air.tune.search.space import Space
from air.tune.trainable import Prepared, prepare


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
        self._settings = Settings(
            param_space, tune_config or TuneConfig(), self._prepared.run_config
        )
        self._restored: tuple[str, Resumed] | None = None
        self._results: ResultGrid | None = None

    def fit(self) -> ResultGrid:
        """Run the experiment, or what is left of a restored one, and return its results.

        A trial that fails is in the results with its error and does not end the experiment (but
        see ``FailureConfig``). However the experiment ends, also by an exception or a kill, its
        directory holds all that was reported, and ``Tuner.restore`` goes on from there. A ``Tuner``
        that was not restored begins a new experiment with every call, in a directory of its own.

        The datasets of a trainer are preprocessed before the first trial, once for all of them,
        except for those that change what preprocessing goes by; see ``BaseTrainer.preprocessed``.

        Raises:
            SerializationError: the trainable or a parameter cannot be sent to another process;
                names the part of it that cannot.
            JournalBusy: another process runs the restored experiment.
            InvalidOption, ValueError: the settings do not fit one another or the trainable.
            TuneError: the metric of the ``TuneConfig`` is not among those that are reported, or the
                search algorithm does not go on.
            Unschedulable: no node could ever hold a trial.
            OSError: results cannot be kept; says why, and how to name another place.
            Exception: what preprocessing raised.

        Where the experiment could not be begun, because of one of the first of these, nothing of it
        is kept.
        """
        pickled = self._settings.to_bytes()
        # Search algorithms and schedulers change as they go. The experiment has its own, as a
        # restored one does, so that a second fit() is like the first.
        settings = Settings.from_bytes(pickled)
        if self._restored is None:
            check_storage(settings.run_config.storage_dir)
        plan = make_plan(self._prepared, settings)
        with _runner(self._prepared, settings) as runner:
            slots = min(runner.slots, settings.tune_config.max_concurrent_trials or runner.slots)
            plan = dataclasses.replace(plan, limits=dataclasses.replace(plan.limits, slots=slots))
            first: Event
            if self._restored is None:
                opened, book = experiments.begin(self._prepared.name, settings.run_config, pickled)
                first, experiment = opened, Experiment(plan.limits)
            else:
                directory, first = self._restored
                book, events = Journal.reopen(directory)
                experiment = relive(events, plan.limits, plan.searcher, plan.scheduler)
                opened = experiments.opening_of(experiment, directory)
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
            limits = make_limits(self._settings.run_config)
            experiment, _ = experiments.replay(directory, limits)
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
        _, opened = experiments.replay(directory)
        settings = Settings.from_bytes(opened.settings)
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
    settings: Settings,
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
        is_refused = isinstance(error, NOT_TO_BE_TRIED_AGAIN) and first is opened
        if is_refused and not any(trial.results for trial in experiment.trials.values()):
            experiments.discard(book)
            raise
        error.add_note(
            f"(the experiment is kept in {directory}; Tuner.restore(path, trainable) goes on)"
        )
        raise
    progress.close(experiment)
    return ResultGrid(
        experiment, directory, metric=config.metric, mode=config.mode, errors=driver.errors
    )


def _runner(prepared: Prepared, settings: Settings) -> Runner:
    """What runs the trials; raises for trials that could not be run anywhere."""
    bundles = prepared.bundles_of({})
    parallel = _runs_in_parallel()
    if parallel:
        get_executor().preload(prepared.modules)
        check_possible(bundles, prepared.strategy)
    else:
        # The trial itself, and the one worker that it gets of however many it asks for.
        check_possible(bundles[:2], prepared.strategy)
    # Also where there is one process only, trials get a copy of the trainable, and one of which
    # there can be none is refused.
    function = share(prepared.make_function(), "the trainable")
    if not parallel:
        return InlineRunner(get(function))
    return ActorRunner(
        function,
        bundles,
        strategy=prepared.strategy,
        reuse_actors=settings.tune_config.reuse_actors is not False,
    )


def _runs_in_parallel() -> bool:
    return Capability.PARALLEL_TASKS in get_executor().capabilities


def _check_config(value: object, expected: type, name: str) -> None:
    if value is not None and not isinstance(value, expected):
        raise InvalidOption(
            f"Tuner: {name} must be a {expected.__name__}, got {type(value).__name__}: {value!r}"
        )
