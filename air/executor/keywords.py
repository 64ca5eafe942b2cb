"""Misspelt keyword arguments, answered with the nearest name there is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

_REASONS = "_refused_options"


def suggests_keywords(function: F) -> F:
    """Make *function* name the nearest option when it is called with an unknown one.

    Raises (the function, at the call):
        InvalidOption: for a keyword that is no parameter.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return function  # it takes any keyword, and checks them itself
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    names = [p.name for p in parameters if p.name not in ("self", "cls")]
    known = frozenset(names)
    reasons: Mapping[str, str] = getattr(function, _REASONS, {})

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys() <= known:
            unknown = next(name for name in kwargs if name not in known)
            if unknown in reasons:
                raise InvalidOption(f"{called} has no option {unknown!r}: {reasons[unknown]}")
            options = listing(names, limit=40) or "(none)"
            raise InvalidOption(
                f"{called} has no option {unknown!r}.{nearest(unknown, names)}"
                f" Options are: {options}"
            )
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


def refuses(**reasons: str) -> Callable[[F], F]:
    """Options of other toolkits that the function does without, each with what to do instead.

    Below :func:`suggests_keywords`, which tells it.
    """

    def mark(function: F) -> F:
        setattr(function, _REASONS, reasons)
        return function

    return mark


def methods_suggest_keywords(cls: C) -> C:
    """Apply :func:`suggests_keywords` to what *cls* defines itself: constructor, public methods."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isfunction(member):
            setattr(cls, name, suggests_keywords(member))
        elif isinstance(member, classmethod):
            setattr(cls, name, classmethod(suggests_keywords(member.__func__)))
    return cls
