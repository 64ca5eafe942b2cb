"""What a training function may be."""

from __future__ import annotations

import inspect
from collections.abc import Callable

TrainFunction = Callable[..., object]
"""A training function; it takes a config (a dict) or nothing, and what it returns is dropped."""


def check_kind(function: Callable[..., object], what: str) -> None:
    """Raise ``TypeError`` for a function whose call would only make a generator or coroutine."""
    for each in (function, type(function).__call__):
        for kind, is_kind in (
            ("a generator function", inspect.isgeneratorfunction),
            ("a coroutine function", inspect.iscoroutinefunction),
            ("an asynchronous generator function", inspect.isasyncgenfunction),
        ):
            if is_kind(each):
                name = getattr(function, "__name__", type(function).__name__)
                raise TypeError(
                    f"{what} is a plain function, and {name} is {kind}: report by calling "
                    "air.train.report, not by yield or await."
                )


def takes_config(function: TrainFunction) -> bool:
    """Whether a training function is called with its config, or with nothing.

    Raises:
        TypeError: it can be called with neither, or calling it would run nothing.
    """
    check_kind(function, "A training function")
    try:
        signature = inspect.signature(function)
        # What a decorator wraps may take more than is given here: the decorator supplies it.
        outer = inspect.signature(function, follow_wrapped=False)
    except ValueError:  # some builtins have none
        return True
    for each in (signature, outer):
        if _fits(each, {}):
            return True
        if _fits(each):
            return False
    raise TypeError(
        "A training function takes one argument, its config, or none; "
        f"{getattr(function, '__name__', function)}{signature} takes neither."
    )


def _fits(signature: inspect.Signature, *arguments: object) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True
