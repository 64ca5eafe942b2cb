"""Transforms of torchvision as a preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks import tensor
from air.data.blocks.convert import column_to_numpy
from air.data.blocks.infer import column_from_values
from air.data.blocks.ragged import arrays_of, layout_of, values_of
from air.data.errors import UnsuitableData
from air.data.preprocessors.columns import Column, ColumnPreprocessor, check_columns, check_free
from air.data.torch.arrays import as_array
from air.errors import InvalidOption
from air.executor.validation import check_flag

_ROWS_OF_A_BATCH = 128


class TorchVisionPreprocessor(ColumnPreprocessor):
    """Apply a transform of torchvision, or any function of images, to columns.

    There is nothing to fit. Missing images stay missing. A transform that draws random numbers
    takes them from the generator of the process that it is called in: its results differ from run
    to run unless it has a seed of its own.

    Args:
        columns: names of columns with images: arrays, also of different shapes, which are lists
            in a table. The transform gets them as they are, so images of the shape
            ``(height, width, channels)`` need a ``ToTensor`` first. Values that are no arrays,
            such as the bytes of files, are given to it as rows have them.
        transform: takes an array and gives a tensor, an array or a number. It travels to where
            the data is, so it must be picklable.
        output_columns: names for what it makes, one for each of *columns*, which stay then; they
            are replaced if ``None``.
        batched: give it up to 128 images of one shape at once, as an array with a dimension
            more; it then gives as many results.
    """

    _is_fittable = False

    def __init__(
        self,
        columns: list[str],
        transform: Callable[[Any], Any],
        output_columns: list[str] | None = None,
        batched: bool = False,
    ) -> None:
        self.columns = columns
        # The names of these two are those of methods.
        self._function = transform
        self._made_columns = output_columns
        self.batched = batched
        self.input_columns(())
        if not callable(transform):
            raise TypeError(
                "TorchVisionPreprocessor: transform must be a function of an image, got"
                f" {transform!r:.80}"
            )
        if output_columns is not None and len(check_columns(self, output_columns)) != len(columns):
            raise InvalidOption(
                f"TorchVisionPreprocessor: output_columns names {len(output_columns)} columns for"
                f" the {len(columns)} in columns"
            )
        check_flag(batched, "TorchVisionPreprocessor: batched")

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def output_columns(self, available: Sequence[str]) -> list[str]:
        if self._made_columns is None:
            return list(available)
        check_free(self, self._made_columns, available)
        return [*available, *self._made_columns]

    def keeps_columns(self) -> bool:
        return self._made_columns is None

    def __repr__(self) -> str:
        made = "" if self._made_columns is None else f", output_columns={self._made_columns!r}"
        return (
            f"{type(self).__name__}(columns={self.columns!r}, transform={self._function!r}{made},"
            f" batched={self.batched!r})"
        )

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The columns, transformed.

        Raises:
            UnsuitableData: images have different shapes, or are missing, and *batched* is set;
                or the transform gives something else than it should.
        """
        made = self._made_columns or self.columns
        apply = self._in_batches if self.batched else self._one_by_one
        return {
            output: column_from_values(output, apply(name, columns[name]))
            for name, output in zip(self.columns, made, strict=True)
        }

    def _one_by_one(self, name: str, column: Column) -> list[Any]:
        present = column.drop_null() if column.null_count else column
        made = []
        for row, image in enumerate(_images(name, present)):
            try:
                made.append(self._checked(name, as_array(self._function(image))))
            except Exception as error:
                error.add_note(f"in {type(self).__name__}, image {row} of the column {name!r}")
                raise
        if not column.null_count:
            return made
        results = iter(made)
        return [next(results) if valid else None for valid in column.is_valid().to_pylist()]

    def _in_batches(self, name: str, column: Column) -> Any:
        if column.null_count:
            raise UnsuitableData(
                f"{type(self).__name__}: the column {name!r} has missing images, which no batch"
                " can; leave these rows out (filter), or batched"
            )
        if not tensor.is_tensor(column.type) and _is_ragged(column.type):
            raise UnsuitableData(
                f"{type(self).__name__}: the column {name!r} has images of different shapes, which"
                " no batch can; leave batched out, or bring them to one size before"
            )
        images = column_to_numpy(column, writable=True)
        made = []
        for start in range(0, len(images), _ROWS_OF_A_BATCH):
            batch = images[start : start + _ROWS_OF_A_BATCH]
            results = self._checked(name, as_array(self._function(batch)))
            if not isinstance(results, np.ndarray) or len(results) != len(batch):
                raise UnsuitableData(
                    f"{type(self).__name__}: batched is set, so the transform must give an array"
                    f" of {len(batch)} results for the column {name!r}, got {_kind(results)}"
                )
            made.append(results)
        return np.concatenate(made) if made else []

    def _checked(self, name: str, result: Any) -> Any:
        if not isinstance(result, (np.ndarray, np.generic, bool, int, float)):
            raise UnsuitableData(
                f"{type(self).__name__}: the transform must give tensors, arrays or numbers, got"
                f" {_kind(result)} for the column {name!r}"
            )
        return result


def _images(name: str, column: Column) -> Iterable[Any]:
    """The values of a column without nulls, which may be changed."""
    if tensor.is_tensor(column.type):
        images: np.ndarray = column_to_numpy(column, writable=True)
        return images
    if _is_ragged(column.type):
        ragged = values_of("TorchVisionPreprocessor", name, column)
        return [array.copy() for array in arrays_of("TorchVisionPreprocessor", name, ragged)]
    rows: list[Any] = column.to_pylist()
    return rows


def _is_ragged(kind: pa.DataType) -> bool:
    layout = layout_of(kind)
    return layout is not None and layout.ragged_rank > 0


def _kind(result: Any) -> str:
    if isinstance(result, np.ndarray):
        return f"an array of shape {result.shape}"
    return type(result).__name__
