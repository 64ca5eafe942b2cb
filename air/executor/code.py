"""Functions and classes as they travel to workers: pickled once, known by their hash."""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from air.executor.options import MethodOptions, NumReturns
from air.executor.signatures import CallSignature
from air.executor.streaming import BYTES_AHEAD

_NO_METHODS = (type, property, functools.cached_property)


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a caller must know of an actor's method.

    Attributes:
        options: as given by ``@air.method(...)``; by default ``num_returns`` is 1, or
            ``"streaming"`` for generator methods.
        is_async: whether it is a coroutine function or an async generator.
        signature: for checking a call's arguments before it is sent; ``None`` if unknown.
    """

    options: MethodOptions
    is_async: bool
    signature: CallSignature | None = None


class Code:
    """A user's function or class, with its pickle made at first use and kept.

    ``key`` is the hash of the pickle: equal code has an equal key in every process, so a
    worker loads each function once.
    """

    __slots__ = ("_key", "_lock", "_pickled", "name", "target")

    def __init__(self, target: Callable[..., Any], name: str | None = None) -> None:
        self.target = target
        self.name = name or describe_callable(target)
        self._lock = threading.Lock()
        self._pickled: bytes | None = None
        self._key: bytes | None = None

    @property
    def pickled(self) -> bytes:
        """The pickle of the target.

        Raises:
            SerializationError: it cannot be pickled; names the path to the culprit.
        """
        if self._pickled is None:
            from air.executor.serialization import dumps_code

            with self._lock:
                if self._pickled is None:
                    pickled = dumps_code(self.target, self.name)
                    self._key = hashlib.blake2b(pickled, digest_size=16).digest()
                    self._pickled = pickled
        return self._pickled

    @property
    def key(self) -> bytes:
        """16 bytes that stand for the pickled code."""
        if self._key is None:
            self.pickled  # noqa: B018 - computes the key
        assert self._key is not None
        return self._key


def describe_callable(target: object) -> str:
    """``module.qualname`` of a function or class, for messages."""
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    module = getattr(target, "__module__", None)
    return f"{module}.{name}" if module not in (None, "__main__", "builtins") else name


def body_of(target: object) -> object:
    """The function that runs when *target* is called: ``__call__`` of an object that has one."""
    if inspect.isroutine(target) or isinstance(target, (type, functools.partial)):
        return target
    return getattr(target, "__call__", target)  # noqa: B004 - not a test for being callable


def default_num_returns(function: object) -> NumReturns:
    """``"streaming"`` for generator functions, 1 for all others."""
    body = body_of(function)
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        return "streaming"
    return 1


def methods_of(cls: type) -> Mapping[str, MethodInfo]:
    """The callable attributes of a class that an actor's handle offers.

    Dunder methods are left out, except ``__call__``.
    """
    found: dict[str, MethodInfo] = {}
    static = {name: item for base in reversed(cls.__mro__) for name, item in vars(base).items()}
    for name, item in sorted(static.items()):
        if (name.startswith("__") and name != "__call__") or isinstance(item, _NO_METHODS):
            continue
        try:
            member = getattr(cls, name)
        except Exception:  # a descriptor of the user's, which wants an instance
            continue
        if not callable(member):
            continue
        options = getattr(member, "__air_method_options__", {})
        num_returns = options.get("num_returns")
        is_bound = not isinstance(item, (staticmethod, classmethod))
        found[name] = MethodInfo(
            MethodOptions(
                default_num_returns(member) if num_returns is None else num_returns,
                options.get("name"),
                options.get("concurrency_group"),
                options.get("bytes_ahead") or BYTES_AHEAD,
            ),
            is_async=inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member),
            signature=CallSignature.of(member, without_first=is_bound),
        )
    return found
