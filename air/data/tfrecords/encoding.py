"""``Example`` messages of the rows of a table; see :mod:`air.data.tfrecords.decoding`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from air.data.blocks.kinds import TEXTS, is_list_in_order, is_one
from air.data.errors import WriteError
from air.data.formats import cannot_hold
from air.data.tfrecords.decoding import BYTES, FLOATS, INTS

_REMEDY = "turn it into numbers, text, bytes or lists of those, or use write_parquet"


def kind_of(column: pa.Field) -> int:
    """The kind of list that a column becomes.

    Raises:
        WriteError: there is none for its type; names the column.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        raise cannot_hold("write_tfrecords", column, "an Example", _REMEDY)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if is_list_in_order(kind):
        kind = kind.value_type
    if pa.types.is_floating(kind):
        return FLOATS
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return INTS
    raw = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if pa.types.is_null(kind) or is_one(kind, (*TEXTS, *raw)):
        return BYTES
    raise cannot_hold("write_tfrecords", column, "an Example", _REMEDY)


def messages(table: pa.Table) -> Iterator[bytes]:
    """An ``Example`` for each row; what is null is left out.

    Raises:
        WriteError: a column's type or a value is not to be had in them; names the column.
    """
    columns = [
        _entries(column, values) for column, values in zip(table.schema, table.columns, strict=True)
    ]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(table))
    for entries in rows:
        features = b"".join(entries)
        yield b"".join((b"\x0a", _varint(len(features)), features))


def _entries(column: pa.Field, values: pa.ChunkedArray) -> Iterator[bytes]:
    """The entry of the map for each row, nothing where it is null."""
    kind = kind_of(column)
    name = column.name.encode()
    key = b"\x0a" + _varint(len(name)) + name + b"\x12"
    tag = bytes(((kind << 3) | 2,))
    heads: dict[int, bytes] = {}
    for part in _lists(column, values, kind):
        if part is None:
            yield b""
            continue
        size = len(part)
        head = heads.get(size)
        if head is None:
            feature = tag + _varint(size)
            inner = key + _varint(len(feature) + size) + feature
            head = heads[size] = b"\x0a" + _varint(len(inner) + size) + inner
        yield head + part


def _lists(column: pa.Field, values: pa.ChunkedArray, kind: int) -> Iterator[bytes | None]:
    """The encoded list of each row, ``None`` where it is null."""
    array = values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):  # of which Arrow cannot leave any out
        array = array.cast(pa.large_string())
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    if is_list_in_order(array.type):
        sizes = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        items = pc.list_flatten(array)
        if items.null_count:
            raise WriteError(
                f"write_tfrecords: column {column.name!r} has lists with missing values, which an"
                " Example cannot hold; fill them, or use write_parquet"
            )
    else:
        sizes = valid.astype(np.int64)
        items = array.drop_null()
    stops = np.cumsum(sizes).tolist()
    pieces = _encoded(column, items, kind)
    start = 0
    for stop, is_there in zip(stops, valid.tolist(), strict=True):
        yield pieces(start, stop) if is_there else None
        start = stop


def _encoded(column: pa.Field, items: pa.Array, kind: int) -> Callable[[int, int], bytes]:
    """A function that gives the encoded list of the items from one number to another."""
    if kind == BYTES:
        raw = [item.encode() if isinstance(item, str) else item for item in items.to_pylist()]
        return lambda start, stop: b"".join([_item(item) for item in raw[start:stop]])
    content, places = _floats(column, items) if kind == FLOATS else _ints(column, items)

    def numbers(start: int, stop: int) -> bytes:
        return _item(content[places[start] : places[stop]]) if start < stop else b""

    return numbers


def _floats(column: pa.Field, items: pa.Array) -> tuple[bytes, Sequence[int]]:
    """All numbers, encoded, and where each begins."""
    wide = items.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f4")
    if np.any(np.isinf(narrow) & np.isfinite(wide)):
        raise WriteError(
            f"write_tfrecords: column {column.name!r} holds a number that a float of 32 bits,"
            " which is what an Example has, cannot hold; use write_parquet"
        )
    return narrow.tobytes(), range(0, 4 * len(narrow) + 1, 4)


def _ints(column: pa.Field, items: pa.Array) -> tuple[bytes, Sequence[int]]:
    try:
        signed = items.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise WriteError(
            f"write_tfrecords: column {column.name!r}: {error}; an Example has whole numbers of 64"
            " bits with a sign"
        ) from None
    # Negative numbers are encoded as the whole numbers of 64 bits that have their digits.
    numbers = signed.view(np.uint64)
    sizes = np.ones(len(numbers), np.int64)
    for digits in range(1, 10):
        sizes += numbers >= np.uint64(1 << 7 * digits)
    places = np.concatenate(([0], np.cumsum(sizes)))
    content = np.empty(places[-1], np.uint8)
    for digit in range(int(sizes.max(initial=0))):
        there = sizes > digit
        value = (numbers[there] >> np.uint64(7 * digit)) & np.uint64(127)
        value |= np.where(sizes[there] > digit + 1, 128, 0).astype(np.uint64)
        content[places[:-1][there] + digit] = value
    return content.tobytes(), places.tolist()


def _item(content: bytes) -> bytes:
    return b"".join((b"\x0a", _varint(len(content)), content))


_SHORT = [bytes((n,)) for n in range(128)]


def _varint(number: int) -> bytes:
    if number < 128:
        return _SHORT[number]
    digits = bytearray()
    while number >= 128:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)
