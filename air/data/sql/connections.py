"""Connections to databases, and what their errors become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from air.data.sql.statements import Statement, shown
from air.errors import AirError, InvalidOption

ConnectionFactory = Callable[[], Any]

FIRST_ROWS = 256
"""How many rows to fetch first, when nobody knows how large they are."""

_MOST_ROWS = 65_536
FETCHED_BYTES = 8 << 20
"""About so much is fetched at a time, if there is memory enough."""


def check_statement(what: str, sql: object) -> str:
    """*sql* if it is a statement.

    Raises:
        InvalidOption: it is no text, or nothing.
    """
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidOption(f"{what}: sql must be a statement as text, got {sql!r:.80}")
    return sql


def check_factory(what: str, factory: object) -> ConnectionFactory:
    """*factory* if it can be called.

    Raises:
        TypeError: it cannot, as a connection cannot.
    """
    if callable(factory) and not hasattr(factory, "cursor"):
        return factory
    raise TypeError(
        f"{what}: connection_factory must be a function that opens a connection, such as"
        f' lambda: sqlite3.connect("rows.db"), got {factory!r:.80}'
    )


@contextmanager
def connected(what: str, factory: ConnectionFactory, error: type[AirError]) -> Iterator[Any]:
    """A connection of *factory*, which is closed in the end.

    Raises:
        *error*: it could not be opened; says why.
        TypeError: what came is no connection.
    """
    try:
        connection = factory()
    except Exception as failure:
        raise error(f"{what}: connection_factory failed: {described(failure)}") from None
    if not all(callable(getattr(connection, name, None)) for name in ("cursor", "close", "commit")):
        raise TypeError(
            f"{what}: connection_factory must give a connection of the Python DB-API (PEP 249),"
            f" got {type(connection).__name__}"
        )
    with closing(connection):
        yield connection


@contextmanager
def explained(what: str, sql: str, error: type[AirError], hint: str = "") -> Iterator[None]:
    """Raise *error* for what a database says of *sql*, with its message."""
    try:
        yield
    except AirError:
        raise
    except Exception as failure:
        raise error(f"{what}: {shown(sql)} failed: {described(failure)}{hint}") from None


def described(failure: Exception) -> str:
    """The error of a driver, which may not be there where the message is read."""
    kind = type(failure)
    return f"{kind.__module__}.{kind.__name__}: {str(failure).strip()}"


def run(cursor: Any, statement: Statement) -> None:
    """Run a statement, with parameters only if it has some: drivers look for places then."""
    if statement.parameters is None:
        cursor.execute(statement.sql)
    else:
        cursor.execute(statement.sql, statement.parameters)


def rows_at_once(rows: int, size_bytes: int, wanted_bytes: int = FETCHED_BYTES) -> int:
    """How many rows to fetch next for about *wanted_bytes*, after *rows* that took *size_bytes*."""
    wanted = rows * wanted_bytes // max(size_bytes, 1)
    return max(min(wanted, 4 * rows, _MOST_ROWS), 1)
