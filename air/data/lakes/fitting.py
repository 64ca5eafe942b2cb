"""Rows brought to the types that a kind of table has, and to those of one that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from air.data.blocks.kinds import BYTES, TEXTS, is_list_in_order, is_one
from air.data.blocks.refusals import NO_KERNEL
from air.data.blocks.schemas import ValuesDoNotFit, conform, unify
from air.data.errors import UnsupportedValue, WriteError
from air.data.formats import cannot_hold
from air.executor.validation import listing


@dataclass(frozen=True, slots=True)
class TableTypes:
    """The types that a kind of table has.

    Attributes:
        what: the method that writes, for messages.
        kind: what such a table is called.
        same: checks of types that stay what they are.
        wider: what others become.
        remedy: what to do about a column of another type than the table's, besides a cast.
    """

    what: str
    kind: str
    same: tuple[Callable[[pa.DataType], bool], ...]
    wider: Mapping[pa.DataType, pa.DataType]
    remedy: str = ""

    def adapted(self, table: pa.Table) -> pa.Table:
        """*table* with types that there are; columns of nulls alone are left out.

        Raises:
            WriteError: it has no type for a column, or none that holds a value; names the column.
        """
        columns: dict[str, pa.ChunkedArray] = {}
        for column in table.schema:
            if pa.types.is_null(column.type):
                continue
            values = table[column.name]
            kind = self._type(column, column.type)
            if kind != column.type:
                try:
                    values = _cast(values, kind)
                except NO_KERNEL as error:
                    raise WriteError(
                        f"{self.what}: column {column.name!r} is {column.type}, and not all its"
                        f" values fit {kind}, which is what {self.kind} has: {error}"
                    ) from None
            columns[column.name] = values
        if not columns:
            return pa.table({"": pa.nulls(table.num_rows)}).select([])
        return pa.table(columns)

    def _type(self, column: pa.Field, kind: pa.DataType) -> pa.DataType:
        if any(check(kind) for check in self.same):
            return kind
        if is_one(kind, TEXTS):
            return pa.string()
        if is_one(kind, BYTES):
            return pa.binary()
        if kind in self.wider:
            return self.wider[kind]
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us", None if kind.tz is None else "UTC")
        if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
            return pa.decimal128(kind.precision, kind.scale)
        if pa.types.is_dictionary(kind):
            return self._type(column, kind.value_type)
        if isinstance(kind, pa.ExtensionType):
            raise self._no_type(column)
        if is_list_in_order(kind):
            return pa.list_(pa.field("element", self._type(column, kind.value_type)))
        if pa.types.is_map(kind):
            return pa.map_(self._type(column, kind.key_type), self._type(column, kind.item_type))
        if pa.types.is_struct(kind) and kind.num_fields:
            return pa.struct([pa.field(part.name, self._type(column, part.type)) for part in kind])
        raise self._no_type(column)

    def _no_type(self, column: pa.Field) -> WriteError:
        return cannot_hold(
            self.what, column, self.kind, "turn it into another one, or use write_parquet"
        )

    def fitted(self, table: pa.Table, target: pa.Schema) -> pa.Table:
        """Rows with the columns and types of a table that is there, and others behind them.

        Numbers become wider ones as in ``air.data.Dataset.union``, and whole ones narrower ones
        that hold all of them; a column that is missing has nulls. Nothing else changes.

        Args:
            table: as :meth:`adapted` gives it.

        Raises:
            WriteError: a column has a type there that does not hold these values; names it.
        """
        for wanted in target:
            position = table.schema.get_field_index(wanted.name)
            kind = wanted.type if position < 0 else table.field(position).type
            if not _goes_into(kind, wanted.type):
                raise WriteError(
                    f"{self.what}: column {wanted.name!r} is {kind}, and {wanted.type} in the"
                    f" table: cast it{self.remedy}"
                )
        more = [column for column in table.schema if column.name not in target.names]
        try:
            return conform(table, pa.schema([*target, *more]))
        except ValuesDoNotFit as error:
            raise WriteError(
                f"{self.what}: column {error.column!r} is {error.kind}, and not all its values fit"
                f" {error.common}, which it is in the table: {error.why}"
            ) from None

    def check_not_null(self, table: pa.Table, required: Sequence[str]) -> None:
        """Complain about nulls in columns that must have none.

        Raises:
            WriteError: there is one; names the column.
        """
        for name in required:
            if name not in table.column_names or table[name].null_count:
                raise WriteError(
                    f"{self.what}: column {name!r} must have a value in each row of the table, and"
                    f" has none in some; columns that must have one are: {listing(required)}"
                )


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(kind)


def _goes_into(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if kind == wanted or (pa.types.is_integer(kind) and pa.types.is_integer(wanted)):
        return True
    try:
        both = unify([pa.schema([pa.field("", kind)]), pa.schema([pa.field("", wanted)])])
    except UnsupportedValue:
        return False
    return bool(both.field(0).type == wanted)
