"""Preprocessors of numbers that have nothing to learn: each row is transformed by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import (
    Column,
    ColumnPreprocessor,
    check_columns,
    numbers,
    with_nulls_of,
)
from air.errors import InvalidOption
from air.executor.validation import check_number, listing, nearest

_NORMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "l1": lambda rows: np.abs(rows).sum(axis=0),
    "l2": lambda rows: np.sqrt(np.square(rows).sum(axis=0)),
    "max": lambda rows: np.abs(rows).max(axis=0),
}


class Normalizer(ColumnPreprocessor):
    """Scale each row to norm 1: divide its values in all *columns* by their norm.

    The same numbers as scikit-learn's: a row of zeros stays one. A row in which one of the columns
    is missing has no norm, and becomes missing in all of them. There is nothing to fit.

    Args:
        columns: names of columns with numbers, which are the coordinates of a row.
        norm: ``"l1"`` (the sum of the absolute values), ``"l2"`` (the square root of the sum of
            the squares) or ``"max"`` (the largest absolute value).
    """

    _is_fittable = False

    def __init__(self, columns: list[str], norm: str = "l2") -> None:
        self.columns = columns
        self.norm = norm
        self.input_columns(())

    def input_columns(self, available: Sequence[str]) -> list[str]:
        _check_choice("Normalizer", "norm", self.norm, tuple(_NORMS))
        return check_columns(self, self.columns)

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The columns, scaled.

        Raises:
            UnsuitableData: a value is infinite, and its row has no norm.
        """
        values = {name: numbers(self, name, column) for name, column in columns.items()}
        for name, column in values.items():
            if np.isinf(column).any():
                raise UnsuitableData(
                    f"Normalizer: column {name!r} has infinite values, and their rows no norm;"
                    " replace them, or leave the rows out with filter"
                )
        rows = np.stack([column.astype(np.float64, copy=False) for column in values.values()])
        # Divided by the largest first, nothing overflows when it is squared.
        largest = np.abs(rows).max(axis=0)
        largest[largest == 0] = 1.0
        rows /= largest
        norms = _NORMS[self.norm](rows)
        norms[norms == 0] = 1.0
        rows /= norms
        return {
            name: with_nulls_of(columns[name], scaled.astype(values[name].dtype, copy=False))
            for name, scaled in zip(values, rows, strict=True)
        }


class PowerTransformer(ColumnPreprocessor):
    """Make columns more like a normal distribution by a power of their values.

    With ``x`` a value and ``p`` the *power*, ``"yeo-johnson"`` gives ``((x + 1)**p - 1) / p`` for
    ``x >= 0`` and ``-((1 - x)**(2 - p) - 1) / (2 - p)`` below, ``"box-cox"`` gives ``(x**p - 1) /
    p`` for ``x > 0``; where a divisor is 0, the logarithm that is the limit (Yeo and Johnson, "A
    new family of power transformations to improve normality or symmetry", 2000). Missing values
    stay missing. The power is given, so there is nothing to fit; nothing is scaled afterwards.

    Args:
        columns: names of columns with numbers.
        power: the exponent, for all columns.
        method: ``"yeo-johnson"``, or ``"box-cox"`` for values above 0.
    """

    _is_fittable = False

    def __init__(self, columns: list[str], power: float, method: str = "yeo-johnson") -> None:
        self.columns = columns
        self.power = power
        self.method = method
        self.input_columns(())

    def input_columns(self, available: Sequence[str]) -> list[str]:
        _check_choice("PowerTransformer", "method", self.method, ("yeo-johnson", "box-cox"))
        check_number(self.power, "PowerTransformer: power")
        return check_columns(self, self.columns)

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The columns, transformed.

        Raises:
            UnsuitableData: a value for ``"box-cox"`` is not above 0.
        """
        made = {}
        for name, column in columns.items():
            given = numbers(self, name, column)
            values = given.astype(np.float64, copy=False)
            if self.method == "yeo-johnson":
                powered = np.empty_like(values)
                below = values < 0
                powered[~below] = _power_of_one_more(values[~below], self.power)
                powered[below] = -_power_of_one_more(-values[below], 2 - self.power)
            elif (values <= 0).any():
                raise UnsuitableData(
                    f"PowerTransformer: column {name!r} has values that are not above 0, which"
                    " method='box-cox' cannot take; use method='yeo-johnson'"
                )
            else:
                powered = _power(np.log(values), self.power)
            made[name] = with_nulls_of(column, powered.astype(given.dtype, copy=False))
        return made


def _power_of_one_more(values: np.ndarray, power: float) -> np.ndarray:
    """``((values + 1)**power - 1) / power``."""
    return _power(np.log1p(values), power)


def _power(logarithms: np.ndarray, power: float) -> np.ndarray:
    """``(exp(logarithms)**power - 1) / power``, without cancellation for small powers."""
    if power == 0:
        return logarithms
    made: np.ndarray = np.expm1(power * logarithms) / power
    return made


def _check_choice(who: str, what: str, given: object, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise InvalidOption(
            f"{who}: unknown {what} {given!r}.{nearest(str(given), choices)} It is one of:"
            f" {listing(choices)}"
        )
