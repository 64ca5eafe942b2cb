"""A preprocessor that fills in missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

from air.data.counts import ValueCounts
from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import Column, ColumnPreprocessor, check_columns, numbers
from air.data.summaries import Moments, Summary
from air.errors import InvalidOption
from air.executor.validation import listing, nearest

_STRATEGIES = ("mean", "most_frequent", "constant")


class SimpleImputer(ColumnPreprocessor):
    """Fill in missing values: nulls, and NaN among floats.

    Args:
        columns: names of columns.
        strategy: ``"mean"`` of the column (whole numbers become floats),
            ``"most_frequent"`` value (of equally frequent ones the smallest), or
            ``"constant"``.
        fill_value: for ``"constant"``.

    Attributes:
        stats_: ``{"mean(a)": ...}`` or ``{"most_frequent(a)": ...}`` after :meth:`fit`; there
            is nothing to fit for ``"constant"``.
    """

    def __init__(self, columns: list[str], strategy: str = "mean", fill_value: Any = None) -> None:
        self.columns = columns
        self.strategy = strategy
        self.fill_value = fill_value
        self.input_columns(())

    @property
    def _is_fittable(self) -> bool:  # type: ignore[override]
        return self.strategy != "constant"

    def input_columns(self, available: Sequence[str]) -> list[str]:
        if self.strategy not in _STRATEGIES:
            raise InvalidOption(
                f"SimpleImputer: unknown strategy {self.strategy!r}."
                f"{nearest(self.strategy, _STRATEGIES)} Strategies are: {listing(_STRATEGIES)}"
            )
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise InvalidOption(
                "SimpleImputer: strategy='constant' and fill_value go together, got"
                f" strategy={self.strategy!r} and fill_value={self.fill_value!r:.80}"
            )
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        kind: type[Summary] = Moments if self.strategy == "mean" else ValueCounts
        found = self._summarize(ds, {name: [kind] for name in self.input_columns(())})
        stats: dict[str, Any] = {}
        for name in self.columns:
            value: Any = None
            if self.strategy == "mean":
                moments = found[Moments, name]
                value = moments.mean if moments.count else None
            else:
                counts = found[ValueCounts, name].counts
                most = max(counts.values(), default=0)
                value = min((v for v, count in counts.items() if count == most), default=None)
            if value is None:
                raise UnsuitableData(
                    f"SimpleImputer: column {name!r} has no values to learn from; use"
                    " strategy='constant' with a fill_value"
                )
            if self.strategy == "mean" and not math.isfinite(value):
                raise UnsuitableData(
                    f"SimpleImputer: column {name!r} has infinite values, or values too large to"
                    " add up, and no mean; replace them first"
                )
            stats[f"{self.strategy}({name})"] = value
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        return {name: self._filled(name, column) for name, column in columns.items()}

    def _filled(self, name: str, column: Column) -> Column:
        value = self.fill_value
        if self.strategy != "constant":
            value = self.stats_[f"{self.strategy}({name})"]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if self.strategy == "mean" and not pa.types.is_floating(column.type):
            found = pa.array(numbers(self, name, column), from_pandas=True)
            column = pa.chunked_array([found])
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pa.types.is_integer(column.type) and isinstance(value, float):
            # Arrow would cut off what is behind the point.
            column = column.cast(pa.float64(), safe=False)
        if pa.types.is_null(column.type):
            column = column.cast(pa.scalar(value).type)
        try:
            filler = pa.scalar(value, column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError):
            raise UnsuitableData(
                f"SimpleImputer: fill_value={value!r} does not fit column {name!r} of the type"
                f" {column.type}"
            ) from None
        return column.fill_null(filler)
