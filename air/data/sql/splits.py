"""Dividing the rows of a statement by the values of a key: conditions for each part.

The first part takes what is below the first bound, and rows without a key; the last one all that
is not below the last bound. So parts stay a division of all rows, whatever the bounds are and
whatever is written meanwhile.
"""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from air.errors import InvalidOption

Extent = tuple[Any, Any]
"""The smallest and the largest value of a key."""


def key_expression(keys: Sequence[str], hash_fn: str | None) -> str:
    """What the rows are divided by: the key itself, or a function of the keys."""
    if hash_fn is None:
        return keys[0]
    return f"{hash_fn}({keys[0] if len(keys) == 1 else _together(keys)})"


def _together(keys: Sequence[str]) -> str:
    return "CONCAT(" + ", ',', ".join(keys) + ")"


def check_extent(expression: str, extent: Extent) -> None:
    """Complain about keys between which there are no bounds.

    Raises:
        InvalidOption: they are text, truth values or another kind without ranges, of two kinds,
            or infinite; names the expression and what to do instead.
    """
    low, high = extent
    for value in extent:
        if not _has_ranges(value):
            raise InvalidOption(
                f"read_sql: rows cannot be divided into ranges of {expression}, whose values are"
                f" such as {value!r:.60}: name a column of numbers or times in shard_keys, or, in"
                " shard_hash_fn, a function of the database that gives whole numbers for any value,"
                " such as hashtext of PostgreSQL, CRC32 of MySQL or hash of DuckDB"
            )
    if type(low) is not type(high) and not all(isinstance(v, (int, float)) for v in extent):
        raise InvalidOption(
            f"read_sql: {expression} has values of different kinds, {low!r:.60} and {high!r:.60}:"
            " name a column of one kind in shard_keys"
        )


def _has_ranges(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (float, Decimal)):
        return math.isfinite(value)
    return isinstance(value, (int, datetime.date))


def bounds_between(extent: Extent, pieces: int) -> list[Any]:
    """Values that divide *extent* evenly into at most *pieces* ranges, increasing.

    Each range has something in it as long as keys are evenly spread.
    """
    low, high = extent
    span = high - low
    if isinstance(span, int):
        pieces = min(pieces, span + 1)
        return [low + (span + 1) * index // pieces for index in range(1, pieces)]
    if isinstance(span, float):
        made = [low + span * (index / pieces) for index in range(1, pieces)]
        made = made if math.isfinite(span) else []
    else:  # times and decimals
        made = [low + span * index / pieces for index in range(1, pieces)]
    return sorted({bound for bound in made if low < bound <= high})


def conditions(expression: str, bounds: Sequence[Any]) -> list[str | None]:
    """A condition for each part that *bounds* make; ``None`` for all rows if there are none."""
    if not bounds:
        return [None]
    at = [literal(bound) for bound in bounds]
    made = [f"({expression} < {at[0]} OR {expression} IS NULL)"]
    for start, stop in itertools.pairwise(at):
        made.append(f"{expression} >= {start} AND {expression} < {stop}")
    return [*made, f"{expression} >= {at[-1]}"]


def literal(value: Any) -> str:
    """A number or a time as SQL writes it (ISO 9075)."""
    if isinstance(value, datetime.datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
        return f"{kind} '{value.isoformat(' ')}'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    return format(value, "f") if isinstance(value, Decimal) else repr(value)
