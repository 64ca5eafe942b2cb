"""Preprocessors that turn categories into numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.infer import column_from_values
from air.data.blocks.kinds import is_list
from air.data.counts import ElementCounts, ValueCounts
from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.preprocessors.codes import (
    Categories,
    ascending,
    codes,
    complete,
    encode_elements,
)
from air.data.preprocessors.columns import (
    Column,
    ColumnPreprocessor,
    check_columns,
    check_free,
)
from air.data.preprocessors.common import CommonCategories
from air.errors import InvalidOption
from air.executor.validation import check_flag, listing


class OneHotEncoder(CommonCategories):
    """Replace each column by one for each category, ``column_category``, that holds 0 or 1.

    Categories are the values seen in :meth:`fit`, in ascending order (a list is one value).
    Values that were not seen, or were left out, and missing ones are 0 everywhere.

    Args:
        columns: names of columns with categories.
        max_categories: for some of the columns, how many categories to keep: the most frequent
            ones, of equally frequent ones the smallest.

    Attributes:
        stats_: ``{"unique_values(a)": {category: position, ...}}`` after :meth:`fit`.
    """

    _counts = ValueCounts

    def output_columns(self, available: Sequence[str]) -> list[str]:
        others = [name for name in available if name not in self.columns]
        made = [f"{name}_{value}" for name in self.columns for value in self._categories(name)]
        check_free(self, made, others)
        return [*others, *made]

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            positions = codes(column, self._categories(name)).fill_null(-1).to_numpy()
            for value, code in self._categories(name).items():
                made[f"{name}_{value}"] = (positions == code).astype(np.int64)
        return made


class OrdinalEncoder(ColumnPreprocessor):
    """Replace each value by the position of its category in ascending order.

    Values that were not seen in :meth:`fit` become missing, missing ones stay missing.

    Args:
        columns: names of columns with categories, or with lists of them.
        encode_lists: encode the elements of lists; otherwise a list is one category.

    Attributes:
        stats_: ``{"unique_values(a)": {category: position, ...}}`` after :meth:`fit`.
    """

    def __init__(self, columns: list[str], *, encode_lists: bool = True) -> None:
        self.columns = columns
        self.encode_lists = encode_lists
        check_columns(self, columns)
        check_flag(encode_lists, "OrdinalEncoder: encode_lists")

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _fit(self, ds: Dataset) -> None:
        names = self.input_columns(())
        kind: type[ElementCounts | ValueCounts]
        kind = ElementCounts if self.encode_lists else ValueCounts
        found = self._summarize(ds, {name: [kind] for name in names})
        stats: dict[str, Categories] = {}
        for name in names:
            counts = complete("OrdinalEncoder", name, found[kind, name])
            stats[f"unique_values({name})"] = {
                value: position for position, value in enumerate(ascending(name, counts))
            }
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            categories = self.stats_[f"unique_values({name})"]
            if self.encode_lists and is_list(column.type):
                parts = [encode_elements(chunk, categories) for chunk in column.chunks]
                made[name] = pa.chunked_array(parts, pa.list_(pa.int64()))
            else:
                made[name] = codes(column, categories)
        return made


class LabelEncoder(ColumnPreprocessor):
    """Replace labels by the position of each in ascending order: 0 to the number of classes - 1.

    Data without the column, such as rows to predict for, are left as they are.

    Args:
        label_column: the name of the column.

    Attributes:
        stats_: ``{"unique_values(label)": {label: position, ...}}`` after :meth:`fit`.
    """

    def __init__(self, label_column: str) -> None:
        self.label_column = label_column
        self._name()

    def _name(self) -> str:
        if not isinstance(self.label_column, str):
            raise InvalidOption(
                f"LabelEncoder: label_column must be a column's name, got {self.label_column!r:.80}"
            )
        return self.label_column

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return [name for name in available if name == self._name()]

    def _fit(self, ds: Dataset) -> None:
        name = self._name()
        found = self._summarize(ds, {name: [ValueCounts]})
        counts = complete("LabelEncoder", name, found[ValueCounts, name])
        labels = {label: position for position, label in enumerate(ascending(name, counts))}
        self.stats_ = {f"unique_values({name})": labels}

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The positions.

        Raises:
            UnsuitableData: a label was not seen in ``fit``, or is missing.
        """
        column = columns.get(self.label_column)
        if column is None:
            return {}
        positions = codes(column, self._labels)
        if positions.null_count:
            label = column.filter(positions.is_null())[0].as_py()
            raise UnsuitableData(
                f"LabelEncoder: column {self.label_column!r} holds {label!r}, which was not seen"
                f" when it was fitted; labels are: {listing(self._labels)}"
            )
        return {self.label_column: positions}

    def inverse_transform(self, ds: Dataset) -> Dataset:
        """A dataset with labels in place of positions.

        Raises:
            PreprocessorNotFittedException: ``fit`` has not been called.
            ColumnNotFound: the column is not in the data.
        """
        self._check_fitted()
        return _LabelDecoder(self.label_column, self._labels).transform(ds)

    def inverse_transform_batch(self, data: Any) -> Any:
        """A batch with labels in place of positions; see :meth:`transform_batch`."""
        self._check_fitted()
        return _LabelDecoder(self.label_column, self._labels).transform_batch(data)

    @property
    def _labels(self) -> Categories:
        return self.stats_[f"unique_values({self.label_column})"]


class _LabelDecoder(ColumnPreprocessor):
    """Positions back to labels."""

    _is_fittable = False

    def __init__(self, label_column: str, labels: Categories) -> None:
        self.label_column = label_column
        self.labels = labels

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return [self.label_column]

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        column = columns[self.label_column]
        labels = column_from_values(self.label_column, list(self.labels))
        try:
            positions = column.cast(pa.int64())
            return {self.label_column: labels.take(positions.combine_chunks())}
        except (pa.ArrowInvalid, pa.ArrowIndexError, pa.ArrowNotImplementedError) as error:
            raise UnsuitableData(
                f"LabelEncoder: column {self.label_column!r} must hold positions from 0 to"
                f" {len(labels) - 1}: {error}"
            ) from None
