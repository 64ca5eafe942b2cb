"""Columns that functions gave back, in the types that they had before.

Python and numpy have fewer types than Arrow: a row's ``float`` may come from 32 or 64 bits, a
text from a category, a ``Decimal`` from any precision. So what a column of a function's result
looks like is compared with the column of the same name that the function was given. If it is of
the same kind (whole numbers, floats, text, bytes, times ...) and all values fit exactly, it has
the same type again. What numpy or pandas say of a type themselves, as of an array of ``int32``,
holds.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.kinds import BYTES, TEXTS, holds, is_any_list, is_list_view, is_one, is_text
from air.data.blocks.list_views import as_lists, as_views, list_type
from air.data.blocks.refusals import NO_COLUMN

_Column = TypeVar("_Column", pa.Array, pa.ChunkedArray)

_FAMILIES = (
    (pa.types.is_integer,),
    (pa.types.is_floating,),
    TEXTS,
    BYTES,
    (pa.types.is_decimal,),
    (pa.types.is_date,),
    (pa.types.is_time,),
    (pa.types.is_duration,),
)


def type_in(schema: pa.Schema | None, name: str) -> pa.DataType | None:
    """The type of the column *name*, if there is one."""
    index = -1 if schema is None else schema.get_field_index(name)
    return None if schema is None or index < 0 else schema.field(index).type


def restored(column: _Column, kind: pa.DataType) -> _Column:
    """*column* as *kind* if that is of the same family and has all its values; or as it is.

    A column without any value stays one of Arrow's type ``null``, which goes with all others: what
    a function would have given for values is not known.
    """
    if column.type == kind or not _is_alike(column.type, kind):
        return column
    if _has_no_categories(column.type):
        chunked = isinstance(column, pa.ChunkedArray)
        nulls = pa.nulls(len(column), kind)
        return pa.chunked_array([nulls]) if chunked else nulls
    try:
        made = cast(column, kind)
    except NO_COLUMN:
        return column
    return made if _is_exact(column, made) else column


def cast(column: Any, kind: pa.DataType) -> Any:
    """*column* as *kind*, which is alike, also where Arrow has no cast."""
    made = column.type
    if made == kind:
        return column
    if isinstance(column, pa.ChunkedArray) and not _is_plain(made, kind):
        return pa.chunked_array([cast(chunk, kind) for chunk in column.chunks], kind)
    if pa.types.is_run_end_encoded(kind):
        plain = cast(column, kind.value_type)
        return pc.run_end_encode(plain, run_end_type=kind.run_end_type)
    if _is_extension(kind):
        if pa.types.is_boolean(made):
            return column.cast(kind)  # which has numbers for them
        return pa.ExtensionArray.from_storage(kind, cast(_storage(column), kind.storage_type))
    if isinstance(made, pa.FixedShapeTensorType):
        return _as_fixed_lists(column, kind)
    if is_list_view(made) and not is_list_view(kind):
        return cast(as_lists(column), kind)
    if is_list_view(kind):
        return as_views(cast(column, list_type(kind)), kind)
    if pa.types.is_dictionary(kind) and not (pa.types.is_dictionary(made) or is_text(made)):
        return cast(column, kind.value_type).dictionary_encode().cast(kind)
    return column.cast(_target(made, kind))


def _is_plain(made: pa.DataType, kind: pa.DataType) -> bool:
    """Whether Arrow has the cast for columns of several chunks."""
    if any(check(kind) for check in (pa.types.is_run_end_encoded, _is_extension, is_list_view)):
        return False
    is_tensor = isinstance(made, pa.FixedShapeTensorType)
    return not (is_tensor or is_list_view(made) or pa.types.is_dictionary(kind))


def _as_fixed_lists(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A tensor column as the lists (of lists ...) of fixed lengths that it has the shape of."""
    missing = column.is_null() if column.null_count else None
    flat = column.storage.values
    first, rows = column.storage.offset, len(column)
    shape = column.type.shape
    size = math.prod(shape)
    values = cast(flat.slice(first * size, rows * size), _leaf(kind))
    for depth in range(len(shape) - 1, -1, -1):
        mask = missing if depth == 0 else None
        values = pa.FixedSizeListArray.from_arrays(values, type=_inner(kind, depth), mask=mask)
    return values


def _inner(kind: pa.DataType, depth: int) -> pa.DataType:
    for _ in range(depth):
        kind = kind.value_type
    return kind


def _leaf(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return kind


def _shape(kind: pa.DataType) -> list[int]:
    """The lengths of lists of fixed lengths in each other."""
    shape = []
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    return shape


def _storage(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _is_extension(kind: pa.DataType) -> bool:
    """Whether values are kept as those of another type."""
    return isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType)


def hides(kind: pa.DataType | None) -> bool:
    """Whether arrays of numbers and flags, which tell their type, may be of this one as well."""
    if kind is None:
        return False
    checks = (pa.types.is_dictionary, pa.types.is_run_end_encoded, pa.types.is_fixed_size_list)
    return _is_extension(kind) or any(check(kind) for check in checks)


def from_pairs(values: Any, kind: pa.DataType | None) -> pa.Array | None:
    """The column for values of a type with maps, which functions see as lists of pairs.

    ``None`` if *kind* is no such type, or not that of *values*.
    """
    if kind is None or not holds(kind, pa.types.is_map):
        return None
    try:
        return pa.array(list(values), kind)
    except NO_COLUMN:
        return None


def _is_alike(made: pa.DataType, kind: pa.DataType) -> bool:
    """Whether functions see values of both types as the same things."""
    if made == kind:
        return True
    if pa.types.is_run_end_encoded(kind):
        return _is_alike(made, kind.value_type)
    if _is_extension(kind):
        if isinstance(kind, pa.Bool8Type) and pa.types.is_boolean(made):
            return True
        return _is_alike(made.storage_type if _is_extension(made) else made, kind.storage_type)
    if isinstance(made, pa.FixedShapeTensorType):
        return list(made.shape) == _shape(kind) and _is_alike(made.value_type, _leaf(kind))
    if pa.types.is_dictionary(kind):
        values = made.value_type if pa.types.is_dictionary(made) else made
        return _has_no_categories(made) or _is_alike(values, kind.value_type)
    if pa.types.is_map(kind):
        return pa.types.is_map(made) and all(
            _is_alike(*kinds)
            for kinds in ((made.key_type, kind.key_type), (made.item_type, kind.item_type))
        )
    if is_any_list(kind):
        if is_list_view(kind) and is_any_list(made) and pa.types.is_null(made.value_type):
            return True  # other lists go together with lists of nothing
        return is_any_list(made) and _is_alike(made.value_type, kind.value_type)
    if pa.types.is_struct(kind):
        if not pa.types.is_struct(made) or _names(made) != _names(kind):
            return False
        return all(_is_alike(one.type, other.type) for one, other in zip(made, kind, strict=True))
    if pa.types.is_timestamp(kind):
        return bool(pa.types.is_timestamp(made) and made.tz == kind.tz)
    if pa.types.is_date64(kind) and pa.types.is_timestamp(made):
        return made.tz is None  # numpy
    return any(is_one(made, family) and is_one(kind, family) for family in _FAMILIES)


def _has_no_categories(kind: pa.DataType) -> bool:
    """Whether these are categories, of which pandas did not know of what type they would be."""
    return bool(pa.types.is_dictionary(kind) and pa.types.is_null(kind.value_type))


def _target(made: pa.DataType, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(made) and pa.types.is_dictionary(kind):
        # Whether categories have an order is what the function says last.
        return pa.dictionary(kind.index_type, kind.value_type, made.ordered)
    return kind


def _is_exact(column: Any, made: Any) -> bool:
    """Whether no float lost digits, which casts let pass; of all else they see it themselves."""
    if isinstance(column, pa.ChunkedArray):
        chunks = zip(column.chunks, made.chunks, strict=True)
        return all(_is_exact(one, other) for one, other in chunks)
    kind = column.type
    if is_any_list(kind) and is_any_list(made.type):
        return _is_exact(column.flatten(), made.flatten())
    if pa.types.is_struct(kind) and pa.types.is_struct(made.type):
        return all(map(_is_exact, column.flatten(), made.flatten()))
    if pa.types.is_floating(kind) and pa.types.is_floating(made.type) and made.type != kind:
        one = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False)
        other = pc.fill_null(made, 0.0).to_numpy(zero_copy_only=False)
        return bool(np.array_equal(one, other, equal_nan=True))
    return True


def _names(kind: pa.StructType) -> list[str]:
    return [part.name for part in kind]
