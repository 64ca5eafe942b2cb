"""A random order of any number of rows that nobody has to hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_ROUNDS = 6
_SMALL = 1 << 16


class Permutation:
    """Where each of *rows* rows goes: a bijection of ``0 <= number < rows``.

    It depends on *rows* and *seed* only, and takes memory in the order of the root of *rows*. Few
    rows are permuted outright. More are written as two digits to the base of the root, which a
    Feistel network of random tables mixes; what falls behind the last row is sent through again
    until it does not (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        generator = np.random.default_rng(seed)
        self._places: np.ndarray | None = None
        if rows <= _SMALL:
            self._places = generator.permutation(rows)
            return
        self._base = math.isqrt(rows - 1) + 1
        tables = generator.integers(self._base, size=(_ROUNDS, self._base))
        self._tables = tables.astype(np.int32)  # a digit is one, up to 2**60 rows

    def places(self, first: int, last: int) -> np.ndarray:
        """Where the rows ``first <= row < last`` go."""
        if self._places is not None:
            return self._places[first:last]
        return self._walked(first, last, self._forward)

    def origins(self, first: int, last: int) -> np.ndarray:
        """The rows that go to the places ``first <= place < last``."""
        if self._places is not None:
            return np.argsort(self._places)[first:last]
        return self._walked(first, last, self._backward)

    def _walked(
        self, first: int, last: int, step: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        numbers = step(np.arange(first, last))
        while True:
            (outside,) = np.nonzero(numbers >= self.rows)
            if not len(outside):
                return numbers
            numbers[outside] = step(numbers[outside])

    def _digits(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high = numbers // self._base
        return high.astype(np.int32), (numbers - high * self._base).astype(np.int32)

    def _forward(self, numbers: np.ndarray) -> np.ndarray:
        high, low = self._digits(numbers)
        for table in self._tables:
            mixed = high + table[low]
            mixed -= (mixed >= self._base) * np.int32(self._base)
            high, low = low, mixed
        return high.astype(np.int64) * self._base + low

    def _backward(self, numbers: np.ndarray) -> np.ndarray:
        high, low = self._digits(numbers)
        for table in self._tables[::-1]:
            mixed = low - table[high]
            mixed += (mixed < 0) * np.int32(self._base)
            high, low = mixed, high
        return high.astype(np.int64) * self._base + low
