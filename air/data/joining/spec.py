"""What a join is asked for, and which columns come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from air.data.blocks.schemas import unify
from air.data.errors import UnsupportedValue, require_columns
from air.errors import InvalidOption
from air.executor.validation import listing

KINDS = ("inner", "left", "right", "outer", "semi", "anti")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the result.

    Attributes:
        name: of it.
        left, right: the columns that it is taken from; of a key that has one name on both sides
            both, otherwise one.
    """

    name: str
    left: str | None
    right: str | None


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """What a join is asked for.

    Attributes:
        left_on, right_on: the columns that must be equal, pair by pair.
        suffixes: for columns of the left and of the right side that have the same name.
    """

    left_on: tuple[str, ...]
    right_on: tuple[str, ...]
    how: str
    suffixes: tuple[str, str]

    @property
    def name(self) -> str:
        """How messages call it."""
        keys = [
            repr(one) if one == other else f"{one!r} = {other!r}"
            for one, other in zip(self.left_on, self.right_on, strict=True)
        ]
        return f"join({', '.join(keys)}, how={self.how!r})"

    @property
    def only_left(self) -> bool:
        """Whether only columns of the left side come out."""
        return self.how in ("semi", "anti")

    @property
    def streams_right(self) -> bool:
        """Whether it is the right side whose rows come out in their order."""
        return self.how == "right"

    def columns(self, left: Sequence[str], right: Sequence[str]) -> list[Column]:
        """The columns of the result, for those of both sides.

        Raises:
            ColumnNotFound: a key is no column.
            InvalidOption: two columns would have one name.
        """
        require_columns(self.left_on, left, f"{self.name}, on the left side")
        require_columns(self.right_on, right, f"{self.name}, on the right side")
        if self.only_left:
            return [Column(name, name, None) for name in left]
        pairs = zip(self.left_on, self.right_on, strict=True)
        shared = {one for one, other in pairs if one == other}
        rest = [name for name in right if name not in shared]
        both = {*left} & {*rest}
        found = [
            Column(
                name + self.suffixes[0] if name in both else name,
                name,
                name if name in shared else None,
            )
            for name in left
        ]
        found += [
            Column(name + self.suffixes[1] if name in both else name, None, name) for name in rest
        ]
        names = [column.name for column in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidOption(
                f"{self.name}: there would be several columns named {listing(twice)}; give other"
                f" suffixes than {self.suffixes!r}"
            )
        return found

    def key_types(self, left: pa.Schema, right: pa.Schema) -> pa.Schema:
        """The types in which keys of both sides are compared, ``key0``, ``key1`` ...

        Raises:
            ColumnNotFound: a key is no column.
            UnsupportedValue: the types of a pair do not go together; names both.
        """
        require_columns(self.left_on, left.names, f"{self.name}, on the left side")
        require_columns(self.right_on, right.names, f"{self.name}, on the right side")
        found = []
        for number, names in enumerate(zip(self.left_on, self.right_on, strict=True)):
            kinds = [left.field(names[0]).type, right.field(names[1]).type]
            schemas = [pa.schema([(f"key{number}", kind)]) for kind in kinds]
            try:
                found.append(unify(schemas).field(0))
            except UnsupportedValue:
                raise UnsupportedValue(
                    f"{self.name}: {names[0]!r} has the type {kinds[0]} on the left side, and"
                    f" {names[1]!r} has {kinds[1]} on the right side, which do not go together:"
                    " make them one type"
                ) from None
        return pa.schema(found)
