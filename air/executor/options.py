"""The options of tasks, actors and methods, checked once when they are given.

``@air.remote(...)`` and ``.options(...)`` build these; backends only ever see valid ones.

Where something runs is said by ``scheduling_strategy`` (see
:mod:`air.util.scheduling_strategies`) and by ``label_selector``, which maps labels of nodes to
``"a"``, ``"!a"``, ``"in(a, b)"`` or ``"!in(a, b)"``; all of it must hold. It also goes with
``scheduling_strategy="SPREAD"``. ``accelerator_type="A100"`` asks for a node with such GPUs, which
is one with the resource ``accelerator_type:A100``; nodes find out by themselves, and a node for
which GPUs are declared may declare that as well.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol, TypeVar

from air.errors import InvalidOption
from air.executor.concurrency import check_groups
from air.executor.environments import Environment, read_environment
from air.executor.labels import LabelRule, check_selector
from air.executor.resources import Resources, make_request
from air.executor.scheduling import (
    GroupPlacement,
    LabelPlacement,
    NodePlacement,
    Placement,
    SpreadPlacement,
    check_lifetime,
)
from air.executor.streaming import BYTES_AHEAD
from air.executor.validation import check_flag, check_number, check_text, nearest, reject_unknown

D = TypeVar("D", int, None)
NumReturns = int | Literal["streaming"]
DEFAULT_MAX_RETRIES = 3
DEFAULT_ASYNC_CONCURRENCY = 1000
_VERY_OFTEN = 2**31 - 1


class SchedulingStrategy(Protocol):
    """What ``scheduling_strategy=`` takes besides ``"DEFAULT"`` and ``"SPREAD"``."""

    def to_placement(self) -> Placement:
        """The placement that this strategy stands for."""
        ...


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Options of one task.

    Attributes:
        resources: what the task holds while it runs; 1 CPU unless told otherwise.
        num_returns: number of references that a call gives (0 gives ``None``), or
            ``"streaming"`` for a generator of references. ``None`` until the function is
            known: then 1, or ``"streaming"`` for generator functions.
        max_retries: how often the task is run again after its worker died (-1: for ever). Unless
            it is 0, the task is also run again when values are lost that it has made and somebody
            still refers to. A streaming one then yields all its values again, and those that are
            there still are passed over: so it should yield the same ones.
        retry_exceptions: exception classes after which it is run again too; ``True`` for every
            ``Exception``.
        placement: where to run.
        name: shown instead of the function's name in messages and listings.
        runtime_env: what changes in the environment that the task inherits.
        bytes_ahead: of a streaming one: it waits before it goes on when it has yielded values of so
            many bytes that nobody has taken; 1 is one value at a time.
    """

    resources: Resources = field(default_factory=lambda: Resources({"CPU": 1}))
    num_returns: NumReturns | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    retry_exceptions: bool | tuple[type[BaseException], ...] = False
    placement: Placement = None
    name: str | None = None
    runtime_env: Environment | None = None
    bytes_ahead: int = BYTES_AHEAD

    @property
    def retried(self) -> tuple[type[BaseException], ...]:
        """The exceptions after which the task is run again."""
        if self.retry_exceptions is True:
            return (Exception,)  # not for those that mean to end something
        return self.retry_exceptions or ()


@dataclass(frozen=True, slots=True)
class ActorOptions:
    """Options of one actor.

    Attributes:
        resources: what the actor holds as long as it lives; nothing unless told otherwise.
        name: registers the actor for ``air.get_actor``; unique in its namespace.
        namespace: where the name is registered; the program's own when ``None``.
        detached: (``lifetime="detached"``) whether the actor lives until it is killed, exits or
            dies, without regard to handles, to its creator and to the program, at most as long as
            the cluster. One that ``air.init`` has started ends with its program.
        get_if_exists: return the actor of that name if there is one already.
        max_restarts: how often the actor is made anew after its process died (-1: for ever).
        max_task_retries: how often a call is sent again after the actor died under it (-1: for
            ever); a streaming one skips as many values as it has yielded before.
        max_concurrency: upper bound on methods that run at the same time; 1 for classes
            with plain methods, 1000 for classes with async ones.
        concurrency_groups: names of groups of methods, and how many methods of each may run at
            the same time. They do not wait for those of another group; methods that are in none
            (see ``air.method``) are bounded by ``max_concurrency`` together.
        max_pending_calls: bound on calls from one process that are not finished; -1 for none.
        placement: where to run.
        runtime_env: what changes in the environment that the actor inherits.
    """

    resources: Resources = field(default_factory=Resources)
    name: str | None = None
    namespace: str | None = None
    detached: bool = False
    get_if_exists: bool = False
    max_restarts: int = 0
    max_task_retries: int = 0
    max_concurrency: int | None = None
    max_pending_calls: int = -1
    placement: Placement = None
    concurrency_groups: Mapping[str, int] = field(default_factory=dict)
    runtime_env: Environment | None = None


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """Options of one call of an actor's method; see :class:`TaskOptions`.

    Attributes:
        concurrency_group: of the actor's class, in which the call runs; ``None`` for no group.
    """

    num_returns: NumReturns | None = None
    name: str | None = None
    concurrency_group: str | None = None
    bytes_ahead: int = BYTES_AHEAD


_REQUEST_KEYS = ("num_cpus", "num_gpus", "memory", "resources", "accelerator_type")
_WHERE_KEYS = ("scheduling_strategy", "label_selector")
TASK_KEYS = frozenset(
    (*_REQUEST_KEYS, *_WHERE_KEYS, "num_returns", "max_retries", "retry_exceptions", "name")
) | {"runtime_env", "bytes_ahead"}
ACTOR_KEYS = frozenset((*_REQUEST_KEYS, *_WHERE_KEYS, "lifetime")) | {
    option.name for option in fields(ActorOptions)
} - {"detached", "placement"}
METHOD_KEYS = frozenset(option.name for option in fields(MethodOptions))


def task_options(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> TaskOptions:
    """Validate the keyword options of a task; *given* wins over *base*."""
    reject_unknown(given, TASK_KEYS, what="a task")
    merged = {**(base or {}), **given}
    return TaskOptions(
        resources=_request(merged, default_cpus=1),
        num_returns=_check_num_returns(merged.get("num_returns")),
        max_retries=_whole(merged, "max_retries", DEFAULT_MAX_RETRIES, minimum=-1),
        retry_exceptions=_check_retry_exceptions(merged.get("retry_exceptions")),
        placement=_placement(merged),
        name=_text(merged, "name"),
        runtime_env=read_environment(merged.get("runtime_env")),
        bytes_ahead=_whole(merged, "bytes_ahead", BYTES_AHEAD, minimum=1),
    )


def actor_options(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> ActorOptions:
    """Validate the keyword options of an actor; *given* wins over *base*."""
    reject_unknown(given, ACTOR_KEYS, what="an actor")
    merged = {**(base or {}), **given}
    options = ActorOptions(
        resources=_request(merged, default_cpus=0),
        name=_text(merged, "name"),
        namespace=_text(merged, "namespace"),
        detached=check_lifetime(merged.get("lifetime")),
        get_if_exists=_flag(merged, "get_if_exists"),
        max_restarts=_whole(merged, "max_restarts", 0, minimum=-1),
        max_task_retries=_whole(merged, "max_task_retries", 0, minimum=-1),
        max_concurrency=_whole(merged, "max_concurrency", None, minimum=1),
        max_pending_calls=_whole(merged, "max_pending_calls", -1, minimum=-1),
        placement=_placement(merged),
        concurrency_groups=check_groups(merged.get("concurrency_groups")),
        runtime_env=read_environment(merged.get("runtime_env")),
    )
    if options.max_pending_calls == 0:
        raise InvalidOption(
            "max_pending_calls must be -1 (no limit) or at least 1: with 0 nobody could call the"
            " actor"
        )
    if options.get_if_exists and options.name is None:
        raise InvalidOption("get_if_exists=True needs name=...")
    return options


def with_read_environment(
    given: Mapping[str, Any], checked: TaskOptions | ActorOptions
) -> dict[str, Any]:
    """A copy of options that means the same in every process, wherever that was started."""
    read = {} if checked.runtime_env is None else {"runtime_env": checked.runtime_env}
    return {**given, **read}


def method_options(given: Mapping[str, Any], base: MethodOptions) -> MethodOptions:
    """Validate the keyword options of a method call; *given* wins over *base*."""
    reject_unknown(given, METHOD_KEYS, what="an actor's method")
    changes: dict[str, Any] = {}
    if "num_returns" in given:
        changes["num_returns"] = _check_num_returns(given["num_returns"])
    if "name" in given:
        changes["name"] = _text(given, "name")
    if "concurrency_group" in given:
        changes["concurrency_group"] = _text(given, "concurrency_group")
    if "bytes_ahead" in given:
        changes["bytes_ahead"] = _whole(given, "bytes_ahead", BYTES_AHEAD, minimum=1)
    return replace(base, **changes)


def _request(merged: Mapping[str, Any], default_cpus: float) -> Resources:
    return make_request(
        num_cpus=merged.get("num_cpus"),
        num_gpus=merged.get("num_gpus"),
        memory=merged.get("memory"),
        resources=merged.get("resources"),
        accelerator_type=_text(merged, "accelerator_type"),
        default_cpus=default_cpus,
    )


def _whole(merged: Mapping[str, Any], name: str, default: D, *, minimum: int) -> int | D:
    value = merged.get(name)
    if value is None:
        return default
    # As good as without limit, and as much as a frame between processes can hold.
    return min(int(check_number(value, name, minimum=minimum, integer=True)), _VERY_OFTEN)


def _text(merged: Mapping[str, Any], name: str) -> str | None:
    value = merged.get(name)
    return None if value is None else check_text(value, name)


def _flag(merged: Mapping[str, Any], name: str) -> bool:
    value = merged.get(name)
    return False if value is None else check_flag(value, name)


def _check_num_returns(value: object) -> NumReturns | None:
    if value is None or value == "streaming":
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    raise InvalidOption(f"num_returns must be a whole number >= 0 or 'streaming', got {value!r}")


def _check_retry_exceptions(value: object) -> bool | tuple[type[BaseException], ...]:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, (list, tuple)) and all(
        isinstance(item, type) and issubclass(item, BaseException) for item in value
    ):
        return tuple(value)
    raise InvalidOption(
        f"retry_exceptions must be True, False or a list of exception classes, got {value!r}"
    )


def _placement(merged: Mapping[str, Any]) -> Placement:
    """Where to run: what ``scheduling_strategy`` and ``label_selector`` say together."""
    placement = _check_placement(merged.get("scheduling_strategy"))
    selector = merged.get("label_selector")
    if selector is None:
        return placement
    rules: tuple[LabelRule, ...] = check_selector(selector)
    if not rules:
        return placement
    if placement is None or isinstance(placement, SpreadPlacement):
        return LabelPlacement(rules, spread=placement is not None)
    if isinstance(placement, LabelPlacement):
        return replace(placement, hard=(*placement.hard, *rules))
    raise InvalidOption(
        f"label_selector={selector!r} cannot be combined with a scheduling_strategy that names a"
        f" node or a placement group, which is where it is; got {merged['scheduling_strategy']!r}"
    )


def _check_placement(value: object) -> Placement:
    if value is None or value == "DEFAULT":
        return None
    if value == "SPREAD":
        return SpreadPlacement()
    if isinstance(value, (GroupPlacement, NodePlacement, SpreadPlacement, LabelPlacement)):
        return value
    to_placement = getattr(value, "to_placement", None)
    if to_placement is None or isinstance(value, type):
        near = nearest(value, ("DEFAULT", "SPREAD")) if isinstance(value, str) else ""
        raise InvalidOption(
            "scheduling_strategy must be 'DEFAULT', 'SPREAD', or an object of"
            f" air.util.scheduling_strategies, got {value!r}.{near}"
        )
    placement: Placement = to_placement()
    return placement
