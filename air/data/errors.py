"""Errors of the data library."""

from __future__ import annotations

from collections.abc import Iterable

from air.errors import AirError
from air.executor.validation import listing, nearest


class ReadError(AirError, ValueError):
    """A file was there but could not be read; names the file, and the row where it is known."""


class WriteError(AirError, ValueError):
    """A dataset could not be written in a format; names the column and its type."""


class UnsupportedValue(AirError, TypeError):
    """A row or a batch holds something that no block can keep; names the column."""


class UnsuitableData(AirError, ValueError):
    """Values that a preprocessor cannot learn from, or has not learnt; names the column."""


class StaleCheckpoint(AirError, ValueError):
    """Kept results were made from other files, functions or steps; says what differs."""


class TooManyErrors(AirError, RuntimeError):
    """More rows were skipped than ``max_errors`` allows; names the operator and the last error."""


class NotRepeatable(AirError, RuntimeError):
    """Work was done again because a process died, and did not give what it had given before."""


class ColumnNotFound(AirError, ValueError):
    """A column is not in the data; names it, the nearest one and all that there are."""


def require_columns(wanted: Iterable[str], available: Iterable[str], what: str) -> None:
    """Raise :class:`ColumnNotFound` for the first of *wanted* that is not *available*.

    Args:
        what: who wants the column, e.g. ``"select_columns"``: the message starts with it.
    """
    names = list(available)
    known = set(names)
    for name in wanted:
        if name not in known:
            raise ColumnNotFound(
                f"{what}: no column {name!r}.{nearest(name, names)}"
                f" Columns are: {listing(names, limit=40) or '(none)'}"
            )
