"""Writing datasets to files.

Formats that few programs write are imported by the methods that write them: a program's first
dataset would wait for all of them otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from air.data.arguments import check_compression, check_names
from air.data.consumption import Consumption
from air.data.datasink import Datasink
from air.data.datasources.paths import PathLike
from air.data.formats import REFUSED, FileFormat
from air.data.writing.staging import check_mode
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag

if TYPE_CHECKING:
    from air.data.formats.binary import RowNames
    from air.data.webdataset.coding import Coder


@methods_suggest_keywords
class WriteMethods(Consumption):
    """The part of :class:`air.data.Dataset` that writes files."""

    def write_parquet(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        partition_cols: Sequence[str] | None = None,
        **arrow_parquet_args: Any,
    ) -> None:
        """Write a directory of Parquet files: all of them or none.

        There is a file for each block that has rows, written where the block is: as many as
        ``repartition(n)`` or ``random_shuffle(num_blocks=n)`` make, however large or small, and
        :meth:`num_blocks` of blocks that exist. Where a read, or an operator on one block, gives
        several, these go into one file until it has 64 MiB, or less where memory is short. They
        appear when all are there. What a program that was killed has left is hidden, and the next
        write to *path* removes it, or finishes it if all files were there.

        In object stores (``s3://``, ``gs://``), and on file systems of fsspec, a file appears whole
        and many of them one after the other, within moments, when all are written; somebody who
        lists the directory just then sees some. Hidden files of a write that was killed are removed
        by the first write to *path* after a week.

        Types come back, with three exceptions that Parquet has no place for: times of whole
        seconds have milliseconds (``timestamp[s]``, ``time32[s]``), and ``date64`` is ``date32``.

        Args:
            path: the directory; files that are in it stay. May be a URI.
            filesystem: a ``pyarrow.fs.FileSystem`` or fsspec one that *path* is in.
            try_create_dir: make the directory, and what it is in, if need be.
            mode: if the directory holds something: ``"append"`` to it, ``"overwrite"`` it (all
                that is in it is gone once the new files are there: in one step on a disk of this
                machine; in an object store new files come before old ones go, and readers may see
                both for moments),
                ``"error"``, or ``"ignore"``, which writes nothing.
            partition_cols: columns of text or whole numbers that are written as directories,
                ``year=2024``, and not into the files; reading gives them back, behind the
                others, text of digits alone as whole numbers.
            arrow_parquet_args: as ``pyarrow.parquet.write_table`` takes, such as
                ``compression="zstd"``.

        Raises:
            NotADirectoryError: *path* is a file.
            FileNotFoundError: there is no such directory, and none is to be made.
            FileExistsError: *path* holds something, and *mode* is ``"error"``.
            InvalidOption: an unknown option or mode; names the nearest.
            ColumnNotFound: a name in *partition_cols* is no column.
            WriteError: a type that Parquet (intervals) or names of directories do not keep; names
                the column.
            UnsupportedValue: columns of different blocks do not go together.
        """
        names = (
            ()
            if partition_cols is None
            else check_names("write_parquet: partition_cols", partition_cols)
        )
        from air.data.formats.parquet import ParquetFormat

        form = ParquetFormat.checked(arrow_parquet_args)
        self._write(path, filesystem, form, try_create_dir, mode, names)

    @refuses(
        **REFUSED,
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
        mode: str = "append",
        arrow_open_stream_args: Mapping[str, Any] | None = None,
        write_options: Any = None,
    ) -> None:
        """Write a directory of CSV files with a header, as :meth:`write_parquet` does.

        A CSV file has no types, so :func:`air.data.read_csv` gives those that the values look like,
        unless it is told others: small numbers, and floats that are all whole, are ``int64``,
        other floats and decimals ``double``, text of digits numbers, categories and times of day
        text; times have nanoseconds, and with a zone are told in UTC. Empty text and NaN are null.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            arrow_open_stream_args: ``{"compression": "gzip"}`` (or ``"bz2"``, ``"zstd"``,
                ``"lz4"``, ``"brotli"``) compresses the files, whose names end accordingly.
            write_options: a ``pyarrow.csv.WriteOptions``.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: CSV cannot hold a column's type (lists, structs, arrays, bytes, spans of
                time); names the column.
        """
        from air.data.formats.csv import CSVFormat

        form = CSVFormat.of(write_options, arrow_open_stream_args)
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(
        **REFUSED,
        pandas_json_args_fn="files hold an object a line, without options",
        **dict.fromkeys(("orient", "lines"), "files hold an object a line, without options"),
    )
    def write_json(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        arrow_open_stream_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a directory of JSON files, an object a line, as :meth:`write_parquet` does.

        :func:`air.data.read_json` gives whole numbers as ``int64`` and others as ``double``, lists
        of one length as lists, and columns without a value without a type. Dates, times, points in
        time (ISO 8601, those with a zone in UTC), decimals and categories are text there, which
        ``cast`` of an expression makes what they were.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            arrow_open_stream_args: as for :meth:`write_csv`.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: JSON cannot hold a column's type (bytes, durations, maps, arrays), NaN, an
                infinite number, or a whole one above ``2**63 - 1``; names the column.
        """
        from air.data.formats.json import JSONFormat

        form = JSONFormat(check_compression("write_json", arrow_open_stream_args))
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(**REFUSED, tf_schema="columns say what kind of feature they become")
    def write_tfrecords(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        arrow_open_stream_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a directory of TFRecord files, an ``Example`` a row, as :meth:`write_parquet` does.

        Whole numbers and booleans become lists of ints, numbers with fractions lists of floats
        (of 32 bits, which is all that there is: digits beyond those are lost), text and bytes
        lists of bytes; a value is a list of one, and a feature without one is left out. So
        :func:`air.data.read_tfrecords` gives ``int64``, ``float`` and ``binary``, and lists of one
        value as that value; a column without any is not there.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            arrow_open_stream_args: as for :meth:`write_csv`; TensorFlow reads ``"gzip"``.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: an ``Example`` cannot hold a column's type (times, decimals, structs,
                arrays), or a number that is too large; names the column.
            ImportError: the extra ``tfrecords`` is not installed.
        """
        from air.data.tfrecords.format import TFRecordsFormat
        from air.data.tfrecords.framing import checksum

        checksum()
        form = TFRecordsFormat(check_compression("write_tfrecords", arrow_open_stream_args))
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(**REFUSED)
    def write_webdataset(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        arrow_open_stream_args: Mapping[str, Any] | None = None,
        encoder: Coder = True,
    ) -> None:
        """Write a directory of WebDataset archives, a sample a row, as :meth:`write_parquet` does.

        The column ``__key__`` names a sample, and each other column one of its files by its suffix;
        what is null has no file, nor have columns that begin with ``__``. The bytes of an archive
        depend on nothing but the rows.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            arrow_open_stream_args: as for :meth:`write_csv`.
            encoder: ``True`` writes values by the last part of their suffix, as
                :func:`air.data.read_webdataset` reads them; bytes and text as they are. ``None``
                takes bytes and text alone. A function, or a list of them in turn, gets a row and
                gives the sample as a dictionary of bytes.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: a row has no key, or one that would not be read back; or there is no way to
                write a value: names the column.
        """
        from air.data.webdataset.coding import check_coder
        from air.data.webdataset.format import WebDatasetFormat

        form = WebDatasetFormat(
            check_coder("write_webdataset: encoder", encoder),
            check_compression("write_webdataset", arrow_open_stream_args),
        )
        self._write(path, filesystem, form, try_create_dir, mode)

    @refuses(**REFUSED, arrow_open_stream_args="Avro files are compressed inside: give codec")
    def write_avro(
        self,
        path: PathLike,
        *,
        filesystem: Any = None,
        try_create_dir: bool = True,
        mode: str = "append",
        codec: str = "deflate",
    ) -> None:
        """Write a directory of Avro files, as :meth:`write_parquet` does.

        Whole numbers become ``int`` or ``long``, categories text, times of whole seconds
        milliseconds, and times with a zone times in UTC; every field may be null.

        Args:
            path, filesystem, try_create_dir, mode: as for :meth:`write_parquet`.
            codec: how blocks in the files are compressed: ``"deflate"``, ``"bzip2"``, ``"xz"``, or
                ``"null"`` for not.

        Raises:
            NotADirectoryError, FileNotFoundError, FileExistsError, UnsupportedValue: as for
                :meth:`write_parquet`.
            WriteError: Avro has no such type (arrays, durations, ``uint64``, nanoseconds), or no
                such name for a field; names the column.
            ImportError: the extra ``avro`` is not installed.
        """
        from air.data.avro.format import AvroFormat

        self._write(path, filesystem, AvroFormat.checked(codec), try_create_dir, mode)

    def write_datasource(self, datasource: Datasink, **write_args: Any) -> None:
        """Write to a target of one's own; see :class:`air.data.Datasink`.

        Args:
            datasource: the target; also a :class:`air.data.Datasource` that is a ``Datasink``.
            write_args: what its ``write`` takes besides.

        Raises:
            TypeError: no ``Datasink``.
            InvalidOption: its ``write`` takes no such arguments.
        """
        if not isinstance(datasource, Datasink):
            raise TypeError(
                "write_datasource takes an air.data.Datasink, which has a method write(tables,"
                f" context), got {datasource!r:.80}"
            )
        if "ray_remote_args" in write_args:
            raise InvalidOption(
                f"write_datasource has no option 'ray_remote_args': {REFUSED['ray_remote_args']}"
            )
        from air.data.writing.pieces import write_to

        write_to(self, datasource, write_args)

    def write_datasink(self, datasink: Datasink) -> None:
        """Write to a target of one's own, as :meth:`write_datasource` does."""
        self.write_datasource(datasink)

    def _write(
        self,
        path: PathLike,
        filesystem: Any,
        form: FileFormat,
        make_directory: object,
        mode: object,
        partition_cols: tuple[str, ...] = (),
        rows_per_file: int | None = None,
        row_names: RowNames | None = None,
    ) -> None:
        what = f"write_{form.name}"
        from air.data.writing.file_sink import write_files

        write_files(
            self,
            path,
            filesystem,
            form,
            make_directory=check_flag(make_directory, f"{what}: try_create_dir"),
            mode=check_mode(what, mode),
            partition_cols=partition_cols,
            rows_per_file=rows_per_file,
            row_names=row_names,
        )
