"""Writing images, a file for each."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from air.data.blocks import tensor
from air.data.blocks.kinds import is_list
from air.data.errors import WriteError, require_columns
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest

_MODES: dict[tuple[str, int | None], str] = {
    ("bool", None): "1",
    ("uint8", None): "L",
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", None): "I;16",
    ("float32", None): "F",
}
"""Pillow's modes for types of numbers, and numbers of channels."""

_WRITES = {
    "png": ("1", "L", "LA", "RGB", "RGBA", "I;16"),
    "tiff": ("1", "L", "LA", "RGB", "RGBA", "I;16", "F"),
    "bmp": ("1", "L", "RGB"),
    "jpeg": ("L", "RGB"),
}
"""Formats with the modes that each holds."""


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """One row with an array as an image."""

    name: ClassVar[str] = "images"
    column: str
    kind: str = "png"
    compression: str | None = None

    @classmethod
    def checked(cls, column: object, kind: object) -> ImageFormat:
        """The format for arguments of a writer.

        Raises:
            InvalidOption: no name of a column, or no format; names the nearest.
        """
        if not isinstance(column, str):
            raise InvalidOption(
                f"write_images: column must name the column of the images, got {column!r:.80}"
            )
        known = (*_WRITES, "jpg")
        if kind not in known:
            raise InvalidOption(
                f"write_images: unknown file_format {kind!r:.80}.{nearest(kind, known)} It may be"
                f" {listing(known)}"
            )
        return cls(column, "jpeg" if kind == "jpg" else str(kind))

    @property
    def extension(self) -> str:
        return "jpg" if self.kind == "jpeg" else self.kind

    def write(self, table: pa.Table, file: Any) -> None:
        pillow = import_extra("PIL.Image", "write_images", "airloom[image]")
        require_columns([self.column], table.column_names, "write_images")
        array = image_of(self.column, table[self.column])
        channels = array.shape[2] if array.ndim == 3 else None
        mode = _MODES.get((str(array.dtype), channels))
        if mode not in _WRITES[self.kind] or 0 in array.shape:
            raise WriteError(
                f"write_images: column {self.column!r} holds an array of {array.dtype} of the shape"
                f" {array.shape}, which a {self.kind} image cannot hold: it takes"
                f" {_taken(_WRITES[self.kind])}, at least one pixel"
            )
        made = io.BytesIO()  # TIFF goes back to its beginning, where files may not
        pillow.fromarray(np.ascontiguousarray(array)).save(made, self.kind)
        file.write(made.getbuffer())


def image_of(name: str, column: pa.ChunkedArray) -> np.ndarray:
    """The array of a column's only row, which is a tensor or lists of lists.

    Raises:
        WriteError: it is null, or no array of two or three dimensions; names the column.
    """
    values = column.combine_chunks()
    if tensor.is_tensor(values.type) and not values.null_count:
        array: np.ndarray = tensor.to_numpy(values)[0]
    else:
        array = _of_lists(name, values)
    if array.ndim not in (2, 3):
        raise WriteError(
            f"write_images: column {name!r} holds arrays of the shape {array.shape}: an image has"
            " (height, width) or (height, width, channels)"
        )
    return array


def _of_lists(name: str, values: pa.Array) -> np.ndarray:
    shape = []
    while is_list(values.type):
        lengths = values.value_lengths().unique().to_pylist()
        if values.null_count or len(lengths) > 1:
            break
        shape.append(lengths[0] if lengths else 0)
        values = values.flatten()
    if pa.types.is_nested(values.type) or values.null_count or not shape:
        raise WriteError(
            f"write_images: column {name!r} has the type {values.type}, with nulls or lists of"
            " different lengths: an image is an array (height, width) or (height, width, channels)"
        )
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _taken(modes: tuple[str, ...]) -> str:
    return ", ".join(
        f"{kind} (height, width{f', {channels}' if channels else ''})"
        for (kind, channels), mode in _MODES.items()
        if mode in modes
    )
