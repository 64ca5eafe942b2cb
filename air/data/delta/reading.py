"""How datasets are made from Delta tables."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from air.data.arguments import check_names
from air.data.dataset import Dataset
from air.data.datasources.labels import PATH_COLUMN
from air.data.datasources.paths import PathLike
from air.data.delta.log import files_of
from air.data.delta.tables import (
    check_readable,
    check_storage_options,
    columns_of,
    filesystem_of_table,
    location_of,
    opened,
)
from air.data.errors import ReadError, require_columns
from air.data.lakes.files import ByName
from air.data.lakes.source import LakeDatasource
from air.data.reading.arguments import REFUSED_BY_READS
from air.data.reading.datasets import read_datasource
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag

WHAT = "read_delta"

_USE_FILTER = "use .filter(col(...) ...) on the result: it leaves out files and row groups as well"


@suggests_keywords
@refuses(
    **REFUSED_BY_READS
    | dict.fromkeys(("filter", "filters", "partition_filter", "partition_filters"), _USE_FILTER)
    | dict.fromkeys(("paths", "partitioning"), "the table's log says which files there are"),
    filesystem="give storage_options, which the log is read with too",
    ignore_missing_paths="a table is one path",
)
def read_delta(
    path: PathLike,
    *,
    version: int | str | datetime.datetime | None = None,
    columns: Sequence[str] | None = None,
    storage_options: Mapping[str, str] | None = None,
    parallelism: int = -1,
    include_paths: bool = False,
) -> Dataset:
    """The rows of a table of Delta Lake, as it is now or was.

    Which files there are, how many rows they have and what is in them at least and at most is
    read from the table's log, now. So counting reads no file, and ``filter(col("day") >= ...)``
    right after leaves out files and row groups by partition columns and statistics. Rows that
    deletion vectors remove are left out, and columns that were renamed (column mapping by name),
    added or widened since a file was written are what they are in the table.

    Rows come in the order of the times at which files were written, those of one time by name:
    the order of writing, as long as nothing was compacted. Types are those of the table,
    columns that are partitioned by too; times with a zone are in UTC.

    Args:
        path: the directory of the table, or its URI (``s3://``, ``gs://``, ``abfs://`` ...).
        version: a number, or a time (ISO 8601 text, ``datetime``) for what was the newest version
            then; ``None`` for the newest now.
        columns: the columns to read; ``select_columns`` right after has the same effect.
        storage_options: keys, region and the like for URIs, as deltalake takes them; what is not
            given is found in the environment.
        parallelism: pieces to read apart; -1 chooses.
        include_paths: add a column ``path`` with the file of each row, inside the table.

    Raises:
        FileNotFoundError: there is no table.
        InvalidOption: it has no such version.
        ColumnNotFound: it has no such column.
        ReadError: the log is damaged, or the table needs what is not supported: variants, column
            mapping by ``id``, renamed fields inside of columns, shallow clones.
        ImportError: the extra ``delta`` is not installed.
    """
    wanted = None if columns is None else check_names(f"{WHAT}: columns", columns)
    includes_path = check_flag(include_paths, f"{WHAT}: include_paths")
    location = location_of(WHAT, path)
    options = check_storage_options(WHAT, location, storage_options)
    table = opened(WHAT, location, options, version)
    check_readable(WHAT, table)
    schema, in_files = columns_of(WHAT, table)
    files = files_of(WHAT, table, in_files)
    if includes_path:
        if PATH_COLUMN in schema.names:
            raise ReadError(
                f"{WHAT}: the table has a column {PATH_COLUMN!r} itself, which include_paths would"
                " add: leave include_paths out"
            )
        schema = schema.append(pa.field(PATH_COLUMN, pa.string()))
        files = tuple(
            replace(file, constants={**file.constants, PATH_COLUMN: file.path}) for file in files
        )
    if wanted is not None:
        require_columns(wanted, schema.names, WHAT)
    source = LakeDatasource(
        f"Delta({location}, version {table.version()})",
        filesystem_of_table(WHAT, location, options),
        files,
        schema,
        ByName(in_files),
        wanted,
    )
    return read_datasource(source, parallelism=parallelism)
