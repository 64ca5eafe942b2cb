"""Columns are known by numbers: their names may differ from file to file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from air.data.blocks.kinds import is_list
from air.data.errors import ReadError
from air.data.lakes.files import ColumnsInFiles

_NUMBER = b"PARQUET:field_id"
_ITEM, _KEY, _VALUE = "[]", "{key}", "{value}"

Place: TypeAlias = tuple[str, ...]
"""A column, or a field inside of one: the names on the way, and signs for parts of lists and
maps, which have other names in other files."""


@dataclass(frozen=True, slots=True)
class ByNumber(ColumnsInFiles):
    """Columns that are found by their number.

    Attributes:
        numbers: those of the table.
        of_names: those of names in files that tell none, as the table maps them.
    """

    numbers: Mapping[Place, int]
    of_names: Mapping[Place, int]

    def names(self, schema: pa.Schema, path: str) -> Mapping[str, str]:
        inside = dict(numbered(schema)) or self.of_names
        if not inside:
            raise ReadError(
                f"{path} does not number its columns, and the table has no mapping of names"
                " (schema.name-mapping.default), so that it is not known which are meant"
            )
        present = set(schema.names)
        tops = {
            number: place[0]
            for place, number in inside.items()
            if len(place) == 1 and place[0] in present
        }
        found = {
            place[0]: tops[number]
            for place, number in self.numbers.items()
            if len(place) == 1 and number in tops
        }
        for column, name in found.items():
            _check_parts(_parts(self.numbers, column), _parts(inside, name), column, path)
        return found


def _parts(numbers: Mapping[Place, int], column: str) -> dict[Place, int]:
    return {
        place[1:]: number
        for place, number in numbers.items()
        if place[0] == column and len(place) > 1
    }


def _check_parts(
    wanted: Mapping[Place, int], there: Mapping[Place, int], column: str, path: str
) -> None:
    """Complain about fields inside of a column that have changed places.

    Raises:
        ReadError: names the column and the file.
    """
    places = {number: place for place, number in there.items()}
    for place, number in wanted.items():
        if there.get(place, number) != number or places.get(number, place) != place:
            raise ReadError(
                f"{path}: in column {column!r} the field {'.'.join(place)!r} was renamed or"
                " replaced since the file was written, which is not supported for fields inside of"
                " columns: leave the column out, or rewrite the table's files"
            )


def numbered(fields: Iterable[pa.Field], above: Place = ()) -> Iterator[tuple[Place, int]]:
    """Columns and the fields inside of them with their numbers, as far as they have one."""
    for field in fields:
        yield from _numbered(field, (*above, field.name))


def _numbered(field: pa.Field, place: Place) -> Iterator[tuple[Place, int]]:
    number = (field.metadata or {}).get(_NUMBER)
    if number is not None:
        yield place, int(number)
    kind = field.type
    if pa.types.is_struct(kind):
        yield from numbered(kind, place)
    elif is_list(kind):
        yield from _numbered(kind.value_field, (*place, _ITEM))
    elif pa.types.is_map(kind):
        yield from _numbered(kind.key_field, (*place, _KEY))
        yield from _numbered(kind.item_field, (*place, _VALUE))


def mapped_names(fields: Iterable[Any], schema: Any) -> dict[Place, int]:
    """The numbers of names in files that do not number their columns.

    Args:
        fields: those of a name mapping of pyiceberg.
        schema: the table's.
    """
    found: dict[Place, int] = {}

    def note(fields: Iterable[Any], above: Place, signs: Mapping[str, str]) -> None:
        for field in fields:
            for name in field.names:
                place = (*above, signs.get(name, name))
                if field.field_id is not None:
                    found[place] = field.field_id
                note(field.fields, place, _signs(schema, field.field_id))

    note(fields, (), {})
    return found


def _signs(schema: Any, number: int | None) -> dict[str, str]:
    """The signs for parts of a field, by the names that they have in a mapping."""
    kind = "" if number is None or number not in schema.field_ids else str(schema.find_type(number))
    if kind.startswith("list<"):
        return {"element": _ITEM}
    return {"key": _KEY, "value": _VALUE} if kind.startswith("map<") else {}
