"""How datasets are made of files of CSV and Parquet.

Readers of files import their source when they are called: most programs read one format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from air.data.arguments import check_names
from air.data.dataset import Dataset
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import PathLike, require_text
from air.data.errors import require_columns
from air.data.reading.arguments import REFUSED_BY_READS, given_files
from air.data.reading.datasets import read_datasource
from air.executor.keywords import refuses, suggests_keywords

_PARSE_OPTIONS = "use parse_options=pyarrow.csv.ParseOptions(delimiter=..., quote_char=...)"
_READ_OPTIONS = (
    "use read_options=pyarrow.csv.ReadOptions(column_names=[...], skip_rows=..., encoding=...)"
)
_CONVERT_OPTIONS = (
    "use convert_options=pyarrow.csv.ConvertOptions(column_types={...}, null_values=[...])"
)


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    **dict.fromkeys(("sep", "delimiter", "quotechar"), _PARSE_OPTIONS),
    **dict.fromkeys(("names", "header", "skiprows", "encoding"), _READ_OPTIONS),
    **dict.fromkeys(("dtype", "na_values", "parse_dates"), _CONVERT_OPTIONS),
    **dict.fromkeys(("usecols", "columns"), "use .select_columns([...]) on the result"),
    nrows="use .limit(n) on the result",
)
def read_csv(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    read_options: Any = None,
    parse_options: Any = None,
    convert_options: Any = None,
) -> Dataset:
    """The rows of CSV files with a line of names first, in the order of the files.

    An empty field is a missing value, in columns of text too, unless ``convert_options`` are
    given. Whole numbers that 64 bits cannot hold stay what they are in the file: text. Files may
    differ in their columns: a column that a file lacks is null there, and a column of whole
    numbers in one and of fractions in another holds floats in all.

    Args:
        paths: a file, a directory (files that end with ``.csv``, sorted), a pattern (``*``,
            ``?``, ``[...]``, and ``**`` for directories), a URI (Arrow's, such as
            ``s3://bucket/key``, whose server and region are those of ``AWS_ENDPOINT_URL`` and
            ``AWS_REGION``, or of ``?endpoint_override=...&scheme=http&region=...`` behind
            it, and whose credentials are found in the environment of whoever reads, workers too;
            fsspec's, such as ``memory://``, with the extra ``fsspec``; or a table that comes with
            the package: ``example://iris.csv``, ``example://iris.parquet``,
            ``example://breast_cancer.csv``), or a list of them. Compressed
            files are known by their ending.
        filesystem: a ``pyarrow.fs.FileSystem`` or fsspec one that all paths are in.
        parallelism: pieces to read apart; -1 chooses.
        partitioning: columns that directories give: those named ``name=value`` unless it says
            otherwise; see :class:`air.data.Partitioning`. ``None`` for none.
        ignore_missing_paths: leave out paths that do not exist, as long as one does.
        include_paths: add a column ``path`` with the file of each row.
        arrow_open_stream_args: how to open files: ``{"compression": "gzip"}`` where the ending
            does not tell, ``{"buffer_size": bytes}``.
        read_options: a ``pyarrow.csv.ReadOptions``; parse_options and convert_options likewise.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: a file cannot be parsed (names it and the row), or a column holds numbers in
            one file and text in another (names both). Files are looked at now: small ones
            whole, of large ones the beginning, up to 256 of them. The rest is found out when
            it is read.
    """
    from air.data.datasources.csv import CSVDatasource

    given = given_files(
        "read_csv",
        (".csv",),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    require_text(given.files, "read_csv")
    source = CSVDatasource(
        given.files,
        includes_path=given.includes_path,
        opening=given.opening,
        read_options=read_options,
        parse_options=parse_options,
        convert_options=convert_options,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    **dict.fromkeys(("filter", "filters"), "use .filter(...) on the result"),
    tensor_column_schema="columns of arrays are known by what the file says",
    arrow_open_stream_args="Parquet files say themselves how they are compressed",
)
def read_parquet(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    columns: Sequence[str] | None = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
) -> Dataset:
    """The rows of Parquet files, in the order of the files.

    Files may differ in their columns and types, as those of :func:`read_csv` may. An index that
    pandas wrote is a column, ``__index_level_0__`` if it had no name.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths: as for
            :func:`read_csv`; a directory's files are those that end with ``.parquet``.
        columns: the columns to read; ``select_columns`` right after has the same effect.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ColumnNotFound: no file has such a column.
        ReadError: a file is no Parquet file, or a column has types in two files that do not go
            together; of the first 256 files this is found out now.
    """
    from air.data.datasources.parquet import ParquetDatasource

    wanted = None if columns is None else check_names("read_parquet: columns", columns)
    given = given_files(
        "read_parquet",
        (".parquet", ".pq"),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
    )
    source = ParquetDatasource(given.files, includes_path=given.includes_path).checked()
    if wanted is not None:
        assert source.common is not None
        require_columns(wanted, source.common.names, "read_parquet")
        source = source.with_columns(wanted)
    return read_datasource(source, parallelism=parallelism)
