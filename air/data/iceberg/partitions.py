"""Rows divided as a table is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from air.data.errors import WriteError
from air.data.iceberg.tables import pyiceberg
from air.data.writing.partitions import rows_by_values

_ADDED = "\0 {}"
"""How columns are called that are worked out; no other has such a name."""


def divided(what: str, table: pa.Table, spec: Any, schema: Any) -> Iterator[tuple[Any, pa.Table]]:
    """The rows of each part of the table, with its key, which is ``None`` if there is but one.

    Args:
        spec, schema: of the table.

    Raises:
        WriteError: a part is found in a way that is not supported.
    """
    if spec.is_unpartitioned():
        yield None, table
        return
    library = pyiceberg(what, "partitioning")
    for field in spec.fields:
        name = schema.find_column_name(field.source_id)
        if name not in table.column_names:
            raise WriteError(
                f"{what}: the table is divided by {name!r}, which is inside of a column, and that"
                " is not supported"
            )
        kind = schema.find_type(field.source_id)
        try:
            values = field.transform.pyarrow_transform(kind)(table[name])
        except Exception as error:  # some transforms need a library of their own
            raise WriteError(
                f"{what}: the table is divided by {field.transform} of {name!r}: {error}"
            ) from None
        table = table.append_column(_ADDED.format(field.field_id), values)
    names = [_ADDED.format(field.field_id) for field in spec.fields]
    for found, rows in rows_by_values(table, names):
        values = [
            library.PartitionFieldValue(field, found[name])
            for field, name in zip(spec.fields, names, strict=True)
        ]
        yield library.PartitionKey(values, spec, schema), rows
