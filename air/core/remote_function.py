"""Functions that run as tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from air.executor.code import Code, default_num_returns
from air.executor.current import get_executor
from air.executor.handles import unpack_returns
from air.executor.options import TaskOptions, task_options, with_read_environment
from air.executor.signatures import CallSignature


class RemoteFunction:
    """A function made remote by ``@air.remote``; call it with ``.remote(...)``.

    Looks into the function when it is first used and not before: one that calls itself comes
    out of a pickle after this object, which it knows.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._checked = task_options(options)
        self._given = with_read_environment(options, self._checked)

    @functools.cached_property
    def _code(self) -> Code:
        return Code(self._function)

    @functools.cached_property
    def _signature(self) -> CallSignature | None:
        return CallSignature.of(self._function)

    @functools.cached_property
    def _options(self) -> TaskOptions:
        from dataclasses import replace

        if self._checked.num_returns is not None:
            return self._checked
        return replace(self._checked, num_returns=default_num_returns(self._function))

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        """Start a task.

        Returns:
            An ``ObjectRef``; a list of them for ``num_returns`` > 1, ``None`` for 0, an
            ``ObjectRefGenerator`` for generator functions.

        Raises:
            TypeError: the arguments do not fit the function's signature.
            SerializationError, Unschedulable: see :meth:`Executor.submit_task`.
        """
        if self._signature is not None:
            self._signature.check(args, kwargs, self._code.name)
        made = get_executor().submit_task(self._code, args, kwargs, self._options)
        return unpack_returns(made)

    def options(self, **options: Any) -> RemoteFunction:
        """The same function with other options; see ``air.remote``."""
        self._code  # noqa: B018 - pickled once for all
        changed = object.__new__(RemoteFunction)
        changed.__dict__.update(self.__dict__)
        changed._checked = task_options(options, self._given)
        changed._given = with_read_environment({**self._given, **options}, changed._checked)
        changed.__dict__.pop("_options", None)
        return changed

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"remote functions are called with .remote(): {self._code.name}.remote(...)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFunction, (self._function, self._given)

    def __repr__(self) -> str:
        return f"RemoteFunction({self._code.name})"
