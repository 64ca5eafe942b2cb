"""Preprocessors that bring numbers to a common scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import (
    Column,
    ColumnPreprocessor,
    check_columns,
    numbers,
    with_nulls_of,
)
from air.data.summaries import Extremes, Moments, Quantiles
from air.errors import InvalidOption
from air.executor.validation import check_number

_EPSILON = float(np.finfo(np.float64).eps)


class StandardScaler(ColumnPreprocessor):
    """Shift and scale columns to mean 0 and standard deviation 1: ``(x - mean) / std``.

    The same numbers as scikit-learn's: the deviation is that of the whole population
    (``ddof=0``), missing values are left out of it and stay missing, and a column that is
    constant becomes 0.

    Args:
        columns: names of columns with numbers.

    Attributes:
        stats_: ``{"mean(a)": ..., "std(a)": ...}`` after :meth:`fit`; the deviation of a
            constant column is 0.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        check_columns(self, columns)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        found = self._summarize(ds, {name: [Moments] for name in self.input_columns(())})
        stats: dict[str, float] = {}
        for name in self.columns:
            moments = found[Moments, name]
            _check_finite(self, name, moments.mean, moments.squares)
            stats[f"mean({name})"] = moments.mean if moments.count else math.nan
            stats[f"std({name})"] = 0.0 if _is_constant(moments) else _std(moments)
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            values = numbers(self, name, column)
            scale = self.stats_[f"std({name})"] or 1.0
            scaled = (values - values.dtype.type(self.stats_[f"mean({name})"])) / scale
            made[name] = with_nulls_of(column, scaled.astype(values.dtype, copy=False))
        return made


class MinMaxScaler(ColumnPreprocessor):
    """Shift and scale columns to the range 0 to 1: ``(x - min) / (max - min)``.

    The same numbers as scikit-learn's: missing values stay missing, and a column that is
    constant becomes 0.

    Args:
        columns: names of columns with numbers.

    Attributes:
        stats_: ``{"min(a)": ..., "max(a)": ...}`` after :meth:`fit`.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        check_columns(self, columns)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        # Moments are asked for because they refuse what is no number.
        found = self._summarize(ds, {name: [Extremes, Moments] for name in self.input_columns(())})
        stats: dict[str, float] = {}
        for name in self.columns:
            extremes = found[Extremes, name]
            for bound, value in (("min", extremes.smallest), ("max", extremes.largest)):
                stats[f"{bound}({name})"] = math.nan if value is None else float(value)
            if extremes.smallest is not None:
                smallest, largest = stats[f"min({name})"], stats[f"max({name})"]
                _check_finite(self, name, largest - smallest)
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            values = numbers(self, name, column)
            smallest = self.stats_[f"min({name})"]
            span = self.stats_[f"max({name})"] - smallest
            if span < 10 * _EPSILON:
                span = 1.0
            scaled = (values - values.dtype.type(smallest)) / span
            made[name] = with_nulls_of(column, scaled.astype(values.dtype, copy=False))
        return made


class MaxAbsScaler(ColumnPreprocessor):
    """Scale columns to the range -1 to 1: ``x / max(|x|)``; zero stays zero.

    The same numbers as scikit-learn's: missing values stay missing, and a column of zeros stays
    one.

    Args:
        columns: names of columns with numbers.

    Attributes:
        stats_: ``{"abs_max(a)": ...}`` after :meth:`fit`; NaN for a column without values.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        check_columns(self, columns)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        # Moments are asked for because they refuse what is no number.
        found = self._summarize(ds, {name: [Extremes, Moments] for name in self.input_columns(())})
        stats: dict[str, float] = {}
        for name in self.columns:
            extremes = found[Extremes, name]
            largest = math.nan
            if extremes.smallest is not None:
                largest = float(max(abs(extremes.smallest), abs(extremes.largest)))
                _check_finite(self, name, largest)
            stats[f"abs_max({name})"] = largest
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            values = numbers(self, name, column)
            largest = self.stats_[f"abs_max({name})"]
            scaled = values / (1.0 if largest < 10 * _EPSILON else largest)
            made[name] = with_nulls_of(column, scaled.astype(values.dtype, copy=False))
        return made


class RobustScaler(ColumnPreprocessor):
    """Shift and scale columns by quantiles: ``(x - median) / (high quantile - low quantile)``.

    The same numbers as scikit-learn's, so a few values that are far away do not matter: missing
    values are left out of the quantiles and stay missing, and a column whose two quantiles are
    equal is shifted only. Quantiles are exact; :meth:`fit` is one pass, for which 8 bytes of memory
    are needed for each number of the columns.

    Args:
        columns: names of columns with numbers.
        quantile_range: the low and the high quantile, from 0 to 1.

    Attributes:
        stats_: ``{"low_quantile(a)": ..., "median(a)": ..., "high_quantile(a)": ...}`` after
            :meth:`fit`; NaN for a column without values.

    Raises:
        InvalidOption: *quantile_range* is no pair of fractions of which the first is smaller.
    """

    def __init__(
        self, columns: list[str], quantile_range: tuple[float, float] = (0.25, 0.75)
    ) -> None:
        self.columns = columns
        self.quantile_range = quantile_range
        check_columns(self, columns)
        self._fractions()

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fractions(self) -> list[float]:
        given = self.quantile_range
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise InvalidOption(
                "RobustScaler: quantile_range must be two fractions such as (0.25, 0.75), got"
                f" {given!r:.80}"
            )
        low, high = (
            check_number(one, "RobustScaler: quantile_range", minimum=0, maximum=1) for one in given
        )
        if low >= high:
            raise InvalidOption(
                f"RobustScaler: the first of quantile_range must be smaller, got {given!r}"
            )
        return [low, 0.5, high]

    def _fit(self, ds: Dataset) -> None:
        found = self._summarize(ds, {name: [Quantiles] for name in self.input_columns(())})
        stats: dict[str, float] = {}
        for name in self.columns:
            quantiles = found[Quantiles, name].at(self._fractions())
            if quantiles is not None:
                _check_finite(self, name, *quantiles, quantiles[2] - quantiles[0])
            labels = ("low_quantile", "median", "high_quantile")
            for label, value in zip(labels, quantiles or [math.nan] * 3, strict=True):
                stats[f"{label}({name})"] = value
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            values = numbers(self, name, column)
            span = self.stats_[f"high_quantile({name})"] - self.stats_[f"low_quantile({name})"]
            if span < 10 * _EPSILON:
                span = 1.0
            median = values.dtype.type(self.stats_[f"median({name})"])
            scaled = (values - median) / span
            made[name] = with_nulls_of(column, scaled.astype(values.dtype, copy=False))
        return made


def _check_finite(scaler: ColumnPreprocessor, name: str, *learnt: float) -> None:
    # One infinite value would make all others NaN.
    if not all(math.isfinite(value) for value in learnt):
        raise UnsuitableData(
            f"{type(scaler).__name__}: column {name!r} has infinite values, or values too large to"
            " calculate with; replace them, or leave their rows out with filter"
        )


def _std(moments: Moments) -> float:
    std = moments.std()
    return math.nan if std is None else std


def _is_constant(moments: Moments) -> bool:
    """Whether what variance there is may be rounding: the bound that scikit-learn uses."""
    variance = moments.variance()
    if variance is None:
        return False
    rounding = moments.count * moments.mean * _EPSILON
    return variance <= moments.count * _EPSILON * variance + rounding * rounding
