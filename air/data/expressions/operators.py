"""Operators that work out expressions: no user code, and it is known which columns they need."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from air.data.blocks.choosing import kept
from air.data.errors import UnsupportedValue
from air.data.expressions.expr import Expression
from air.data.transforms import ColumnsTransform


@dataclass(frozen=True, eq=False)
class FilterExpression(ColumnsTransform):
    """The rows for which an expression is true."""

    condition: Expression
    keeps_rows = False

    @property
    def name(self) -> str:
        return f"filter({self.condition!r})"

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        return schema

    def apply(self, table: pa.Table) -> pa.Table:
        mask = self.condition.evaluate(table)
        if not pa.types.is_boolean(mask.type):
            raise UnsupportedValue(
                f"{self.name} needs true or false for each row, but {self.condition!r} is"
                f" {mask.type}: compare it with something"
            )
        if isinstance(mask, pa.Scalar):
            return table if mask.as_py() else table.slice(0, 0)
        return kept(table, mask)


@dataclass(frozen=True, eq=False)
class WithColumn(ColumnsTransform):
    """A column, new or in the place of the one of that name, from an expression."""

    column: str
    value: Expression

    @property
    def name(self) -> str:
        return f"with_column({self.column!r}, {self.value!r})"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        if columns is None or self.column in columns:
            return columns
        return [*columns, self.column]

    def apply(self, table: pa.Table) -> pa.Table:
        made = self.value.evaluate(table)
        if isinstance(made, pa.Scalar):
            made = pa.repeat(made, table.num_rows)
        if self.column in table.column_names:
            position = table.column_names.index(self.column)
            return table.set_column(position, self.column, made)
        return table.append_column(self.column, made)
