"""Telling the errors of users' functions where they happened: rows, columns and types."""

from __future__ import annotations

import ast
import linecache
import os
import sysconfig
import types
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block
from air.data.udf.functions import TaskContext
from air.executor.validation import nearest

_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_PATHS = sysconfig.get_paths()
_NOT_THEIRS = (_OURS, *(_PATHS[name] + os.sep for name in ("stdlib", "purelib", "platlib")))
_SHOWN = 12


class At:
    """Adds a note to an error that leaves its ``with``: in which operator, at which rows.

    Attributes:
        first, last: the rows, by their number in the input of the piece of work.
    """

    __slots__ = ("_block", "_context", "_name", "first", "last")

    def __init__(
        self, name: str, block: Block, start: int, context: TaskContext, rows: int | None = None
    ) -> None:
        """For *rows* rows of *block*, all if ``None``, of which the first is number *start*."""
        self._name = name
        self._block = block
        self._context = context
        self.first = start
        self.last = start + (len(block) if rows is None else rows) - 1

    def __enter__(self) -> At:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, Exception):
            return
        error.add_note(f"in {self._name}, at {self.place}{self._columns(error)}")
        if isinstance(error, StopIteration):
            # It would end the generators that it passes, and with them the data, in silence.
            raise RuntimeError(f"{self._name} raised StopIteration") from error

    @property
    def place(self) -> str:
        """The rows, in their file where that is known."""
        origins = self._context.origins
        known = origins.describe(self.first, self.last) if origins is not None else None
        if known is not None:
            return known
        one = self.first == self.last
        rows = f"row {self.first}" if one else f"rows {self.first}-{self.last}"
        origin = f" from {self._context.source}" if self._context.source else ""
        return f"{rows} of its input{origin}"

    @property
    def origin(self) -> tuple[str, int | None]:
        """Where the first row comes from, and which one it is there if that is known."""
        origins = self._context.origins
        if origins is None or self.first >= origins.num_rows:
            return self._context.source, None
        origin = origins.at(self.first)
        return origin.source or self._context.source, origin.first_row

    def columns_of(self, error: Exception) -> list[str]:
        """The columns that the expression speaks of that raised *error*, as far as is known."""
        if isinstance(self._block, list):
            return []
        return columns_used(error, self._block.column_names)

    def _columns(self, error: Exception) -> str:
        if isinstance(self._block, list):
            return f" ({type(self._block[0]).__name__ if self._block else 'no'} objects)"
        schema = self._block.schema
        shown = ", ".join(f"{column.name}: {column.type}" for column in list(schema)[:_SHOWN])
        more = f", and {len(schema) - _SHOWN} more" if len(schema) > _SHOWN else ""
        return f"{_about(error, schema)} (columns {shown}{more})"


def _about(error: Exception, schema: pa.Schema) -> str:
    """Which columns *error* is about, as the end of "at row 3 of a.csv"."""
    names = list(schema.names)
    used = columns_used(error, names)
    if used:
        listed = ", ".join(f"{name!r} ({schema.field(name).type})" for name in used)
        return f", in column{'s' if len(used) > 1 else ''} {listed}"
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    guess = nearest(key, names) if isinstance(key, str) and key not in names else ""
    return f", where there is no column {key!r}:{guess}" if guess else ""


def columns_used(error: BaseException, names: Collection[str]) -> list[str]:
    """Those of *names* that the expression speaks of that raised *error* in a user's function.

    It is looked up in the source of the function, as far as that can be found: ``row["price"] * 2``
    speaks of ``price``. Nothing is known of a value that was given another name before.
    """
    for code, instruction in _calls(error.__traceback__):
        used = [name for name in _spoken_of(_expression(code, instruction)) if name in names]
        if used:
            return list(dict.fromkeys(used))
    return []


def _calls(traceback: types.TracebackType | None) -> Iterator[tuple[types.CodeType, int]]:
    """What of the user's own led to an error, from the function that an operator has called."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_NOT_THEIRS):
            yield code, traceback.tb_lasti
        traceback = traceback.tb_next


def _expression(code: types.CodeType, instruction: int) -> str:
    """The source of what *code* was doing at an instruction; nothing if it is not known."""
    first, last, begin, end = list(code.co_positions())[instruction // 2]
    if first is None or last is None or begin is None or end is None:
        return ""
    lines = [linecache.getline(code.co_filename, line).encode() for line in range(first, last + 1)]
    lines[-1] = lines[-1][:end]  # which counts bytes
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode(errors="replace")


def _spoken_of(expression: str) -> list[str]:
    """Texts in an expression; the names of attributes if there are none."""
    try:
        parts = list(ast.walk(ast.parse(f"({expression})", mode="eval")))
    except (SyntaxError, ValueError):
        return []
    texts = [n.value for n in parts if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return texts or [node.attr for node in parts if isinstance(node, ast.Attribute)]
