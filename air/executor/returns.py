"""How what a function returned becomes the values of its references, for all backends."""

from __future__ import annotations

import itertools
from types import AsyncGeneratorType, GeneratorType
from typing import Any


def split_returns(value: Any, num_returns: int, name: str) -> list[Any]:
    """The values of the references that a call gave.

    A generator is run to its end, or until it has yielded too much. What it yields where no value
    is wanted is dropped, as what a function returns there is.

    Raises:
        ValueError: the function returned something else than *num_returns* values.
        TypeError: it returned a generator that is not made for this; says what to do.
    """
    if isinstance(value, AsyncGeneratorType) or (
        num_returns == 1 and isinstance(value, GeneratorType)
    ):
        kind = "an async generator" if isinstance(value, AsyncGeneratorType) else "a generator"
        raise TypeError(
            f"{name} has num_returns={num_returns}, but it returned {kind}: with"
            " num_returns='streaming' every value that it yields gets a reference"
        )
    if num_returns == 1:
        return [value]
    if num_returns == 0:
        if isinstance(value, GeneratorType):
            for _ in value:
                pass
        return []
    if isinstance(value, GeneratorType):
        value = list(itertools.islice(value, num_returns + 1))
    if not isinstance(value, (tuple, list)):
        raise ValueError(
            f"{name} has num_returns={num_returns} and must return a tuple or list of that"
            f" many values, but it returned {type(value).__name__}"
        )
    if len(value) != num_returns:
        raise ValueError(f"{name} has num_returns={num_returns}, but it returned {len(value)}")
    return list(value)


def not_a_generator(value: Any, name: str) -> TypeError:
    """The error of a streaming task that returned something else than a generator."""
    return TypeError(
        f"{name} has num_returns='streaming' and must return a generator, but it returned"
        f" {type(value).__name__}"
    )
