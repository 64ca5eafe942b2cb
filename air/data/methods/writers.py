"""Writing datasets to files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from air.data import writing
from air.data.consumption import Consumption
from air.data.datasources.paths import PathLike
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag


@methods_suggest_keywords
class WriteMethods(Consumption):
    """The part of :class:`air.data.Dataset` that writes files."""

    def write_parquet(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        **arrow_parquet_args: Any,
    ) -> None:
        """Write a directory of Parquet files: all of them or none.

        Pieces of the data are written where they are, each to a file of its own (to several
        where it has more than 64 MiB). They appear when all are there; what is left of a program
        that was killed before is a hidden directory, which nothing reads.

        Args:
            path: the directory; files that are in it stay. May be a URI.
            filesystem: a ``pyarrow.fs.FileSystem`` or fsspec one that *path* is in.
            try_create_dir: make the directory, and what it is in, if need be.
            arrow_parquet_args: as ``pyarrow.parquet.write_table`` takes, such as
                ``compression="zstd"``.

        Raises:
            NotADirectoryError: *path* is a file.
            FileNotFoundError: there is no such directory, and none is to be made.
            InvalidOption: an unknown option; names the nearest.
            UnsupportedValue: columns of different blocks do not go together.
        """
        check_flag(try_create_dir, "write_parquet: try_create_dir")
        checked = writing.ParquetFormat.checked(arrow_parquet_args)
        writing.write_files(self, path, filesystem, checked, make_directory=try_create_dir)

    @refuses(
        **writing.REFUSED,
        arrow_csv_args_fn="give write_options",
        **dict.fromkeys(
            ("sep", "delimiter", "header", "quoting"),
            "use write_options=pyarrow.csv.WriteOptions(include_header=..., delimiter=...,"
            " quoting_style=...)",
        ),
    )
    def write_csv(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        arrow_open_stream_args: Mapping[str, Any] | None = None,
        write_options: Any = None,
    ) -> None:
        """Write a directory of CSV files with a header, as :meth:`write_parquet` does.

        Args:
            path, filesystem, try_create_dir: as for :meth:`write_parquet`.
            arrow_open_stream_args: ``{"compression": "gzip"}`` (or ``"bz2"``, ``"zstd"``,
                ``"lz4"``, ``"brotli"``) compresses the files, whose names end accordingly.
            write_options: a ``pyarrow.csv.WriteOptions``.

        Raises:
            NotADirectoryError, FileNotFoundError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: CSV cannot hold a column's type; names the column.
        """
        check_flag(try_create_dir, "write_csv: try_create_dir")
        checked = writing.CSVFormat.of(write_options, arrow_open_stream_args)
        writing.write_files(self, path, filesystem, checked, make_directory=try_create_dir)
