"""Preprocessors that say which categories there are, of values and of lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.infer import column_from_values
from air.data.blocks.kinds import is_list
from air.data.counts import ElementCounts, ValueCounts
from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.preprocessors.codes import (
    Categories,
    ascending,
    codes,
)
from air.data.preprocessors.columns import Column, ColumnPreprocessor, check_columns
from air.data.preprocessors.common import CommonCategories
from air.errors import InvalidOption
from air.executor.validation import nearest


class MultiHotEncoder(CommonCategories):
    """Replace each list of categories by a vector that is 1 at the place of each that is in it.

    The same numbers as scikit-learn's ``MultiLabelBinarizer``: places are the categories seen in
    :meth:`fit` in ascending order, how often one is in a list does not count. A value that is no
    list counts as a list of one; categories that were not seen, or were left out, and missing
    ones are nowhere.

    Args:
        columns: names of columns with lists.
        max_categories: for some of the columns, how many categories to keep: the most frequent
            ones, of equally frequent ones the smallest.

    Attributes:
        stats_: ``{"unique_values(a)": {category: place, ...}}`` after :meth:`fit`.
    """

    _counts = ElementCounts

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        return {name: _places(column, self._categories(name)) for name, column in columns.items()}


class Categorizer(ColumnPreprocessor):
    """Give columns a categorical type: a ``Categorical`` in pandas, a dictionary in Arrow.

    The same answers as ``astype(pandas.CategoricalDtype(...))``: the categories of a column are
    the values seen in :meth:`fit` in ascending order, or those of its type in *dtypes*; values
    that are none of them become missing, missing ones stay missing.

    Args:
        columns: names of columns with categories.
        dtypes: for some of the columns, a ``pandas.CategoricalDtype``; one without categories
            says only whether they have an order.

    Attributes:
        stats_: ``{"unique_values(a)": {category: position, ...}}`` after :meth:`fit`.
    """

    def __init__(self, columns: list[str], dtypes: Mapping[str, Any] | None = None) -> None:
        self.columns = columns
        self.dtypes = dtypes
        self._check_types(check_columns(self, columns))

    def _check_types(self, names: list[str]) -> dict[str, Any]:
        given = {} if self.dtypes is None else self.dtypes
        if not isinstance(given, Mapping):
            raise InvalidOption(f"Categorizer: dtypes must be a dict by column, got {given!r:.80}")
        for name, dtype in given.items():
            if name not in names:
                raise InvalidOption(
                    f"Categorizer: dtypes names {name!r}, which is not among its"
                    f" columns.{nearest(name, names)}"
                )
            if not (hasattr(dtype, "categories") and hasattr(dtype, "ordered")):
                raise InvalidOption(
                    f"Categorizer: dtypes[{name!r}] must be a pandas.CategoricalDtype, got"
                    f" {dtype!r:.80}"
                )
        return dict(given)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        names = self.input_columns(())
        given = self._check_types(names)
        known = {
            name: list(dtype.categories)
            for name, dtype in given.items()
            if dtype.categories is not None
        }
        found = self._summarize(ds, {name: [ValueCounts] for name in names})
        stats: dict[str, Categories] = {}
        for name in names:
            values = known.get(name)
            if values is None:
                values = ascending(name, found[ValueCounts, name].counts)
                if any(isinstance(value, tuple) for value in values):
                    raise UnsuitableData(
                        f"Categorizer: column {name!r} holds lists, which are no categories; for"
                        " the values inside them use MultiHotEncoder"
                    )
            stats[f"unique_values({name})"] = {value: i for i, value in enumerate(values)}
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made = {}
        for name, column in columns.items():
            categories = self.stats_[f"unique_values({name})"]
            values = column_from_values(name, list(categories))
            positions = codes(column, categories).cast(pa.int32()).combine_chunks()
            ordered = bool(getattr((self.dtypes or {}).get(name), "ordered", False))
            made[name] = pa.DictionaryArray.from_arrays(positions, values, ordered=ordered)
        return made


def _places(column: Column, categories: Categories) -> np.ndarray:
    """A row for each value, 1 at the places of what is in it."""
    rows = np.arange(len(column))
    if is_list(column.type):
        sizes = pc.list_value_length(column).fill_null(0).to_numpy()
        rows = np.repeat(rows, sizes)
        elements = pc.list_flatten(column)
    else:
        elements = column
    places = codes(elements, categories).fill_null(-1).to_numpy()
    made = np.zeros((len(column), len(categories)), np.int64)
    made[rows[places >= 0], places[places >= 0]] = 1
    return made
