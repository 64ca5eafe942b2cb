"""Schemas of Avro as those of Arrow, and the other way round."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from air.data.blocks.kinds import is_list
from air.data.errors import UnsupportedValue, WriteError
from air.data.formats import cannot_hold

_SIMPLE = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def arrow_schema(schema: Any) -> pa.Schema:
    """The columns for the records of a file.

    Raises:
        UnsupportedValue: the file holds something else than records, or a type that has no
            counterpart; names the field.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise UnsupportedValue(f"it holds values of the type {schema!r:.80}, no records")
    return pa.schema(_fields(schema, {}, ""))


def _fields(record: dict[str, Any], named: dict[str, Any], path: str) -> list[pa.Field]:
    return [
        pa.field(field["name"], _arrow_type(field["type"], named, f"{path}{field['name']}"))
        for field in record["fields"]
    ]


def _arrow_type(kind: Any, named: dict[str, pa.DataType | None], path: str) -> pa.DataType:
    if isinstance(kind, list):
        others = [option for option in kind if option != "null"]
        if len(others) > 1:
            raise UnsupportedValue(f"field {path!r} is a union of several types: {kind!r:.120}")
        return _arrow_type(others[0], named, path) if others else pa.null()
    if isinstance(kind, str):
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        if named.get(kind) is None:
            raise UnsupportedValue(f"field {path!r} has a type that holds itself: {kind!r}")
        return named[kind]
    what, logical = kind["type"], kind.get("logicalType")
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if logical == "decimal":
        number = pa.decimal128(kind["precision"], kind.get("scale", 0))
        if what == "fixed":
            named[kind["name"]] = number
        return number
    if what == "array":
        return pa.list_(_arrow_type(kind["items"], named, f"{path}[]"))
    if what == "map":
        return pa.map_(pa.string(), _arrow_type(kind["values"], named, f"{path}{{}}"))
    if what not in ("record", "enum", "fixed"):
        return _arrow_type(what, named, path)
    named[kind["name"]] = None
    if what == "record":
        made = pa.struct(_fields(kind, named, f"{path}."))
    else:
        made = pa.string() if what == "enum" else pa.binary(kind["size"])
    named[kind["name"]] = made
    return made


def avro_schema(schema: pa.Schema) -> dict[str, Any]:
    """The schema of a file for rows of a table; every field may be null.

    Raises:
        WriteError: Avro has no type for a column, or no such name; names it.
    """
    return {
        "type": "record",
        "name": "row",
        "fields": [_nullable(column, column, column.name) for column in schema],
    }


def _nullable(column: pa.Field, part: pa.Field, path: str) -> dict[str, Any]:
    if not _NAME.fullmatch(part.name):
        raise WriteError(
            f"write_avro: {part.name!r} is no name for a field in Avro, which has letters without"
            " accents, digits and '_'; use rename_columns"
        )
    kind = _avro_type(column, part.type, path)
    kinds = ["null"] if kind == "null" else ["null", kind]
    return {"name": part.name, "type": kinds, "default": None}


def _avro_type(column: pa.Field, kind: pa.DataType, path: str) -> Any:
    for check, name in (
        (pa.types.is_null, "null"),
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_float32, "float"),
        (pa.types.is_float16, "float"),
        (pa.types.is_float64, "double"),
        (pa.types.is_string, "string"),
        (pa.types.is_large_string, "string"),
        (pa.types.is_binary, "bytes"),
        (pa.types.is_large_binary, "bytes"),
    ):
        if check(kind):
            return name
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return "int" if kind.bit_width < 32 or kind == pa.int32() else "long"
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        local = "" if kind.tz else "local-"
        unit = "micros" if kind.unit == "us" else "millis"
        return {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    for logical, base, made in (
        ("date", "int", pa.date32()),
        ("time-millis", "int", pa.time32("ms")),
        ("time-micros", "long", pa.time64("us")),
    ):
        if kind == made:
            return {"type": base, "logicalType": logical}
    if pa.types.is_decimal128(kind) and kind.scale >= 0:
        digits = {"precision": kind.precision, "scale": kind.scale}
        return {"type": "bytes", "logicalType": "decimal", **digits}
    if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type):
        return "string"
    name = re.sub(r"\W", "_", path)
    if pa.types.is_fixed_size_binary(kind):
        return {"type": "fixed", "name": f"{name}_bytes", "size": kind.byte_width}
    if is_list(kind):
        return {"type": "array", "items": _items(column, kind.value_type, f"{path}_item")}
    if pa.types.is_map(kind) and pa.types.is_string(kind.key_type):
        return {"type": "map", "values": _items(column, kind.item_type, f"{path}_value")}
    if pa.types.is_struct(kind):
        parts = [_nullable(column, part, f"{path}_{part.name}") for part in kind]
        return {"type": "record", "name": f"{name}_record", "fields": parts}
    raise cannot_hold(
        "write_avro", column, "Avro", "turn it into another one, or use write_parquet"
    )


def _items(column: pa.Field, kind: pa.DataType, path: str) -> list[Any]:
    made = _avro_type(column, kind, path)
    return ["null"] if made == "null" else ["null", made]
