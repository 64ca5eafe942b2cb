"""What can be said of a dataset by looking at it: nothing is run, and no file is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from air.data.blocks.block import VALUE_COLUMN, Schema, accessor
from air.data.blocks.handle import BlockHandle
from air.data.plan import InputBlocks, Node, Read
from air.data.viewing.shown import counted, size_text
from air.errors import AirError
from air.executor.current import is_initialized

ROWS = 5
COLUMNS = 10
_SCHEMA_COLUMNS = 8
_CELL_WIDTH = 24
_FETCHED_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class FirstRows:
    """Some of the rows, as texts.

    Attributes:
        names: of the columns that are shown.
        cells: the values, row by row.
        more_rows, more_columns: how many there are beyond these.
    """

    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    more_rows: int
    more_columns: int

    def as_text(self) -> list[str]:
        """Lines with the columns below one another."""
        rows = [[_short(name) for name in self.names]]
        rows += [[_short(cell) for cell in row] for row in self.cells]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return [f"   {line}" for line in lines] + [f"   {line}" for line in self.rest()]

    def rest(self) -> list[str]:
        """What is not shown, in words; nothing if all is."""
        more = [
            counted(count, f"more {what}")
            for count, what in ((self.more_rows, "row"), (self.more_columns, "column"))
            if count
        ]
        return [f"... and {' and '.join(more)}"] if more else []


@dataclass(frozen=True, slots=True)
class Known:
    """What is known; ``None`` is what is not.

    Attributes:
        blocks, size_bytes: of rows that exist.
        rows: the first of them, if they are at hand.
    """

    num_rows: int | None
    schema: Schema | None
    blocks: int | None = None
    size_bytes: int | None = None
    rows: FirstRows | None = None

    def facts(self) -> list[str]:
        """As arguments in a ``repr``."""
        blocks = [] if self.blocks is None else [f"num_blocks={self.blocks}"]
        rows = "?" if self.num_rows is None else self.num_rows
        return [*blocks, f"num_rows={rows}", f"schema={_schema_text(self.schema)}"]

    def words(self) -> list[str]:
        """As parts of a heading."""
        found = ["rows not counted yet" if self.num_rows is None else counted(self.num_rows, "row")]
        if self.blocks is not None:
            found.append(counted(self.blocks, "block"))
        if self.size_bytes is not None:
            found.append(size_text(self.size_bytes))
        return found


def known_of(plan: Node, schema: Schema | None) -> Known:
    """What is known of the rows of *plan*, whose *schema* may have been found out already."""
    # What sources of files know, they may have to look up in these.
    sources = [node.source for node in plan.walk() if isinstance(node, Read)]
    if any(source.files_to_read() is not None for source in sources):
        return Known(None, schema)
    schema = schema or plan.schema()
    if not isinstance(plan, InputBlocks):
        return Known(plan.num_rows(), schema)
    size = sum(handle.size_bytes for handle in plan.handles)
    return Known(
        plan.num_rows(), schema, len(plan.handles), size, _first_rows(plan.handles, plan.num_rows())
    )


def _first_rows(handles: Sequence[BlockHandle], total: int) -> FirstRows | None:
    found: list[Any] = []
    names: list[str] = []
    with contextlib.suppress(AirError):  # blocks may be gone with the backend that had them
        for handle in handles:
            if len(found) >= ROWS:
                break
            if not handle.num_rows:
                continue
            if not handle.is_here and not (is_initialized() and handle.size_bytes < _FETCHED_BYTES):
                break
            block = accessor(handle.get()).slice(0, ROWS - len(found))
            names = list(block.column_names) if isinstance(block, pa.Table) else [VALUE_COLUMN]
            found += (
                accessor(block).rows()
                if isinstance(block, pa.Table)
                else [{VALUE_COLUMN: item} for item in block]
            )
    if not found or not names:
        return None
    shown = names[:COLUMNS]
    cells = tuple(tuple(_cell(row.get(name)) for name in shown) for row in found)
    return FirstRows(tuple(shown), cells, total - len(found), len(names) - len(shown))


def _cell(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:  # an object of the user's that cannot be shown
        text = f"<{type(value).__name__} whose text raises {type(error).__name__}>"
    return " ".join(text.split()) if "\n" in text else text


def _short(text: str) -> str:
    return text if len(text) <= _CELL_WIDTH else f"{text[: _CELL_WIDTH - 3]}..."


def _schema_text(schema: Schema | None) -> str:
    if schema is None:
        return "unknown"
    if isinstance(schema, type):
        return repr(schema)
    fields = [f"{field.name}: {field.type}" for field in schema][:_SCHEMA_COLUMNS]
    more = len(schema) - _SCHEMA_COLUMNS
    return "{" + ", ".join(fields) + (f", and {more} more" if more > 0 else "") + "}"


def columns_of(schema: Schema | None) -> Iterator[tuple[str, str]]:
    """Names and types, to be listed."""
    if isinstance(schema, pa.Schema):
        yield from ((field.name, str(field.type)) for field in schema)
    elif schema is not None:
        yield "(plain objects)", f"{schema.__module__}.{schema.__qualname__}"
