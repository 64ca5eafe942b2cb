"""JSON files of lines, parsed some lines at a time, with the columns and types that all have."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import json

from air.data.blocks.schemas import unify
from air.data.datasources.json_types import as_schema, with_values

_SPACE = b"\xef\xbb\xbf \t\r\n"


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
    """
    content = content.lstrip(_SPACE)
    if not content:
        return None
    options = json.ReadOptions(use_threads=False, block_size=len(content) + 1)
    if schema is None:
        return json.read_json(io.BytesIO(content), options)
    told = pa.schema([(column.name, with_values(column.type)) for column in schema])
    known = json.ParseOptions(explicit_schema=told)
    return as_schema(schema, json.read_json(io.BytesIO(content), options, known))


def schema_of(pieces: Iterator[bytes]) -> pa.Schema | None:
    """The schema that all rows have together; ``None`` if they cannot be parsed in these pieces.

    Objects may be written over several lines, or be items of an array.
    """
    found: list[pa.Schema] = []
    try:
        for content in pieces:
            if not found and content.lstrip(_SPACE).startswith(b"["):
                return None
            table = parsed(content)
            if table is not None and table.schema not in found:
                found.append(table.schema)
        return unify(found) if found else None
    except (pa.ArrowException, ValueError):
        return None
