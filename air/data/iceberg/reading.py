"""How datasets are made from Iceberg tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from air.data.arguments import check_names
from air.data.dataset import Dataset
from air.data.errors import ReadError, require_columns
from air.data.iceberg.columns import ByNumber, mapped_names, numbered
from air.data.iceberg.filtering import row_filter_of
from air.data.iceberg.planning import files_of
from air.data.iceberg.tables import arrow_columns, pyiceberg, table_of
from air.data.lakes.source import LakeDatasource
from air.data.reading.arguments import REFUSED_BY_READS
from air.data.reading.datasets import read_datasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import listing

WHAT = "read_iceberg"


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    **dict.fromkeys(("filter", "filters"), "give row_filter, or use .filter(...) on the result"),
    columns="give selected_fields",
    filesystem="the catalog's properties say how its files are read",
    scan_kwargs="give row_filter, selected_fields and snapshot_id",
)
def read_iceberg(
    table_identifier: str,
    *,
    catalog: Any = None,
    catalog_kwargs: Mapping[str, Any] | None = None,
    row_filter: Any = None,
    selected_fields: Sequence[str] = ("*",),
    snapshot_id: int | None = None,
    parallelism: int = -1,
) -> Dataset:
    """The rows of an Iceberg table, as it is now or was in a snapshot.

    Which files there are, how many rows they have and what is in them at least and at most is
    read from the table's metadata, now. So counting reads no file, and *row_filter*, or
    ``filter(col("day") >= ...)`` right after, leaves out files; the latter row groups as well.
    Columns are those of the table, however they were called when a file was written; one that a
    file lacks is null. Rows that were removed by their positions are left out.

    Rows come in the order of the commits that added their files, files of one commit by name.
    Types are those of the table; UUIDs are their 16 bytes.

    Args:
        table_identifier: ``"namespace.table"``.
        catalog: a catalog of pyiceberg, or the name of one in its configuration; by default its
            default one.
        catalog_kwargs: properties of the catalog, as ``pyiceberg.catalog.load_catalog`` takes
            them, with its ``name`` if *catalog* does not say it: ``{"type": "sql", "uri": ...}``.
        row_filter: keeps rows for which it is true: text (``"a > 1 and b is not null"``), or an
            expression of pyiceberg.
        selected_fields: the columns to read.
        snapshot_id: ``None`` for the newest snapshot; an older one has the columns of its time.
        parallelism: pieces to read apart; -1 chooses.

    Raises:
        FileNotFoundError: there is no such table; names those that there are.
        InvalidOption: no such catalog or snapshot, or *row_filter* does not go with the table.
        ColumnNotFound: it has no such column.
        ReadError: it needs what is not supported: rows removed by their values or by files of
            version 3, columns with defaults, files that are no Parquet, fields inside of columns
            that were renamed (that one when the file is read). Names it.
        ImportError: the extra ``iceberg`` is not installed.
    """
    wanted = check_names(f"{WHAT}: selected_fields", selected_fields)
    table = table_of(WHAT, table_identifier, catalog, catalog_kwargs)
    snapshot = _snapshot(table, snapshot_id)
    schema = table.schema()
    if snapshot_id is not None and snapshot.schema_id is not None:
        schema = table.schemas()[snapshot.schema_id]
    for field in schema.fields:
        if field.initial_default is not None:
            raise ReadError(
                f"{WHAT}: column {field.name!r} has a value where files lack it (initial-default),"
                " which is not supported"
            )
    parsed, rows, needed = row_filter_of(WHAT, row_filter, schema)
    columns = arrow_columns(WHAT, schema)
    if wanted != ("*",):
        require_columns(wanted, columns.names, WHAT)
    if schema.schema_id != table.schema().schema_id:
        # Files are planned with the columns of now, which may be others.
        parsed = pyiceberg(WHAT, "expressions").AlwaysTrue()
    filesystem, files = files_of(WHAT, table, snapshot, schema, parsed)
    numbers = dict(numbered(pyiceberg(WHAT, "io.pyarrow").schema_to_pyarrow(schema)))
    mapping = table.name_mapping()
    source = LakeDatasource(
        f"Iceberg({table_identifier}, {_described(snapshot)})",
        filesystem,
        files,
        columns,
        ByNumber(numbers, {} if mapping is None else mapped_names(mapping.root, schema)),
        None if wanted == ("*",) else wanted,
        row_filter=rows,
        filtered_by=tuple(needed),
    )
    return read_datasource(source, parallelism=parallelism)


def _snapshot(table: Any, snapshot_id: object) -> Any:
    if snapshot_id is None:
        return table.current_snapshot()
    known = [snapshot.snapshot_id for snapshot in table.snapshots()]
    if snapshot_id not in known:
        raise InvalidOption(
            f"{WHAT}: the table has no snapshot {snapshot_id!r:.80}; the newest are"
            f" {listing(map(str, known[-5:])) or '(none)'}"
        )
    return table.snapshot_by_id(snapshot_id)


def _described(snapshot: Any) -> str:
    return "empty" if snapshot is None else f"snapshot {snapshot.snapshot_id}"
