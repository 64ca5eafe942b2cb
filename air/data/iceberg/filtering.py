"""Conditions on rows as pyiceberg takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import acero

from air.data.iceberg.tables import pyiceberg
from air.errors import InvalidOption
from air.executor.validation import listing


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Keeps the rows for which an expression of Arrow is true."""

    expression: Any

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = acero.Declaration("table_source", acero.TableSourceNodeOptions(table))
        kept = acero.Declaration("filter", acero.FilterNodeOptions(self.expression))
        return acero.Declaration.from_sequence([rows, kept]).to_table(use_threads=False)


def row_filter_of(what: str, given: Any, schema: Any) -> tuple[Any, RowFilter | None, list[str]]:
    """A condition for pyiceberg, the same for rows, and the columns that it needs.

    Args:
        given: text, an expression of pyiceberg, or ``None``.
        schema: that of the table.

    Raises:
        InvalidOption: it cannot be parsed, or does not go with the columns.
    """
    expressions = pyiceberg(what, "expressions")
    if given is None:
        return expressions.AlwaysTrue(), None, []
    visitors = pyiceberg(what, "expressions.visitors")
    arrow = pyiceberg(what, "io.pyarrow")
    if not isinstance(given, (str, expressions.BooleanExpression)):
        raise InvalidOption(
            f"{what}: row_filter must be text such as 'a > 1' or an expression of pyiceberg, got"
            f" {given!r:.80}; conditions of air.data are for .filter(...) on the result"
        )
    try:
        parsed = given
        if isinstance(given, str):
            parsed = pyiceberg(what, "expressions.parser").parse(given)
    except Exception as error:  # those of its parser, which begin with all that it knows
        why = str(error).rpartition(", found ")[2]
        raise InvalidOption(
            f"{what}: row_filter={given!r:.200} cannot be parsed, at {why}"
        ) from None
    try:
        bound = visitors.bind(schema, parsed, case_sensitive=True)
        expression = arrow.expression_to_pyarrow(bound, schema)
        numbers = visitors.extract_field_ids(bound)
    except Exception as error:  # of the library, for columns and types
        raise InvalidOption(
            f"{what}: row_filter={str(given)!r:.200} does not go with the table: {error}; its"
            f" columns are {listing(schema.column_names, limit=40)}"
        ) from None
    names = [schema.find_column_name(number) for number in sorted(numbers)]
    needed = [
        field.name
        for field in schema.fields
        if any(name == field.name or name.startswith(f"{field.name}.") for name in names)
    ]
    return parsed, RowFilter(expression), needed
