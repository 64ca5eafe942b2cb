"""Classes whose instances live in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from air.errors import InvalidOption
from air.executor.capabilities import Capability
from air.executor.code import Code, MethodInfo, methods_of
from air.executor.concurrency import check_member
from air.executor.current import get_executor
from air.executor.handles import ActorHandle
from air.executor.options import (
    METHOD_KEYS,
    ActorOptions,
    MethodOptions,
    actor_options,
    with_read_environment,
)
from air.executor.options import method_options as check_method_options
from air.executor.signatures import CallSignature
from air.executor.validation import listing, reject_unknown

F = TypeVar("F", bound=Callable[..., Any])


class ActorClass:
    """A class made remote by ``@air.remote``; ``.remote(...)`` makes an actor of it.

    Looks into the class when it is first used and not before: where a class comes out of a
    pickle, and its methods know this object, this object is made before the class is whole.
    """

    def __init__(self, cls: type, options: Mapping[str, Any]) -> None:
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__module__ = cls.__module__
        self.__doc__ = cls.__doc__
        self._cls = cls
        self._options = actor_options(options)
        self._given = with_read_environment(options, self._options)

    @cached_property
    def _code(self) -> Code:
        return Code(self._cls)

    @cached_property
    def _methods(self) -> Mapping[str, MethodInfo]:
        return methods_of(self._cls)

    @cached_property
    def _grouped(self) -> dict[str, str]:
        """The methods that are in a concurrency group, and in which."""
        return {
            name: info.options.concurrency_group
            for name, info in self._methods.items()
            if info.options.concurrency_group is not None
        }

    @cached_property
    def _signature(self) -> CallSignature | None:
        return CallSignature.of(self._cls)

    def remote(self, /, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor; does not wait for its constructor.

        Raises:
            TypeError: the arguments do not fit the constructor's signature.
            InvalidOption: the actor's name is taken, or a method is in a concurrency group that
                the class does not have.
            SerializationError, Unschedulable, UnsupportedByBackend: see
                :meth:`Executor.create_actor`.
        """
        if self._signature is not None:
            self._signature.check(args, kwargs, self._code.name)
        if self._grouped:
            self.check_groups()
        executor = get_executor()
        options = self._options
        if options.detached:
            executor.require(Capability.DETACHED_ACTORS)
        if options.max_restarts != 0:
            executor.require(Capability.ACTOR_RESTARTS)
        return executor.create_actor(self._code, self._methods, args, kwargs, options)

    def options(self, **options: Any) -> ActorClass:
        """The same class with other options; see ``air.remote``."""
        self._code  # noqa: B018 - pickled once for all
        changed = object.__new__(ActorClass)
        changed.__dict__.update(self.__dict__)
        changed._options = actor_options(options, self._given)
        changed._given = with_read_environment({**self._given, **options}, changed._options)
        if "concurrency_groups" in options:
            changed.check_groups()
        return changed

    def check_groups(self) -> None:
        """Complain about a method in a concurrency group that the class does not have.

        Raises:
            InvalidOption: names the method, and the nearest group.
        """
        for name, group in self._grouped.items():
            check_member(group, self._options.concurrency_groups, f"{self.__name__}.{name}")

    @property
    def actor_options(self) -> ActorOptions:
        """The options that actors of this class are made with."""
        return self._options

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"actors are made with .remote(): {self._code.name}.remote(...)")

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        raise TypeError(
            f"{self._code.name} is an actor class, which cannot be subclassed: keep the plain"
            " class, derive from that, and make actors of both with air.remote(Class)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ActorClass, (self._cls, self._given)

    def __repr__(self) -> str:
        return f"ActorClass({self._code.name})"


def method(*args: Any, **options: Any) -> Callable[[F], F]:
    """Set options of an actor's method where it is defined: ``@air.method(num_returns=2)``.

    Args:
        num_returns: number of references that a call gives, or ``"streaming"``.
        name: shown instead of the method's name in messages and listings.
        concurrency_group: in which calls run: one of those that the class declares, as in
            ``@air.remote(concurrency_groups={"io": 2})``.
        bytes_ahead: of a streaming one: bytes of values that nobody has taken, at which it waits.

    Raises:
        InvalidOption: an unknown option or a value that it cannot take.
    """
    if args or not options:
        raise InvalidOption(
            "air.method needs options, as in @air.method(num_returns=2). Options are:"
            f" {listing(sorted(METHOD_KEYS))}"
        )
    reject_unknown(options, METHOD_KEYS, what="air.method")
    check_method_options(options, MethodOptions())

    def mark(function: F) -> F:
        function.__air_method_options__ = options  # type: ignore[attr-defined]
        return function

    return mark
