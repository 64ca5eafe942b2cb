"""One schema for tables whose schemas differ, and how each of them is brought to it.

Columns come in the order in which they first appear. One that a table lacks is null there. Of
different number types the wider one is taken, of texts and times likewise; a dictionary next to
plain values becomes plain values; arrays of one shape take the wider type of their numbers, and
arrays of different shapes become lists. Everything else does not go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from air.data.blocks import tensor
from air.data.blocks.refusals import NO_CAST
from air.data.errors import UnsupportedValue


class ValuesDoNotFit(UnsupportedValue):
    """Values of a column have no place in the type that it has elsewhere.

    Attributes:
        column: its name.
        kind: the type that it has.
        common: the type that it would have to be brought to.
        why: which value, as Arrow says it.
    """

    def __init__(self, column: str, kind: pa.DataType, common: pa.DataType, why: str) -> None:
        super().__init__(
            f"column {column!r} has the type {kind} in some blocks and becomes {common} with the"
            f" others, but not all its values fit: {why}"
        )
        self.column, self.kind, self.common, self.why = column, kind, common, why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.column, self.kind, self.common, self.why)


def unify(schemas: Sequence[pa.Schema], sources: Sequence[str] = ()) -> pa.Schema:
    """The schema that tables with any of *schemas* can be brought to; see :func:`conform`.

    Args:
        schemas: at least one.
        sources: where the tables of each come from, for the message; none if nobody knows.

    Raises:
        UnsupportedValue: a column has types that do not go together; names it, the types and
            the first source of each.
    """
    first = schemas[0]
    if all(schema.equals(first) for schema in schemas):
        return first
    found: dict[str, dict[pa.DataType, str]] = {}
    for schema, source in zip(schemas, sources or [""] * len(schemas), strict=True):
        for field in schema:
            found.setdefault(field.name, {}).setdefault(field.type, source)
    return pa.schema([pa.field(name, _one_type(name, types)) for name, types in found.items()])


def empty_table(schema: pa.Schema) -> pa.Table:
    """No rows with that schema; Arrow's own ``empty_table`` refuses tensors with a permutation."""
    return pa.table([pa.nulls(0, column.type) for column in schema], schema=schema)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """*table* with the columns and types of *schema*, which :func:`unify` gave for it.

    Raises:
        ValuesDoNotFit: a value does not fit the common type, as 2**53 + 1 does not fit a
            column of floats; names the column.
    """
    if table.schema.equals(schema):
        return table
    if not schema.names:
        return table.select([])
    present = set(table.column_names)
    columns = []
    for field in schema:
        if field.name not in present:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        try:
            columns.append(_as_type(column, field.type))
        except NO_CAST as error:
            why = str(error).strip()
            raise ValuesDoNotFit(field.name, column.type, field.type, why) from None
    return pa.table(columns, schema=schema)


def concat_tables(tables: Sequence[pa.Table], sources: Sequence[str] = ()) -> pa.Table:
    """All rows of *tables* in order, under one schema; raises as :func:`unify` does."""
    schema = unify([table.schema for table in tables], sources)
    if not schema.names:
        return without_columns(sum(table.num_rows for table in tables))
    return pa.concat_tables([conform(table, schema) for table in tables])


def without_columns(rows: int) -> pa.Table:
    """A table of *rows* rows that have no columns, which Arrow forgets the number of easily."""
    return pa.table({"": pa.nulls(rows)}).select([])


def _one_type(name: str, found: dict[pa.DataType, str]) -> pa.DataType:
    """The common type of a column's types, which are given with the first source of each."""
    types = [kind for kind in found if not pa.types.is_null(kind)]
    merged = types[0] if types else pa.null()
    for kind in types[1:]:
        both = _merged(merged, kind)
        if both is None:
            if any(found.values()):
                types_are = " and ".join(f"{kind} in {found[kind]}" for kind in types)
            else:
                types_are = f"{', '.join(map(str, types))} in different blocks"
            raise UnsupportedValue(
                f"column {name!r} has the types {types_are}, which do not go together: make it one"
                " type"
            )
        merged = both
    return merged


def _merged(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type for values of both; ``None`` if there is none."""
    if one == other:
        return one
    if pa.types.is_dictionary(one) != pa.types.is_dictionary(other):
        return _merged(*(k.value_type if pa.types.is_dictionary(k) else k for k in (one, other)))
    if isinstance(one, pa.FixedShapeTensorType) or isinstance(other, pa.FixedShapeTensorType):
        return _merged_tensors(one, other)
    kinds = [one, other]
    if any(pa.types.is_decimal(kind) for kind in kinds):
        kinds = [_decimal_for(kind) for kind in kinds]
    try:
        fields = [pa.schema([pa.field("", kind)]) for kind in kinds]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except NO_CAST:
        return None


def _decimal_for(kind: pa.DataType) -> pa.DataType:
    """The decimal that holds every whole number of a type; other types as they are.

    Arrow forgets the digits behind the point when it puts whole numbers and decimals together.
    """
    if not pa.types.is_integer(kind):
        return kind
    unsigned = pa.types.is_unsigned_integer(kind)
    return pa.decimal128(len(str(2 ** (kind.bit_width - (not unsigned)) - 1)), 0)


def _merged_tensors(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    kinds = (one, other)
    same_shape = (
        all(isinstance(k, pa.FixedShapeTensorType) and k.permutation is None for k in kinds)
        and one.shape == other.shape
    )
    if same_shape:
        values = _merged(one.value_type, other.value_type)
        return None if values is None else pa.fixed_shape_tensor(values, one.shape)
    return _merged(*(_lists_of(kind) if tensor.is_tensor(kind) else kind for kind in kinds))


def _lists_of(kind: pa.DataType) -> pa.DataType:
    """The type of a tensor column's elements as lists (of lists ...)."""
    depth = 0
    if isinstance(kind, pa.FixedShapeTensorType):
        kind, depth = kind.value_type, len(kind.shape)
    while pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def _as_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if isinstance(column.type, pa.FixedShapeTensorType):
        return _tensors_as(column, kind)
    if pa.types.is_dictionary(column.type) or not pa.types.is_nested(kind):
        return column.cast(kind)
    # Arrow merges lists and structs where it puts tables together, and nowhere else.
    model = empty_table(pa.schema([pa.field("", kind)]))
    both = pa.concat_tables([model, pa.table({"": column})], promote_options="permissive")
    return pa.chunked_array([chunk for chunk in both[""].chunks if len(chunk)], kind)


def _tensors_as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if not isinstance(kind, pa.FixedShapeTensorType):
        made: list[Any] = [None if e is None else e.tolist() for e in tensor.elements(column)]
        return pa.chunked_array([pa.array(made, kind)])
    return pa.chunked_array(
        [
            pa.ExtensionArray.from_storage(kind, chunk.storage.cast(kind.storage_type))
            for chunk in column.chunks
        ],
        kind,
    )
