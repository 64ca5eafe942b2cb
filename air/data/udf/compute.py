"""On what an operator's work is done: tasks, or a pool of actors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from air.data.udf.functions import UserFunction
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.options import DEFAULT_MAX_RETRIES, TASK_KEYS, task_options
from air.executor.validation import check_number, reject_unknown

_TASK_OPTIONS = TASK_KEYS - {"num_returns", "name", "bytes_ahead"}


@methods_suggest_keywords
@dataclass(frozen=True, slots=True, kw_only=True)
class ActorPoolStrategy:
    """Do an operator's work on actors, each of which makes its own instance of a class.

    There are more of them while there is more work than they can take, and fewer again when some
    have had nothing to do for five seconds. Work of an actor whose process died is done again by
    another, on one that has nothing else to do, up to ``max_retries`` times (3; an option of the
    operator). What it had given by then is not given again: a class must give the same for the
    same rows, or set ``max_retries=0``.

    Args:
        size: this many actors from start to end; instead of the other two.
        min_size: actors at the start and at the least (1).
        max_size: actors when there is more work than they can take; the CPUs of the cluster,
            less one for the rest of the work, when ``None``.
        max_tasks_in_flight_per_actor: pieces of work that are sent to one actor at a time; 2
            when ``None``.

    Raises:
        InvalidOption: a number below 1, ``size`` together with another, or ``min_size`` above
            ``max_size``.
    """

    size: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    max_tasks_in_flight_per_actor: int | None = None

    def __post_init__(self) -> None:
        for name in ("size", "min_size", "max_size", "max_tasks_in_flight_per_actor"):
            value = getattr(self, name)
            if value is not None:
                check_number(value, f"ActorPoolStrategy: {name}", minimum=1, integer=True)
        if self.size is not None and (self.min_size is not None or self.max_size is not None):
            raise InvalidOption("ActorPoolStrategy takes size, or min_size and max_size, not both")
        if self.max_size is not None and self.smallest > self.max_size:
            raise InvalidOption(
                f"ActorPoolStrategy: min_size={self.smallest} is above max_size={self.max_size}"
            )

    @property
    def smallest(self) -> int:
        """Actors at the start."""
        return self.size or self.min_size or 1

    @property
    def in_flight(self) -> int:
        """Pieces of work that an actor has at a time."""
        return self.max_tasks_in_flight_per_actor or 2

    def largest(self, num_cpus: float) -> int:
        """Actors at most, on a cluster with *num_cpus* CPUs."""
        return max(self.size or self.max_size or int(num_cpus) - 1, self.smallest)


@dataclass(frozen=True, slots=True)
class Compute:
    """What an operator asked for.

    Attributes:
        pool: the actors to work on; ``None`` for tasks.
        max_tasks: tasks that may run at the same time; ``None`` for as many as fit.
        max_retries: how often a pool does a piece of work again after an actor died of it; -1: for
            ever.
        options: resources and other options of the tasks or actors, as ``air.remote`` takes.
        asked: whether the user asked for any of this, so that it must not be run elsewhere.
    """

    pool: ActorPoolStrategy | None = None
    max_tasks: int | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    options: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = False


ON_TASKS = Compute()


def check_compute(
    method: Callable[..., Any],
    user: UserFunction,
    compute: object,
    concurrency: object,
    options: Mapping[str, Any],
) -> Compute:
    """Put together what an operator was told about where to run.

    Args:
        method: the operator's; its parameters are named when an option is misspelt.
        compute: ``None`` or an :class:`ActorPoolStrategy`.
        concurrency: ``n`` tasks (for functions) or actors (for classes), or for classes
            ``(smallest, largest)``.
        options: of tasks, such as ``num_cpus``; ``None`` for the default.

    Raises:
        InvalidOption: an unknown option (names the nearest), a bad number, or both *compute* and
            *concurrency*.
    """
    options = {name: value for name, value in options.items() if value is not None}
    operator = method.__name__
    own = [name for name in inspect.signature(method).parameters if name not in ("self", "options")]
    reject_unknown(options, _TASK_OPTIONS | set(own), what=operator)
    max_retries = task_options(options).max_retries
    pool: ActorPoolStrategy | None = None
    max_tasks = None
    if compute is not None and not isinstance(compute, ActorPoolStrategy):
        raise InvalidOption(
            f"{operator}: compute must be an air.data.ActorPoolStrategy or None, got {compute!r}"
        )
    if compute is not None and concurrency is not None:
        raise InvalidOption(f"{operator} takes compute or concurrency, not both")
    if concurrency is not None and user.is_class:
        pool = _pool_of(operator, concurrency)
    elif concurrency is not None:
        max_tasks = int(
            check_number(concurrency, f"{operator}: concurrency", minimum=1, integer=True)
        )
    elif compute is not None or user.is_class:
        pool = compute or ActorPoolStrategy()
    asked = compute is not None or concurrency is not None or bool(options)
    if pool is not None:
        if options.get("retry_exceptions"):
            raise InvalidOption(
                f"{operator}: retry_exceptions is for functions on tasks; {user.name} works on"
                " actors, which keep what they have learnt: catch the error in it and try again"
            )
        for name in ("max_retries", "retry_exceptions"):
            options.pop(name, None)
    return Compute(pool, max_tasks, max_retries, options, asked)


def _pool_of(operator: str, concurrency: object) -> ActorPoolStrategy:
    if isinstance(concurrency, (tuple, list)):
        if len(concurrency) != 2:
            raise InvalidOption(
                f"{operator}: concurrency must be a number or (smallest, largest), got"
                f" {concurrency!r}"
            )
        return ActorPoolStrategy(min_size=concurrency[0], max_size=concurrency[1])
    check_number(concurrency, f"{operator}: concurrency", minimum=1, integer=True)
    return ActorPoolStrategy(size=concurrency)  # type: ignore[arg-type]
