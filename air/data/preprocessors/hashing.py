"""MurmurHash3 of many texts at once.

The 32-bit variant for x86, by Austin Appleby, who put it into the public domain: what scikit-learn
hashes features with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FIRST = np.uint32(0xCC9E2D51)
_SECOND = np.uint32(0x1B873593)


def murmur3_32(keys: Sequence[bytes]) -> np.ndarray:
    """The hash of each key with seed 0, as signed numbers of 32 bits."""
    hashes = np.zeros(len(keys), np.uint32)
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    # Keys of one length are the rows of a matrix, whatever the other lengths are.
    for length in np.unique(lengths):
        where = np.flatnonzero(lengths == length)
        matrix = np.frombuffer(b"".join(keys[index] for index in where.tolist()), np.uint8)
        hashes[where] = _of_one_length(matrix.reshape(len(where), int(length)))
    return hashes.view(np.int32)


def _of_one_length(keys: np.ndarray) -> np.ndarray:
    rows, length = keys.shape
    whole = length // 4 * 4
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4").astype(np.uint32, copy=False)
    found = np.zeros(rows, np.uint32)
    for place in range(whole // 4):
        found ^= _mixed(words[:, place])
        found = _rotated(found, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    if length > whole:
        rest = np.zeros(rows, np.uint32)
        for place in range(whole, length):
            rest |= keys[:, place].astype(np.uint32) << np.uint32(8 * (place - whole))
        found ^= _mixed(rest)
    found ^= np.uint32(length & 0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found ^= found >> np.uint32(shift)
        found = found * np.uint32(factor)
    return found ^ (found >> np.uint32(16))


def _mixed(words: np.ndarray) -> np.ndarray:
    return _rotated(words * _FIRST, 15) * _SECOND


def _rotated(words: np.ndarray, by: int) -> np.ndarray:
    made: np.ndarray = (words << np.uint32(by)) | (words >> np.uint32(32 - by))
    return made
