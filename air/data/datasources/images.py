"""Files of images, decoded by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks import tensor
from air.data.datasources.files import FileDatasource, Fragment, open_unpacked
from air.data.errors import ReadError, UnsupportedValue
from air.executor.extras import import_extra

IMAGE_COLUMN = "image"
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")

MODES: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "1": (np.bool_, ()),
    "L": (np.uint8, ()),
    "LA": (np.uint8, (2,)),
    "RGB": (np.uint8, (3,)),
    "RGBA": (np.uint8, (4,)),
    "CMYK": (np.uint8, (4,)),
    "YCbCr": (np.uint8, (3,)),
    "LAB": (np.uint8, (3,)),
    "HSV": (np.uint8, (3,)),
    "I": (np.int32, ()),
    "I;16": (np.uint16, ()),
    "F": (np.float32, ()),
}
"""Pillow's modes that are arrays: the type of their numbers, and the shape of a pixel."""

_SHORT = "I;16"
"""Also with the order of its bytes behind it."""
_ALSO = {f"{_SHORT}{order}": _SHORT for order in "BLN"} | {"PA": "RGBA", "RGBX": "RGB"}
_EXPANSION = 10.0


@dataclass(frozen=True)
class ImageDatasource(FileDatasource):
    """An image a file, in the column ``image``: arrays of one shape if all have one.

    Attributes:
        size: height and width that images are brought to; ``None`` to leave them.
        mode: Pillow's mode that images are brought to; ``None`` to leave them, save that numbers
            of a palette become its colours.
    """

    size: tuple[int, int] | None = None
    mode: str | None = None

    @property
    def name(self) -> str:
        return f"Image({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    @property
    def remedy(self) -> str:
        return ", as mode='RGB' does with grey and coloured images"

    def num_rows(self) -> int:
        return len(self.files.paths)

    def look(self, path: str) -> pa.Schema:
        with self._opened(path) as image:
            kind, pixel = MODES[self._mode_of(image)]
            height, width = self.size or (image.height, image.width)
            shape = (0, height, width, *pixel)
        return pa.schema({IMAGE_COLUMN: tensor.from_numpy(np.empty(shape, kind)).type})

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        if self.selected is not None and IMAGE_COLUMN not in self.selected:
            yield pa.table({IMAGE_COLUMN: pa.nulls(1)}).select([])
            return
        with self._opened(fragment.path) as image:
            array = self._array(image)
        known = None if self.common is None else self.common.field(IMAGE_COLUMN).type
        is_ragged = known is not None and pa.types.is_list(known)
        made = tensor.as_lists([array]) if is_ragged else tensor.from_numpy(array[np.newaxis])
        yield pa.table({IMAGE_COLUMN: made})

    def _array(self, image: Any) -> np.ndarray:
        mode = self._mode_of(image)
        if image.mode != mode and not (mode == _SHORT and image.mode.startswith(_SHORT)):
            image = image.convert(mode)
        if self.size is not None and (image.height, image.width) != self.size:
            image = image.resize(self.size[::-1])
        return np.asarray(image).astype(MODES[mode][0], copy=False)

    def _mode_of(self, image: Any) -> str:
        """The mode that *image* is brought to."""
        if self.mode is not None:
            return self.mode
        mode: str = _ALSO.get(image.mode, image.mode)
        if mode == "P":
            mode = "RGBA" if "transparency" in image.info else "RGB"
        if mode not in MODES:
            raise UnsupportedValue(f"it has the mode {mode!r}: give mode='RGB', or another one")
        return mode

    @contextmanager
    def _opened(self, path: str) -> Iterator[Any]:
        """The image, of which only what comes before its pixels has been read.

        Raises:
            ReadError: it cannot be decoded; names the file.
        """
        pillow = import_extra("PIL.Image", "read_images", "airloom[image]")
        with open_unpacked(self.files, path) as file:
            content = _Readable(file)
            try:
                with pillow.open(content) as image:
                    yield image
            except pillow.UnidentifiedImageError:  # whose text tells of our object, not of the file
                raise ReadError(
                    f"{path} cannot be read as an image: cannot identify its format"
                ) from None
            except OSError as error:
                if error.errno is not None:
                    raise
                raise _broken(path, error) from None
            except Exception as error:  # decoders raise errors of any kind
                raise _broken(path, error) from None


class _Readable(io.RawIOBase):
    """A file of Arrow as Pillow wants it: it tells nothing of itself but what it holds."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(None if size < 0 else size)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        position: int = self._file.tell()
        return position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _broken(path: str, error: Exception) -> ReadError:
    return ReadError(f"{path} cannot be read as an image: {error or type(error).__name__}")
