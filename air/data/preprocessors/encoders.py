"""Preprocessors that turn categories into numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.dataset import Dataset
from air.data.errors import UnsuitableData
from air.data.infer import column_from_values
from air.data.preprocessors.columns import (
    Column,
    ColumnPreprocessor,
    check_columns,
    check_free,
)
from air.data.summaries import ElementCounts, ValueCounts, hashable
from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number, listing, nearest

Categories = dict[Any, int]
"""The position of each category, in ascending order of the categories."""


class OneHotEncoder(ColumnPreprocessor):
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

    def __init__(
        self, columns: list[str], *, max_categories: Mapping[str, int] | None = None
    ) -> None:
        self.columns = columns
        self.max_categories = max_categories
        self._check_limits(check_columns(self, columns))

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def output_columns(self, available: Sequence[str]) -> list[str]:
        kept = [name for name in available if name not in self.columns]
        made = [f"{name}_{value}" for name in self.columns for value in self._of(name)]
        check_free(self, made, kept)
        return [*kept, *made]

    def _check_limits(self, names: list[str]) -> dict[str, int]:
        limits = {} if self.max_categories is None else self.max_categories
        if not isinstance(limits, Mapping):
            raise InvalidOption(
                'OneHotEncoder: max_categories must be a dict such as {"column": 10}, got'
                f" {limits!r:.80}"
            )
        for name, limit in limits.items():
            if name not in names:
                raise InvalidOption(
                    f"OneHotEncoder: max_categories names {name!r}, which is not among its"
                    f" columns.{nearest(name, names)}"
                )
            check_number(limit, f"OneHotEncoder: max_categories[{name!r}]", minimum=1, integer=True)
        return dict(limits)

    def _fit(self, ds: Dataset) -> None:
        names = self.input_columns(())
        limits = self._check_limits(names)
        found = self._summarize(ds, {name: [ValueCounts] for name in names})
        stats: dict[str, Categories] = {}
        for name in names:
            counts = _complete("OneHotEncoder", name, found[ValueCounts, name])
            kept = _ascending(name, counts)
            if name in limits:
                kept = sorted(kept, key=lambda value: -counts[value])[: limits[name]]
                kept = _ascending(name, kept)
            stats[f"unique_values({name})"] = {value: i for i, value in enumerate(kept)}
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            codes = _codes(column, self._of(name)).fill_null(-1).to_numpy()
            for value, code in self._of(name).items():
                made[f"{name}_{value}"] = (codes == code).astype(np.int64)
        return made

    def _of(self, name: str) -> Categories:
        return self.stats_[f"unique_values({name})"]


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
            counts = _complete("OrdinalEncoder", name, found[kind, name])
            stats[f"unique_values({name})"] = {
                value: position for position, value in enumerate(_ascending(name, counts))
            }
        self.stats_ = stats

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            categories = self.stats_[f"unique_values({name})"]
            if self.encode_lists and _is_list(column.type):
                parts = [_encode_elements(chunk, categories) for chunk in column.chunks]
                made[name] = pa.chunked_array(parts, pa.list_(pa.int64()))
            else:
                made[name] = _codes(column, categories)
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
        counts = _complete("LabelEncoder", name, found[ValueCounts, name])
        labels = {label: position for position, label in enumerate(_ascending(name, counts))}
        self.stats_ = {f"unique_values({name})": labels}

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The positions.

        Raises:
            UnsuitableData: a label was not seen in ``fit``, or is missing.
        """
        column = columns.get(self.label_column)
        if column is None:
            return {}
        codes = _codes(column, self._labels)
        if codes.null_count:
            label = column.filter(codes.is_null())[0].as_py()
            raise UnsuitableData(
                f"LabelEncoder: column {self.label_column!r} holds {label!r}, which was not seen"
                f" when it was fitted; labels are: {listing(self._labels)}"
            )
        return {self.label_column: codes}

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


def _is_list(data_type: pa.DataType) -> bool:
    return pa.types.is_list(data_type) or pa.types.is_large_list(data_type)


def _complete(name: str, column: str, found: ValueCounts | ElementCounts) -> dict[Any, int]:
    if found.missing:
        raise UnsuitableData(
            f"{name}: column {column!r} has {found.missing} missing values, which are in no"
            f" category; fill them first with SimpleImputer([{column!r}], ...)"
        )
    return found.counts


def _ascending(column: str, values: Any) -> list[Any]:
    try:
        return sorted(values)
    except TypeError as error:
        raise UnsuitableData(
            f"column {column!r} has values that cannot be ordered: {error}"
        ) from None


def _codes(column: Column, categories: Categories) -> Column:
    """The position of each value; null where it is none of the categories."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        found = [categories.get(hashable(value)) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(found, pa.int64())])
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    known, positions = _categories_as(column.type, categories)
    if not positions or column.null_count == len(column):
        # Arrow looks up neither in nothing nor with nothing.
        return pa.chunked_array([pa.nulls(len(column), pa.int64())])
    if pa.types.is_floating(column.type):
        column = pc.add(column, pa.scalar(0.0, column.type))  # there are two zeros
    found = pc.index_in(column, value_set=known)
    return pc.take(pa.array(positions, pa.int64()), found)


def _categories_as(kind: pa.DataType, categories: Categories) -> tuple[pa.Array, list[int]]:
    """The categories that are equal to values of a type, as such, and their positions."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if is_text and set(map(type, categories)) == {str}:
        return pa.array(list(categories), kind), list(categories.values())
    known: list[Any] = []
    positions: list[int] = []
    for category, position in categories.items():
        is_flag = isinstance(category, bool)
        if is_flag != pa.types.is_boolean(kind):
            if not (is_flag or category in (0, 1)):
                continue
            value: Any = int(category) if is_flag else bool(category)
        else:
            value = category
        try:
            scalar = pa.scalar(value, kind)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            continue  # no value of this type is equal to it
        if scalar.as_py() == value:
            known.append(scalar)
            positions.append(position)
    return pa.array(known, kind), positions


def _encode_elements(lists: pa.Array, categories: Categories) -> pa.Array:
    values = pa.chunked_array([lists.flatten()])
    codes = _codes(values, categories).combine_chunks()
    sizes = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), codes, mask=lists.is_null())
