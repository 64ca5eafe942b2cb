"""Tables and schemas of many columns, pickled as Arrow's own stream.

pyarrow pickles a table column by column, of which each takes some ten microseconds at both ends.
Its stream takes a fiftieth of that, and one copy: so that is for tables whose columns are small.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_FEWEST_COLUMNS = 32
_COLUMN_BYTES = 16 << 10
"""Columns that are larger on average are not copied."""

_PLAIN = frozenset(
    {
        *(pa.bool_().id, pa.float16().id, pa.float32().id, pa.float64().id),
        *(pa.int8().id, pa.int16().id, pa.int32().id, pa.int64().id),
        *(pa.uint8().id, pa.uint16().id, pa.uint32().id, pa.uint64().id),
        *(pa.date32().id, pa.date64().id, pa.time32("s").id, pa.time64("us").id),
        *(pa.timestamp("us").id, pa.duration("us").id, pa.decimal128(1).id, pa.decimal256(1).id),
        *(pa.string().id, pa.large_string().id, pa.binary().id, pa.large_binary().id),
        *(pa.null().id, pa.binary(1).id),
    }
)
"""Types that are in a stream as they are. Others may have dictionaries, or classes of a program."""


def reduce_table(table: pa.Table) -> Any:
    """How to pickle a table; ``NotImplemented`` if that is as ever."""
    if not _has_many_plain(table.schema) or table.nbytes > table.num_columns * _COLUMN_BYTES:
        return NotImplemented
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return _table, (sink.getvalue(),)


def reduce_schema(schema: pa.Schema) -> Any:
    """The same of a schema."""
    if not _has_many_plain(schema):
        return NotImplemented
    return _schema, (schema.serialize().to_pybytes(),)


def _has_many_plain(schema: pa.Schema) -> bool:
    return len(schema) >= _FEWEST_COLUMNS and {kind.id for kind in schema.types} <= _PLAIN


def _table(stream: Any) -> pa.Table:
    return pa.ipc.open_stream(stream).read_all()


def _schema(data: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(data))
