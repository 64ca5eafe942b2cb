"""Which types the columns of several blocks have in pandas, all of them together.

What a column becomes may depend on its values: whole numbers beside missing ones are floats, or
nullable integers where floats would round them. A block by itself knows only some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from air.data.blocks.convert import exceeds_floats
from air.data.blocks.frames import table_to_pandas


@dataclass(frozen=True, slots=True)
class Facts:
    """What the type of a column in pandas depends on.

    Attributes:
        is_missing: some values are.
        exceeds_floats: some are whole numbers that are no floats exactly.
        categories: of a dictionary, in order.
    """

    is_missing: bool = False
    exceeds_floats: bool = False
    categories: tuple[Any, ...] = ()

    def and_(self, other: Facts) -> Facts:
        """Of two blocks together, of which *other* comes later."""
        return Facts(
            self.is_missing or other.is_missing,
            self.exceeds_floats or other.exceeds_floats,
            tuple(dict.fromkeys((*self.categories, *other.categories))),
        )


def facts_of(table: pa.Table) -> dict[str, Facts]:
    """The facts of the columns whose types depend on their values."""
    return {name: _facts(table[name]) for name in table.column_names if _depends(table[name].type)}


def dtypes_of(schema: pa.Schema, blocks: Sequence[dict[str, Facts]]) -> dict[str, Any]:
    """The types in pandas of columns whose blocks, in order, have these facts."""
    dtypes = {}
    for field in schema:
        facts = Facts()
        for block in blocks:
            facts = facts.and_(block.get(field.name, Facts()))
        sample = pa.table({field.name: _sample(field.type, facts)})
        dtypes[field.name] = table_to_pandas(sample)[field.name].dtype
    return dtypes


def _depends(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_dictionary(kind)
    )


def _facts(column: pa.ChunkedArray) -> Facts:
    if pa.types.is_dictionary(column.type):
        chunks = column.unify_dictionaries().chunks
        return Facts(categories=tuple(chunks[0].dictionary.to_pylist()) if chunks else ())
    return Facts(column.null_count > 0, exceeds_floats(column))


def _sample(kind: pa.DataType, facts: Facts) -> pa.Array:
    """Values that become what those with these facts become."""
    if pa.types.is_dictionary(kind):
        categories = pa.array(facts.categories, kind.value_type)
        return pa.DictionaryArray.from_arrays(
            pa.array([], kind.index_type), categories, ordered=kind.ordered
        )
    values: list[Any] = [None] if facts.is_missing else []
    if facts.exceeds_floats:
        values.append(2**53 + 1)
    return pa.array(values, kind)
