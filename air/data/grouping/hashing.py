"""A number for each row that is the same wherever and whenever rows are equal in some columns.

Rows are spread over parts by it, and most of those that differ are told apart by it. It depends on
nothing but the values: not on the process, the machine, or how they are divided into blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.choosing import combined, taken
from air.data.blocks.kinds import is_text
from air.data.grouping.keys import comparable

_START = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0xD6E8FEB86659FD93)
_FACTORS = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT, _LESS = np.uint64(33), np.uint64(32)

_WORD = 8
_MOST_WORDS = 32
"""Values of more words are few, or so large that a call for each does not matter."""


def row_hashes(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """For each row a number of 64 bits, as uint64; missing values, null and NaN, are alike.

    Columns have types that :func:`air.data.grouping.keys.check_keys` admits. Equal values of
    different types, as 1 and 1.0, have different numbers.
    """
    found = np.full(len(table), _START)
    for name in names:
        column = _bytes_or_numbers(table[name])
        if pa.types.is_null(column.type) or not len(table):
            continue
        valid = pc.is_valid(column).to_numpy() if column.null_count else None
        for words in _words(combined(column)):
            _mix(found, words if valid is None else np.where(valid, words, _MISSING))
    return found


def are_equal(table: pa.Table, names: Sequence[str], one: np.ndarray, other: np.ndarray) -> bool:
    """Whether rows are equal in some columns, pair by pair, as they are where rows are grouped."""
    for name in names:
        column = _bytes_or_numbers(table[name])
        if pa.types.is_null(column.type):
            continue
        is_equal = np.ones(len(one), bool)
        if is_text(column.type):
            values = pa.table({"": column})
            both = (taken(values, pa.array(rows)).column(0) for rows in (one, other))
            is_equal &= pc.fill_null(pc.equal(*both), True).to_numpy()
        else:
            for words in _words(combined(column)):
                is_equal &= words[one] == words[other]
        if column.null_count:
            valid = pc.is_valid(column).to_numpy()
            is_equal |= ~valid[one]
            is_equal &= valid[one] == valid[other]
        if not is_equal.all():
            return False
    return True


def _mix(hashes: np.ndarray, words: np.ndarray) -> None:
    """Make *hashes* depend on *words* too, each bit on all of them."""
    hashes ^= words
    shifted = np.empty_like(hashes)
    for factor in _FACTORS:
        np.right_shift(hashes, _SHIFT, out=shifted)
        hashes ^= shifted
        hashes *= factor
    np.right_shift(hashes, _LESS, out=shifted)
    hashes ^= shifted


def _bytes_or_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in a type of which :func:`_words` knows how they lie in memory."""
    column = comparable(column)
    is_fixed = pa.types.is_fixed_size_binary(column.type)
    return column.cast(pa.binary()) if is_fixed else column


def _words(values: pa.Array) -> list[np.ndarray]:
    """Values as numbers of 64 bits, one or more for each; what those of nulls are is not said."""
    kind = values.type
    if is_text(kind):
        return [_of_bytes(values)]
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    width = values.type.bit_width // 8
    unsigned = np.dtype(f"<u{min(width, _WORD)}")
    whole = np.frombuffer(values.buffers()[1], unsigned)
    each = max(width // _WORD, 1)  # decimals have several
    rows = whole[values.offset * each : (values.offset + len(values)) * each].reshape(-1, each)
    return [rows[:, place].astype(np.uint64) for place in range(each)]


def _of_bytes(values: pa.Array) -> np.ndarray:
    """A number for each text, of its length and its bytes, eight at a time."""
    is_wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    _, offsets, data = values.buffers()
    edges = np.frombuffer(offsets, np.int64 if is_wide else np.int32)[
        values.offset : values.offset + len(values) + 1
    ]
    begin, length = edges[:-1].astype(np.int64), np.diff(edges).astype(np.int64)
    found = length.astype(np.uint64)
    start, stop = int(edges[0]), int(edges[-1])
    # With room behind the last value, because words are read whole.
    held = np.zeros(stop - start + _WORD, np.uint8)
    if data is not None:
        held[: stop - start] = np.frombuffer(data, np.uint8)[start:stop]
    begin -= start
    at_all = np.ndarray((len(held) - _WORD + 1,), "<u8", held, strides=(1,))
    is_long = length > _MOST_WORDS * _WORD
    for row in np.flatnonzero(is_long).tolist():
        text = held[begin[row] : begin[row] + length[row]].tobytes()
        digest = hashlib.blake2b(text, digest_size=_WORD).digest()
        found[row] = int.from_bytes(digest, "little")
    left = np.where(is_long, 0, length)
    rows = np.flatnonzero(left)
    for place in range(_MOST_WORDS):
        if not len(rows):
            break
        some = found[rows]
        words = at_all[begin[rows] + place * _WORD]
        beyond = np.maximum((place + 1) * _WORD - left[rows], 0).astype(np.uint64)
        # Bytes of the next value are shifted out.
        words <<= beyond << np.uint64(3)
        _mix(some, words)
        found[rows] = some
        rows = rows[left[rows] > (place + 1) * _WORD]
    return found
