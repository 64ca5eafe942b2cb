"""A preprocessor that puts columns together into one of vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from air.data.blocks import tensor
from air.data.errors import UnsuitableData, require_columns
from air.data.preprocessors.columns import Column, ColumnPreprocessor, check_free, numbers
from air.errors import InvalidOption
from air.executor.validation import check_flag, listing

Names = str | Sequence[str] | None


class Concatenator(ColumnPreprocessor):
    """Replace columns with numbers by one column whose values are vectors of them.

    The columns go into the vectors in the order of *include*, or of the data, one place each;
    columns of vectors take as many places as they are long. There is nothing to fit.

    Args:
        output_column_name: the name of the new column, which comes last.
        include: the columns; all if ``None``.
        exclude: columns to leave as they are.
        dtype: of the vectors; what holds all the columns if ``None``.
        raise_if_missing: whether a name in *include* or *exclude* that is not in the data is an
            error; otherwise it is passed over.
    """

    _is_fittable = False

    def __init__(
        self,
        output_column_name: str = "concat_out",
        include: Names = None,
        exclude: Names = None,
        dtype: Any = None,
        raise_if_missing: bool = False,
    ) -> None:
        self.output_column_name = output_column_name
        self.include = include
        self.exclude = exclude
        self.dtype = dtype
        self.raise_if_missing = raise_if_missing
        if not isinstance(output_column_name, str) or not output_column_name:
            raise InvalidOption(
                f"Concatenator: output_column_name must be text, got {output_column_name!r:.80}"
            )
        _names("include", include)
        _names("exclude", exclude)
        check_flag(raise_if_missing, "Concatenator: raise_if_missing")
        try:
            np.dtype(dtype)
        except TypeError:
            raise InvalidOption(
                f"Concatenator: dtype must be one of numpy's, got {dtype!r:.80}"
            ) from None

    def input_columns(self, available: Sequence[str]) -> list[str]:
        include, exclude = _names("include", self.include), _names("exclude", self.exclude) or []
        if self.raise_if_missing:
            require_columns([*(include or []), *exclude], available, "Concatenator")
        wanted = available if include is None else include
        return [name for name in wanted if name in available and name not in exclude]

    def output_columns(self, available: Sequence[str]) -> list[str]:
        taken = set(self.input_columns(available))
        kept = [name for name in available if name not in taken]
        check_free(self, [self.output_column_name], kept)
        return [*kept, self.output_column_name]

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        if not columns:
            raise InvalidOption(f"{self!r} finds none of its columns in the data")
        parts = [self._places(name, column) for name, column in columns.items()]
        try:
            vectors = np.concatenate(parts, axis=1, dtype=self.dtype)
        except TypeError:
            kinds = listing(dict.fromkeys(str(part.dtype) for part in parts))
            raise UnsuitableData(
                f"Concatenator: dtype={np.dtype(self.dtype).name!r} cannot hold the columns"
                f" {listing(columns)}, which are {kinds} (columns with missing values are floats);"
                " fill them, or leave dtype out"
            ) from None
        return {self.output_column_name: vectors}

    def _places(self, name: str, column: Column) -> np.ndarray:
        if tensor.is_tensor(column.type):
            vectors = tensor.to_numpy(column)
            return vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
        plain = column.null_count == 0 and str(column.type).startswith(("int", "uint", "bool"))
        values = column.to_numpy() if plain else numbers(self, name, column)
        return values.reshape(-1, 1)


def _names(what: str, given: Names) -> list[str] | None:
    if given is None:
        return None
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"Concatenator: {what} must be names of columns, got {given!r:.80}")
    return list(names)
