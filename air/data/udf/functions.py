"""Users' functions inside operators: how they are described and made."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyarrow import compute as pc

from air.data.blocks.metadata import Rejected
from air.data.blocks.origins import Origins
from air.data.udf.async_calls import DEFAULT_CONCURRENCY, AsyncCalls
from air.errors import InvalidOption
from air.executor.validation import check_number

if TYPE_CHECKING:
    from air.data.udf.skipping import Skipped


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Which piece of work an operator is at.

    Attributes:
        index: the position of the piece among all pieces of its stage.
        source: where its rows come from, for messages.
        origins: where each of the rows that it has read comes from; ``None`` for an operator
            after one that has left some out or added some.
        lineage: what it is made from, where that is kept track of.
        before: rows that were left out of what this piece is made from.
        skipped: takes rows that are left out; there where operators run.
        block_bytes: larger blocks are divided when they come out.
    """

    index: int = 0
    source: str = ""
    origins: Origins | None = None
    lineage: str = ""
    before: tuple[Rejected, ...] = ()
    skipped: Skipped | None = None
    block_bytes: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function, or a class whose instances are called, with what it is called with.

    Attributes:
        fn: called as ``fn(item, *args, **kwargs)``; a class is made into an instance with the
            ``constructor_*`` arguments first, once for each process that works.
        concurrency: calls that may be under way at a time, of a coroutine function or an async
            generator function; 0 for a plain one.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    constructor_args: tuple[Any, ...] = ()
    constructor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 0
    number: int = 1

    @property
    def is_class(self) -> bool:
        """Whether instances of :attr:`fn` do the work; others, like ``str``, are functions."""
        return _makes_callables(self.fn)

    @property
    def name(self) -> str:
        """How messages call it."""
        fn = self.fn
        while isinstance(fn, functools.partial):
            fn = fn.func
        name: str = getattr(fn, "__name__", None) or type(fn).__name__
        return f"{name} #{self.number}" if self.number > 1 else name

    def open(self) -> Callable[[Any], Any]:
        """Something to call with one item; :class:`AsyncCalls` of an async function."""
        fn = self.fn
        if self.is_class:
            try:
                fn = fn(*self.constructor_args, **self.constructor_kwargs)
            except Exception as error:
                error.add_note(f"in the constructor of {self.name}")
                raise
        call = self._with_arguments(fn) if self.args or self.kwargs else fn
        return AsyncCalls(call, self.concurrency) if self.concurrency else call

    def _with_arguments(self, fn: Callable[..., Any]) -> Callable[[Any], Any]:
        def call(item: Any) -> Any:
            return fn(item, *self.args, **self.kwargs)

        return call


def check_function(
    operator: str,
    fn: object,
    *,
    fn_args: object = None,
    fn_kwargs: object = None,
    fn_constructor_args: object = None,
    fn_constructor_kwargs: object = None,
    streams: bool = True,
    waits: bool = True,
    max_concurrency: object = None,
) -> UserFunction:
    """What a user gave to an operator, checked.

    Args:
        streams: whether *fn* may be a generator function.
        waits: whether *fn* may be async.
        max_concurrency: calls of an async function that may be under way at a time.

    Raises:
        TypeError: *fn* cannot be called, is async where it may not be, or is a generator
            function although nobody would ask it for more than its first result.
        InvalidOption: arguments are no list or mapping, or are for the constructor of what is
            no class; a concurrency is no number, or for a function that is not async.
    """
    if isinstance(fn, pc.Expression):
        raise TypeError(
            f"{operator} takes no expression of pyarrow, which cannot say what it is made of: write"
            f" {fn!s:.80} with air.data.col, as in filter(col('a') > 1)"
        )
    if not callable(fn):
        raise TypeError(f"{operator} takes a function or a callable class, got {fn!r:.80}")
    called = _called(fn)
    is_generator = inspect.isasyncgenfunction(called)
    is_async = is_generator or inspect.iscoroutinefunction(called)
    if is_async and not waits:
        raise TypeError(
            f"{operator} takes plain functions, and {fn!r:.80} is async; call asyncio.run inside a"
            " plain one"
        )
    if not streams and (is_generator or inspect.isgeneratorfunction(called)):
        raise TypeError(
            f"{operator} takes a function that returns its result, and {fn!r:.80} yields; for"
            " several rows of one use flat_map"
        )
    if max_concurrency is not None:
        check_number(max_concurrency, f"{operator}: max_concurrency", minimum=1, integer=True)
        if not is_async:
            raise InvalidOption(
                f"{operator}: max_concurrency is for async functions, and {fn!r:.80} is a plain"
                " one; concurrency says how many tasks or actors work at the same time"
            )
    concurrency = int(max_concurrency or DEFAULT_CONCURRENCY) if is_async else 0  # type: ignore[call-overload]
    constructor_args = _sequence(operator, "fn_constructor_args", fn_constructor_args)
    constructor_kwargs = _mapping(operator, "fn_constructor_kwargs", fn_constructor_kwargs)
    if (constructor_args or constructor_kwargs) and not _makes_callables(fn):
        raise InvalidOption(
            f"{operator}: fn_constructor_args and fn_constructor_kwargs are for classes with a"
            f" __call__ method, which {fn!r:.80} is not; use fn_args and fn_kwargs"
        )
    return UserFunction(
        fn,
        _sequence(operator, "fn_args", fn_args),
        _mapping(operator, "fn_kwargs", fn_kwargs),
        constructor_args,
        constructor_kwargs,
        concurrency,
    )


def _called(fn: Any) -> Any:
    """The function that runs when *fn*, or an instance that it makes, is called."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if _makes_callables(fn):
        return fn.__call__
    return fn if inspect.isroutine(fn) or inspect.isclass(fn) else type(fn).__call__


def _makes_callables(fn: object) -> bool:
    return inspect.isclass(fn) and "__call__" in dir(fn)


def _sequence(operator: str, name: str, value: object) -> tuple[Any, ...]:
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(value)
    raise InvalidOption(f"{operator}: {name} must be a list or a tuple, got {value!r:.80}")


def _mapping(operator: str, name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    raise InvalidOption(f"{operator}: {name} must map names to values, got {value!r:.80}")
