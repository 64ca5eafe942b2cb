"""Categories and their positions: what the encoders have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.refusals import NO_COLUMN
from air.data.counts import ElementCounts, ValueCounts, hashable
from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import Column
from air.errors import InvalidOption
from air.executor.validation import check_number, nearest

Categories = dict[Any, int]
"""The position of each category, in ascending order of the categories."""


def complete(name: str, column: str, found: ValueCounts | ElementCounts) -> dict[Any, int]:
    """How often each category occurs; raises :class:`UnsuitableData` if values are missing."""
    if found.missing:
        raise UnsuitableData(
            f"{name}: column {column!r} has {found.missing} missing values, which are in no"
            f" category; fill them first with SimpleImputer([{column!r}], ...)"
        )
    return found.counts


def ascending(column: str, values: Any) -> list[Any]:
    """The values in ascending order; raises :class:`UnsuitableData` if they have none."""
    try:
        return sorted(values)
    except TypeError as error:
        raise UnsuitableData(
            f"column {column!r} has values that cannot be ordered: {error}"
        ) from None


def codes(column: Column, categories: Categories) -> Column:
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
        except NO_COLUMN:
            continue  # no value of this type is equal to it
        if scalar.as_py() == value:
            known.append(scalar)
            positions.append(position)
    return pa.array(known, kind), positions


def kept(column: str, counts: Mapping[Any, int], limit: int | None) -> Categories:
    """The positions of the categories, of the *limit* most frequent ones if there is one.

    Of equally frequent ones the smallest are kept.
    """
    values = ascending(column, counts)
    if limit is not None:
        values = sorted(values, key=lambda value: -counts[value])[:limit]
        values = ascending(column, values)
    return {value: position for position, value in enumerate(values)}


def check_limits(who: str, given: Any, names: Sequence[str]) -> dict[str, int]:
    """*max_categories* of a preprocessor of the columns *names*.

    Raises:
        InvalidOption: it is no dictionary of whole numbers by column.
    """
    limits = {} if given is None else given
    if not isinstance(limits, Mapping):
        raise InvalidOption(
            f'{who}: max_categories must be a dict such as {{"column": 10}}, got {limits!r:.80}'
        )
    for name, limit in limits.items():
        if name not in names:
            raise InvalidOption(
                f"{who}: max_categories names {name!r}, which is not among its"
                f" columns.{nearest(name, names)}"
            )
        check_number(limit, f"{who}: max_categories[{name!r}]", minimum=1, integer=True)
    return dict(limits)


def encode_elements(lists: pa.Array, categories: Categories) -> pa.Array:
    """The position of each element of each list; null for those that are no category."""
    values = pa.chunked_array([lists.flatten()])
    positions = codes(values, categories).combine_chunks()
    sizes = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), positions, mask=lists.is_null())
