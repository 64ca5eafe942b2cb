"""What operators have in common that call a function of the user."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import pyarrow as pa

from air.data.errors import UnsupportedValue
from air.data.transforms import Transform
from air.data.udf.functions import UserFunction
from air.data.udf.skipping import Skips

_Built = TypeVar("_Built")


@dataclass(frozen=True)
class Call(Transform):
    """Base of operators that call a function.

    Attributes:
        user: the function.
        skips: what is done about rows that it fails for; ``None`` to raise its error.
    """

    user: UserFunction
    skips: Skips | None = None

    def with_skips(self, skips: Skips | None) -> Self:
        """The same, leaving out rows in that way, or none."""
        return replace(self, skips=skips)

    def numbered(self, number: int) -> Self:
        """The same with a name that says which one it is of those with this name."""
        return replace(self, user=replace(self.user, number=number))

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def of_no_rows(self, table: pa.Table) -> pa.Table | None:
        """As that of all transforms.

        Raises:
            NotOfNoRows: the function fails for a batch without rows.
        """
        return None  # what a function makes of a row is not known without one


class NotOfNoRows(Exception):
    """A function of the user has failed for a batch without rows, of which it promises nothing."""


@contextlib.contextmanager
def without_rows() -> Iterator[None]:
    """Around a function of the user, alone, that is called with a batch without rows.

    Raises:
        NotOfNoRows: in place of whatever the function raises.
    """
    try:
        yield
    except Exception as error:
        raise NotOfNoRows from error


def made_of(name: str, build: Callable[[Any], _Built], made: Any) -> _Built:
    """What *build* makes of what the function of the operator *name* returned.

    Raises:
        UnsupportedValue: it cannot be kept; says so.
    """
    try:
        return build(made)
    except UnsupportedValue as error:
        raise UnsupportedValue(f"what {name} returned cannot be kept: {error}") from None
