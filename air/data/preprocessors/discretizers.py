"""Preprocessors that divide numbers into bins, as ``pandas.cut`` does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import Column, ColumnPreprocessor, check_columns, numbers
from air.data.summaries import Extremes, Moments
from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number, nearest

_MARGIN = 0.001
"""By this share of the range the outermost bin is widened, so that it holds the outermost value."""


class _Discretizer(ColumnPreprocessor):
    """What the discretizers have in common, once they know the edges of a column's bins."""

    columns: list[str]
    bins: Any
    right: bool
    include_lowest: bool
    duplicates: str
    dtypes: Mapping[str, Any] | None

    def _check(self) -> list[str]:
        """The columns, all options checked but the bins."""
        who = type(self).__name__
        names = check_columns(self, self.columns)
        check_flag(self.right, f"{who}: right")
        check_flag(self.include_lowest, f"{who}: include_lowest")
        if self.duplicates not in ("raise", "drop"):
            raise InvalidOption(
                f"{who}: duplicates must be 'raise' or 'drop', got {self.duplicates!r:.80}"
            )
        self._check_by_column("dtypes", self.dtypes or {}, names)
        for name, dtype in (self.dtypes or {}).items():
            if not hasattr(dtype, "categories") and not _is_integer_type(dtype):
                raise InvalidOption(
                    f"{who}: dtypes[{name!r}] must be a type of whole numbers of numpy's, or a"
                    f" pandas.CategoricalDtype with a category for each bin, got {dtype!r:.80}"
                )
        return names

    def _check_by_column(self, what: str, given: object, names: Sequence[str]) -> None:
        who = type(self).__name__
        if not isinstance(given, Mapping):
            raise InvalidOption(f"{who}: {what} must be a dict by column, got {given!r:.80}")
        for name in given:
            if name not in names:
                raise InvalidOption(
                    f"{who}: {what} names {name!r}, which is not among its"
                    f" columns.{nearest(str(name), names)}"
                )

    def _edges(self, name: str) -> np.ndarray:
        raise NotImplementedError

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return self._check()

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            edges = self._edges(name)
            positions = self._positions(numbers(self, name, column), edges)
            outside = positions < 0
            dtype = (self.dtypes or {}).get(name, np.int64)
            if hasattr(dtype, "categories"):
                codes = pa.array(positions, pa.int32(), mask=outside)
                labels = pa.array(_labels(type(self).__name__, name, dtype, len(edges) - 1))
                made[name] = pa.DictionaryArray.from_arrays(
                    codes, labels, ordered=bool(dtype.ordered)
                )
            else:
                made[name] = pa.array(positions.astype(dtype), mask=outside)
        return made

    def _positions(self, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """The bin that each value is in; -1 for those in none, and NaN."""
        found = np.searchsorted(edges, values, side="left" if self.right else "right")
        if self.include_lowest:
            found[values == edges[0]] = 1
        found[(found == len(edges)) | np.isnan(values)] = 0
        return found - 1


class CustomKBinsDiscretizer(_Discretizer):
    """Replace numbers by the position of the bin that they are in, where the bins are given.

    The same answers as ``pandas.cut(..., labels=False)``: values outside all bins become missing,
    missing ones stay missing. There is nothing to fit.

    Args:
        columns: names of columns with numbers.
        bins: the edges of the bins in ascending order, one more than there are bins; for all
            columns, or a dictionary of them by column.
        right: whether the right edge of a bin belongs to it; the left one otherwise.
        include_lowest: with *right*, whether the first edge belongs to the first bin.
        duplicates: what to do when an edge is there twice: ``"raise"`` or ``"drop"`` one.
        dtypes: for some of the columns, the type of the result: one of numpy's types of whole
            numbers (``int64`` if it is not said), or a ``pandas.CategoricalDtype`` whose
            categories are put in place of the positions, one for each bin.
    """

    _is_fittable = False

    def __init__(
        self,
        columns: list[str],
        bins: Iterable[float] | Mapping[str, Iterable[float]],
        *,
        right: bool = True,
        include_lowest: bool = False,
        duplicates: str = "raise",
        dtypes: Mapping[str, Any] | None = None,
    ) -> None:
        self.columns = columns
        self.bins = bins
        self.right = right
        self.include_lowest = include_lowest
        self.duplicates = duplicates
        self.dtypes = dtypes
        names = self._check()
        if isinstance(bins, Mapping):
            self._check_by_column("bins", bins, names)
        for name in names:
            edges = self._edges(name)
            if hasattr((dtypes or {}).get(name), "categories"):
                _labels(type(self).__name__, name, (dtypes or {})[name], len(edges) - 1)

    def _edges(self, name: str) -> np.ndarray:
        given = self.bins
        if isinstance(given, Mapping):
            if name not in given:
                raise InvalidOption(
                    f"CustomKBinsDiscretizer: bins says nothing of column {name!r}; it has"
                    f" {', '.join(map(repr, given))}"
                )
            given = given[name]
        try:
            edges = np.asarray(list(given), dtype=np.float64)
        except (TypeError, ValueError):
            edges = np.empty((0, 0))
        if edges.ndim != 1 or len(edges) < 2 or np.isnan(edges).any():
            raise InvalidOption(
                "CustomKBinsDiscretizer: bins must be the edges of the bins, two numbers or more,"
                f" got {given!r:.80}"
            )
        if (np.diff(edges) < 0).any():
            raise InvalidOption(
                f"CustomKBinsDiscretizer: bins must be in ascending order, got {given!r:.80}"
            )
        distinct = np.unique(edges)
        if len(distinct) < len(edges) and self.duplicates == "raise":
            raise InvalidOption(
                f"CustomKBinsDiscretizer: bins has an edge twice: {given!r:.80}; leave it out, or"
                " use duplicates='drop'"
            )
        if len(distinct) < 2:
            raise InvalidOption(
                f"CustomKBinsDiscretizer: bins has one edge only, and no bin: {given!r:.80}"
            )
        return distinct


class UniformKBinsDiscretizer(_Discretizer):
    """Replace numbers by the position of the bin that they are in, of bins that are equally wide.

    The same answers as ``pandas.cut(..., bins, labels=False)``: the bins divide the range of the
    values that were fitted; the outermost one is wider by a thousandth of it, on the side whose
    edge would not belong to it. Values outside become missing, missing ones stay missing.

    Args:
        columns: names of columns with numbers.
        bins: how many; for all columns, or a dictionary by column.
        right: whether the right edge of a bin belongs to it; the left one otherwise.
        include_lowest: with *right*, whether the first edge belongs to the first bin.
        duplicates: what to do when an edge is there twice, which happens where the range is so
            narrow that numbers between cannot be told apart: ``"raise"`` or ``"drop"`` one.
        dtypes: for some of the columns, the type of the result, as for
            :class:`CustomKBinsDiscretizer`.

    Attributes:
        stats_: ``{"bins(a)": [edge, ...]}`` after :meth:`fit`.
    """

    def __init__(
        self,
        columns: list[str],
        bins: int | Mapping[str, int],
        *,
        right: bool = True,
        include_lowest: bool = False,
        duplicates: str = "raise",
        dtypes: Mapping[str, Any] | None = None,
    ) -> None:
        self.columns = columns
        self.bins = bins
        self.right = right
        self.include_lowest = include_lowest
        self.duplicates = duplicates
        self.dtypes = dtypes
        for name, count in self._counts().items():
            dtype = (dtypes or {}).get(name)
            if hasattr(dtype, "categories"):
                _labels(type(self).__name__, name, dtype, count)

    def _counts(self) -> dict[str, int]:
        names = self._check()
        given = self.bins if isinstance(self.bins, Mapping) else dict.fromkeys(names, self.bins)
        self._check_by_column("bins", given, names)
        counts = {}
        for name in names:
            if name not in given:
                raise InvalidOption(
                    f"UniformKBinsDiscretizer: bins says nothing of column {name!r}; it has"
                    f" {', '.join(map(repr, given))}"
                )
            counts[name] = int(
                check_number(
                    given[name], f"UniformKBinsDiscretizer: bins[{name!r}]", minimum=1, integer=True
                )
            )
        return counts

    def _fit(self, ds: Dataset) -> None:
        counts = self._counts()
        # Moments are asked for because they refuse what is no number.
        found = self._summarize(ds, {name: [Extremes, Moments] for name in counts})
        stats: dict[str, list[float]] = {}
        for name, count in counts.items():
            extremes = found[Extremes, name]
            if extremes.smallest is None:
                raise UnsuitableData(
                    f"UniformKBinsDiscretizer: column {name!r} has no values to learn from"
                )
            smallest, largest = float(extremes.smallest), float(extremes.largest)
            if not math.isfinite(largest - smallest):
                raise UnsuitableData(
                    f"UniformKBinsDiscretizer: column {name!r} has infinite values, or values too"
                    " far apart to calculate with; replace them, or leave their rows out with"
                    " filter"
                )
            edges = np.unique(uniform_edges(smallest, largest, count, right=self.right))
            if len(edges) <= count and self.duplicates == "raise":
                raise UnsuitableData(
                    f"UniformKBinsDiscretizer: column {name!r} ranges from {smallest!r} to"
                    f" {largest!r}, which is too narrow for {count} bins; use fewer, or"
                    " duplicates='drop'"
                )
            stats[f"bins({name})"] = edges.tolist()
        self.stats_ = stats

    def _edges(self, name: str) -> np.ndarray:
        return np.asarray(self.stats_[f"bins({name})"])


def uniform_edges(smallest: float, largest: float, count: int, *, right: bool) -> np.ndarray:
    """Edges of *count* equally wide bins, widened as ``pandas.cut`` does."""
    if smallest == largest:
        around = _MARGIN * abs(smallest) if smallest else _MARGIN
        return np.linspace(smallest - around, largest + around, count + 1)
    edges = np.linspace(smallest, largest, count + 1)
    margin = (largest - smallest) * _MARGIN
    if right:
        edges[0] -= margin
    else:
        edges[-1] += margin
    return edges


def _is_integer_type(dtype: Any) -> bool:
    try:
        return bool(np.issubdtype(np.dtype(dtype), np.integer))
    except TypeError:
        return False


def _labels(who: str, name: str, dtype: Any, count: int) -> list[Any]:
    """The categories of *dtype*, one for each of *count* bins."""
    labels = [] if dtype.categories is None else list(dtype.categories)
    if len(labels) != count:
        raise InvalidOption(
            f"{who}: dtypes[{name!r}] has {len(labels)} categories for {count} bins; there must be"
            " one for each"
        )
    return labels
