"""Writing datasets to files of text, and to files that are a row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from air.data.arguments import check_compression
from air.data.datasources.paths import PathLike, filesystem_of
from air.data.formats import REFUSED
from air.data.formats.binary import WHAT, BinaryFormat, RowNames
from air.data.formats.lines import TextFormat
from air.data.methods.writers import WriteMethods
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_text


@methods_suggest_keywords
class PlainWriteMethods(WriteMethods):
    """The part of :class:`air.data.Dataset` that writes values as they are."""

    @refuses(**REFUSED, encoding="files are UTF-8, which every value is")
    def write_text(
        self,
        path: PathLike,
        *,
        column: str | None = None,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        arrow_open_stream_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a column to a directory of text files, a line a row, as :meth:`write_parquet` does.

        :func:`air.data.read_text` reads them as the column ``text``, empty lines only with
        ``drop_empty_lines=False``.

        Args:
            column: which one; it may be left out if there is one only.
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            arrow_open_stream_args: as for :meth:`write_csv`.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            ColumnNotFound: there is no such column.
            WriteError: there are several columns and none is named; or it holds no text, nulls, or
                ends of lines; names the column.
        """
        if column is not None:
            check_text(column, "write_text: column")
            self.check_columns([column], "write_text")
        form = TextFormat(column, check_compression("write_text", arrow_open_stream_args))
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(**REFUSED, arrow_open_stream_args="files are compressed if their names end so")
    def write_binary_files(
        self,
        path: PathLike,
        column: str = "bytes",
        *,
        names: str | None = None,
        base_dir: PathLike | None = None,
        file_format: str = "bin",
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
    ) -> None:
        """Write the bytes of each row to a file of its own; text as UTF-8.

        They appear together, as files of :meth:`write_parquet` do. What
        :func:`air.data.read_binary_files` reads is written back so::

            ds = air.data.read_binary_files("/data/in", include_paths=True)
            ds.write_binary_files("/data/out", names="path", base_dir="/data/in")

        Args:
            column: with the bytes. Files whose names end with ``.gz`` and the like are compressed,
                as reading unpacks them.
            names: a column with the name of each file, ``"a.jpg"`` or ``"2024/a.jpg"``; files are
                named by the time of the write and their place in the rows if ``None``.
            base_dir: a directory or URI, below which the files in *names* are by their whole paths:
                what is behind it is their name.
            file_format: what names end with if there are no *names*.
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`; only
                ``mode="overwrite"`` replaces files that are there, and then all of them.

        Raises:
            NotADirectoryError, FileNotFoundError: as for :meth:`write_parquet`.
            FileExistsError: as for :meth:`write_parquet`, or a file of that name is there.
            ColumnNotFound: there is no such column.
            InvalidOption: *base_dir* without *names*, or *file_format* is no ending.
            WriteError: a row has no bytes; or its name is null, that of another row, leads out of
                the directory, or begins with ``.`` or ``_`` in some part, which readers leave out.
        """
        check_text(column, f"{WHAT}: column")
        self.check_columns([column], WHAT)
        row_names = None
        if names is not None:
            check_text(names, f"{WHAT}: names")
            self.check_columns([names], f"{WHAT}: names")
            base = "" if base_dir is None else filesystem_of(base_dir, filesystem)[1]
            row_names = RowNames(names, base)
        elif base_dir is not None:
            raise InvalidOption(f"{WHAT}: base_dir says what names are relative to: give names")
        ending = check_text(file_format, f"{WHAT}: file_format").removeprefix(".")
        if not ending or "/" in ending:
            raise InvalidOption(f"{WHAT}: file_format must be an ending, got {file_format!r:.80}")
        form = BinaryFormat(column, ending)
        self._write(path, filesystem, form, try_create_dir, mode, (), 1, row_names)
