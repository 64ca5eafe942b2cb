"""Statements of SQL: how one is shown, put inside another one, and which names it waits for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Parameters = Sequence[Any] | Mapping[str, Any]

_SHOWN = 200

# What is quoted or commented comes first, so that nothing in it is taken for a place; `::int` is a
# cast of PostgreSQL.
_PLACES = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | ::
    | %\((?P<percent>\w+)\)s | :(?P<colon>[A-Za-z_]\w*) | \$(?P<dollar>[A-Za-z_]\w*)(?!\w*\$)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that gives rows.

    Attributes:
        sql: its text.
        parameters: for the places in it; ``None`` if it is run without any.
    """

    sql: str
    parameters: Parameters | None = None

    def around(self, what: str = "*", condition: str | None = None) -> Statement:
        """The statement for *what* of the rows for which *condition* is true."""
        # The end of a line ends a comment that the statement may end with.
        inner = self.sql.strip().rstrip(";")
        sql = f"SELECT {what} FROM (\n{inner}\n) air_rows"
        return Statement(sql if condition is None else f"{sql} WHERE {condition}", self.parameters)

    def __str__(self) -> str:
        return shown(self.sql)


def shown(sql: str) -> str:
    """*sql* as messages show it: on one line, and not too long a one."""
    line = " ".join(sql.split())
    return repr(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}...")


def is_plain_name(name: str) -> bool:
    """Whether *name* may stand in a statement as it is."""
    return re.fullmatch(r"[A-Za-z_]\w*", name) is not None


def names_of_places(sql: str) -> list[str]:
    """The names of the values that *sql* waits for, each once; none if it counts them.

    Places are named in the ways of the DB-API, ``:name`` and ``%(name)s``, or as ``$name``.
    """
    matches = (match.groupdict().values() for match in _PLACES.finditer(sql))
    return list(dict.fromkeys(name for names in matches for name in names if name))
