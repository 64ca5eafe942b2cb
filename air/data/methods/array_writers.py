"""Writing datasets to files of arrays: Arrow's, numpy's, and images.

Formats are imported by the methods that write them, as in `writers`.
"""

from __future__ import annotations

from typing import Any

from air.data.datasources.paths import PathLike
from air.data.formats import REFUSED
from air.data.methods.writers import WriteMethods
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses


@methods_suggest_keywords
class ArrayWriteMethods(WriteMethods):
    """The part of :class:`air.data.Dataset` that writes files of arrays."""

    @refuses(**REFUSED, arrow_open_stream_args="files are compressed inside: give compression")
    def write_arrow(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        compression: str | None = "lz4",
        format: str = "file",
    ) -> None:
        """Write a directory of Arrow IPC files, as :meth:`write_parquet` does.

        Programs that read Feather (version 2) read them. Every type comes back as it was.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            compression: of the values: ``"lz4"``, ``"zstd"``, or ``None``.
            format: ``"file"``, whose parts can be read by themselves, or ``"stream"``, which can be
                read while it is written.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            InvalidOption: an unknown option, compression or format; names the nearest.
        """
        from air.data.formats.arrow import ArrowFormat

        form = ArrowFormat.checked(format, compression)
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(**REFUSED, arrow_open_stream_args="numpy reads files as they are")
    def write_numpy(
        self,
        path: PathLike,
        *,
        column: str | None = None,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
    ) -> None:
        """Write the values of a column to a directory of ``.npy`` files, as :meth:`write_parquet`.

        Each is an array of one value, or one array, a row; :func:`air.data.read_numpy` reads them
        as the column ``data``. Text and bytes take as much as the longest of a file.

        Args:
            column: which one; it may be left out if there is one only.
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            ColumnNotFound: there is no such column.
            WriteError: there are several columns and none is named; or an array has no equivalent
                for its type (lists, structs, decimals, categories, times with a zone), for nulls
                (save among times), or for text with zeros at its end; names the column.
        """
        if column is not None:
            if not isinstance(column, str):
                raise InvalidOption(f"write_numpy: column must be text, got {column!r:.80}")
            self.check_columns([column], "write_numpy")
        from air.data.formats.npy import NumpyFormat

        self._write(path, filesystem, NumpyFormat(column), try_create_dir, mode)

    @refuses(**REFUSED, arrow_open_stream_args="images are compressed by themselves")
    def write_images(
        self,
        path: PathLike,
        column: str,
        file_format: str = "png",
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
    ) -> None:
        """Write the arrays of a column to a directory of images, a file for each; needs Pillow.

        They appear together, as files of :meth:`write_parquet` do, in the order of the rows. Other
        columns are not written: :meth:`write_parquet` keeps them beside their arrays.

        Args:
            column: of arrays ``(height, width)`` or ``(height, width, channels)``, of one shape or
                of several.
            file_format: ``"png"``, ``"tiff"`` or ``"bmp"``, which keep every number, or ``"jpeg"``,
                which does not.
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError: as for :meth:`write_parquet`.
            InvalidOption: an unknown format; names the nearest.
            ColumnNotFound: there is no such column.
            WriteError: a row holds no array, or one that the format cannot hold (PNG: ``uint8`` of
                1 to 4 channels, ``bool`` and ``uint16`` of one; TIFF ``float32`` too); names the
                column, the type and the shape.
            ImportError: Pillow is not installed; says how to install it.
        """
        from air.data.formats.images import ImageFormat

        form = ImageFormat.checked(column, file_format)
        self.check_columns([column], "write_images")
        self._write(path, filesystem, form, try_create_dir, mode, rows_per_file=1)
