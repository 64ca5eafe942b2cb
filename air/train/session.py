"""What a training function sees of the run that it is part of.

A runner (a trainer's worker, a trial of a ``Tuner``) installs a :class:`Session` around the call of
the user's function; the functions of this module read it. The session lives in a context variable,
so sessions nest: on a backend that runs everything in one thread, a trial's session is back in
force as soon as the worker that the trial's trainer ran inline has finished.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.validation import nearest
from air.train.reports import checked

if TYPE_CHECKING:
    from air.data import Dataset

P = ParamSpec("P")

ReportSink = Callable[[dict[str, Any], Checkpoint | None], None]
"""Takes one report: the metrics (checked, a dict of its own, free to keep and change) and a
checkpoint.

When the sink returns, it has taken what it needs of the checkpoint: the caller may then delete
the directory. It raises ``StopTraining`` to end the function that reports.
"""


class StopTraining(BaseException):
    """Raised by ``report`` in a training function whose run has been told to stop.

    Runners catch it and treat the function as finished. It is no ``Exception``, so that an
    ``except Exception`` in the training function does not keep a stopped run going; ``finally``
    blocks and context managers of the function run as always.
    """


@dataclass(frozen=True, slots=True)
class Session:
    """The run as one worker sees it. Only ``sink`` is needed; the rest describes a single worker.

    ``dataset_shards`` holds this worker's part of each of the trainer's datasets, by name.
    ``checkpoint`` is where training is to go on from, ``None`` at a fresh start.
    ``trial_resources`` are the bundles reserved for the run: the coordinator's first, then one for
    each worker.
    """

    sink: ReportSink
    checkpoint: Checkpoint | None = None
    dataset_shards: Mapping[str, Dataset] = field(default_factory=dict)
    world_rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    node_rank: int = 0
    trial_name: str = ""
    trial_id: str = ""
    trial_dir: str = ""
    trial_resources: Sequence[Mapping[str, float]] = ()
    experiment_name: str = ""


_current: ContextVar[Session | None] = ContextVar("air_train_session", default=None)


@contextmanager
def install(session: Session) -> Iterator[Session]:
    """Make ``session`` the current one in the ``with`` block, and the one before it again after."""
    token = _current.set(session)
    try:
        yield session
    finally:
        _current.reset(token)


def get_session() -> Session | None:
    """The session of the running training function; ``None`` outside of one."""
    return _current.get()


def _says_what_to_write(function: Callable[P, None]) -> Callable[P, None]:
    """Answer ``report(loss=0.1)``, the way to report in other toolkits, with what to write here."""

    @functools.wraps(function)
    def checked_call(*args: P.args, **kwargs: P.kwargs) -> None:
        others = [name for name in kwargs if name not in ("metrics", "checkpoint")]
        if others:
            meant = nearest(others[0], ("metrics", "checkpoint"))
            first = ", ".join(f'"{name}": {kwargs[name]!r:.20}' for name in others[:3])
            advice = meant or f" The metrics of an iteration are one dict: report({{{first}}})."
            raise InvalidOption(f"report() has no option {others[0]!r}.{advice}")
        if not args and "metrics" not in kwargs:
            raise TypeError('report() takes the metrics as a dict: report({"loss": loss}).')
        function(*args, **kwargs)

    return checked_call


@_says_what_to_write
def report(metrics: Mapping[str, Any], *, checkpoint: Checkpoint | None = None) -> None:
    """Report the metrics of one iteration, and a checkpoint to go with them.

    Every call is one row of the run's results. ``training_iteration`` counts the calls, unless
    ``metrics`` gives it; ``trial_id``, ``timestamp``, ``time_this_iter_s`` and ``time_total_s`` are
    filled in, whatever ``metrics`` gives for them. Numbers of numpy and torch are kept as Python's
    own. With several workers the rows of rank 0 are the run's. When the call returns, the
    checkpoint has been copied: a temporary directory that holds it may go.

    Raises:
        StopTraining: the run is to end here (a ``stop`` criterion, a scheduler); let it through.
        RuntimeError: outside of a training run.
        TypeError: the metrics are no dict with ``str`` keys, ``training_iteration`` is no whole
            number, or the checkpoint is no ``Checkpoint``.
        SerializationError: a metric cannot be sent to another process; names the part that cannot.
        InvalidOption: metrics as keywords; says what to write.
    """
    session = require_session("report")
    given = checked(metrics)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise TypeError(
            f"report(): checkpoint is an air Checkpoint, got {type(checkpoint).__name__}. "
            "Make one with Checkpoint.from_directory(path) or Checkpoint.from_dict(data)."
        )
    session.sink(given, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """The checkpoint to go on from: ``resume_from_checkpoint``, or after a failure the last one."""
    return require_session("get_checkpoint").checkpoint


def get_dataset_shard(dataset_name: str | None = None) -> Dataset:
    """This worker's part of the dataset given to the trainer as ``datasets[dataset_name]``.

    Without a name: the only dataset, or the one named "train".
    Raises ``InvalidOption`` for a name that the trainer was not given.
    """
    shards = require_session("get_dataset_shard").dataset_shards
    if dataset_name is None:
        if len(shards) == 1:
            return next(iter(shards.values()))
        dataset_name = "train"
    try:
        return shards[dataset_name]
    except KeyError:
        have = f"it has {sorted(shards)}" if shards else "it was given no datasets"
        raise InvalidOption(
            f"The trainer has no dataset {dataset_name!r}: {have}.{nearest(dataset_name, shards)}"
        ) from None


def get_world_rank() -> int:
    """This worker's number among all workers of the run, from 0."""
    return require_session("get_world_rank").world_rank


def get_world_size() -> int:
    """The number of workers of the run."""
    return require_session("get_world_size").world_size


def get_local_rank() -> int:
    """This worker's number among the run's workers on this node, from 0."""
    return require_session("get_local_rank").local_rank


def get_local_world_size() -> int:
    """The number of the run's workers on this node."""
    return require_session("get_local_world_size").local_world_size


def get_node_rank() -> int:
    """This node's number among the nodes that hold workers of the run, from 0."""
    return require_session("get_node_rank").node_rank


def get_trial_name() -> str:
    """The name of the run, or of the trial of the ``Tuner`` that it is part of."""
    return require_session("get_trial_name").trial_name


def get_trial_id() -> str:
    """The id of the run or trial, unique in its experiment."""
    return require_session("get_trial_id").trial_id


def get_trial_dir() -> str:
    """The directory that the results of the run or trial are written to; made if need be."""
    directory = require_session("get_trial_dir").trial_dir
    if directory:
        # A trial has none of its own until something is put there.
        os.makedirs(directory, exist_ok=True)
    return directory


def get_trial_resources() -> list[dict[str, float]]:
    """The bundles reserved for the run: the coordinator's first, then one for each worker."""
    return [dict(bundle) for bundle in require_session("get_trial_resources").trial_resources]


def get_experiment_name() -> str:
    """The name of the experiment: ``RunConfig.name``, or the one made up for the run."""
    return require_session("get_experiment_name").experiment_name


def require_session(function: str) -> Session:
    """The session of the running training function, in which *function* was called.

    Raises:
        RuntimeError: there is none.
    """
    session = _current.get()
    if session is None:
        raise RuntimeError(
            f"{function}() was called outside of a training run. It works in a function that a "
            "trainer or a Tuner runs, in the thread that the function was called in."
        )
    return session
