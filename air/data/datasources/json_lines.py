"""Lines of JSON, parsed by Arrow some at a time, with the columns and types that all have."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import json

from air.data.datasources.json_types import as_schema, check_whole_numbers, with_values

SPACE = b"\xef\xbb\xbf \t\r\n"


def lines_of(file: Any, size: int) -> Iterator[bytes]:
    """The content of *file* in pieces of whole lines, each of about *size* bytes or one line."""
    rest = file.read(size)
    while more := file.read(size):
        end = rest.rfind(b"\n") + 1
        if end:
            yield rest[:end]
        rest = rest[end:] + more
    if rest:
        yield rest


def parsed(content: bytes, schema: pa.Schema | None = None) -> pa.Table | None:
    """The rows of some lines; ``None`` if they are empty.

    Args:
        schema: all columns and their types; inferred if ``None``.

    Raises:
        pa.ArrowInvalid: it is no JSON, or rows do not go together.
        TooLargeNumbers: there are whole numbers beyond 64 bits.
    """
    content = content.lstrip(SPACE)
    if not content:
        return None
    options = json.ReadOptions(use_threads=False, block_size=len(content) + 1)
    if schema is None:
        table = json.read_json(io.BytesIO(content), options)
        check_whole_numbers(content, table)
        return table
    told = pa.schema([(column.name, with_values(column.type)) for column in schema])
    known = json.ParseOptions(explicit_schema=told)
    return as_schema(schema, json.read_json(io.BytesIO(content), options, known))
