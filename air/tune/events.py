"""What happens in an experiment: the events that its journal lists, in their order.

The journal is the experiment; everything else about it follows from replaying these events
through ``air.tune.machine.Experiment``. A field may be added with a default; nothing is renamed or
given another meaning without raising ``JOURNAL_VERSION``.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

JOURNAL_VERSION = 1


class Failure(msgspec.Struct, frozen=True):
    """An exception, kept so that it can be shown, and raised again where it can be pickled."""

    kind: str
    message: str
    traceback: str
    pickled: bytes | None = None


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The experiment was begun. The first event of every journal, and only the first.

    ``settings`` are the pickled ``param_space``, ``TuneConfig`` and ``RunConfig``.
    """

    version: int
    experiment_id: str
    name: str
    trainable: str
    created: float
    settings: bytes


class Suggested(msgspec.Struct, frozen=True, tag="suggested"):
    """The searcher proposed a configuration. ``searcher`` is its state afterwards, pickled."""

    trial_id: str
    name: str
    config: dict[str, Any]
    searcher: bytes | None = None


class Exhausted(msgspec.Struct, frozen=True, tag="exhausted"):
    """The searcher has no more configurations."""


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """The searcher has no configuration now, but may have after the next result."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A trial was given to a worker, to go on from ``checkpoint`` or from the beginning.

    ``results`` is the number of results up to that checkpoint: the trial's next result takes the
    place of those that came after.
    """

    trial_id: str
    checkpoint: str | None = None
    results: int = 0


class Reported(msgspec.Struct, frozen=True, tag="reported"):
    """A trial reported a result. ``stop`` is what was decided on it.

    ``checkpoint`` is a path relative to the experiment's directory, ``checkpoint_class`` the name
    of its class where that is not the plain one. With ``amends`` the result
    takes the place of the one before it, to which it adds something.
    """

    trial_id: str
    metrics: dict[str, Any]
    checkpoint: str | None = None
    amends: bool = False
    stop: bool = False
    checkpoint_class: str | None = None


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The trial's function came to its end, or to the end that it was told to come to."""

    trial_id: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The trial's function raised, or its worker died. ``retry`` is whether it is tried again."""

    trial_id: str
    failure: Failure
    retry: bool = False


class StopRequested(msgspec.Struct, frozen=True, tag="stop_requested"):
    """The whole experiment is to end: running trials are stopped, no new ones start."""

    reason: str


class Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    """The experiment was restored, after an end of whatever kind.

    ``unfinished``: whether trials that had been running run again. ``errored``: what becomes of
    failed ones.
    """

    unfinished: bool
    errored: Literal["keep", "resume", "restart"]


Event: TypeAlias = (
    Opened
    | Suggested
    | Exhausted
    | Waiting
    | Started
    | Reported
    | Ended
    | Failed
    | StopRequested
    | Resumed
)
