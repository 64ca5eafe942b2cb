"""Writing datasets to tables that have a log, by code that is imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from air.data.arguments import check_names
from air.data.consumption import Consumption
from air.data.datasources.paths import PathLike
from air.data.formats import REFUSED
from air.executor.keywords import methods_suggest_keywords, refuses


@methods_suggest_keywords
class LakeWriteMethods(Consumption):
    """The part of :class:`air.data.Dataset` that writes to tables of Delta Lake and Iceberg."""

    @refuses(
        **REFUSED,
        filesystem="give storage_options, which the log is written with too",
        partition_by="give partition_cols",
        try_create_dir="the directory of a new table is made",
    )
    def write_delta(
        self,
        path: PathLike,
        *,
        mode: str = "append",
        partition_cols: Sequence[str] | None = None,
        schema_mode: str | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        """Write to a table of Delta Lake, which is made if there is none: all rows or none.

        Pieces of the data are written where they are, as Parquet files in a directory of this
        write inside the table. The log is told of all of them in one version, with what they have
        at least and at most. A write that fails removes its files; those that a program leaves
        that is killed are in no version, and ``DeltaTable.vacuum`` removes them.

        Several programs may append at a time. One that overwrites fails if another has written
        since it began, and one that appends if the columns were changed meanwhile.

        Types become those that there are: whole numbers without a sign the next wider ones with
        one (not ``uint64``), times in microseconds and with a zone in UTC, categories and views
        what they stand for, lists of a fixed size lists.

        Args:
            path: the directory of the table, or its URI (``s3://``, ``gs://``, ``abfs://`` ...).
            mode: if there is a table: ``"append"`` to it, ``"overwrite"`` its rows (older versions
                keep them), ``"error"``, or ``"ignore"``, which writes nothing.
            partition_cols: columns that a new table is divided by.
            schema_mode: rows of a table that is there must have its columns, of which those that
                they lack are null; numbers are cast where they fit. ``"merge"`` adds the columns
                that are new (with ``"append"`` in a version of its own, before the rows);
                ``"overwrite"``, with ``mode="overwrite"``, gives the table those of the rows.
            storage_options: as for :func:`air.data.read_delta`.

        Raises:
            FileExistsError: there is a table, and *mode* is ``"error"``.
            InvalidOption: an unknown mode, or *partition_cols* are not those of the table.
            ColumnNotFound: the table has no such column, or the rows have no such
                *partition_cols*.
            WriteError: there is no type for a column (arrays, durations, ``uint64``, parts of a
                microsecond), or its values do not fit the one of the table; a value is missing
                that must be there; another write came in between; or the table needs of writers
                what is not done here: conditions, generated columns, mapped names. Names it.
            ImportError: the extra ``delta`` is not installed.
        """
        from air.data.delta.writing import write_table

        names = (
            None
            if partition_cols is None
            else check_names("write_delta: partition_cols", partition_cols)
        )
        write_table(self, path, mode, names, schema_mode, storage_options)

    @refuses(
        **REFUSED,
        partition_cols="the table says how it is divided",
        schema_mode="change the table's columns with pyiceberg: table.update_schema()",
    )
    def write_iceberg(
        self,
        table_identifier: str,
        *,
        catalog: Any = None,
        catalog_kwargs: Mapping[str, Any] | None = None,
        mode: str = "append",
        snapshot_properties: Mapping[str, str] | None = None,
    ) -> None:
        """Write to a table of Apache Iceberg that is there: all rows or none, in one snapshot.

        Pieces of the data are written where they are, as Parquet files in the place of the table's
        data, divided as the table is. A write that fails removes its files. Several programs may
        append at a time; one that overwrites fails if another has written since it began.

        Rows must have columns of the table, of which those that they lack are null. Types become
        those of the table where nothing is lost: numbers wider ones, whole ones narrower ones that
        hold them, times in microseconds and with a zone in UTC, categories and views what they
        stand for. ``catalog.create_table(name, schema=ds.schema())`` of pyiceberg makes a table.

        Args:
            table_identifier, catalog, catalog_kwargs: as for :func:`air.data.read_iceberg`.
            mode: ``"append"`` to the table, or ``"overwrite"`` its rows (older snapshots keep
                them).
            snapshot_properties: what the snapshot's summary is to say besides.

        Raises:
            FileNotFoundError: there is no such table; names those that there are.
            InvalidOption: no such catalog or mode.
            ColumnNotFound: the table has no such column.
            WriteError: values of a column do not fit the type of the table, or one is missing that
                must be there; another write came in between; or the table has columns that are
                not written (UUIDs, parts that must have values). Names it.
            ImportError: the extra ``iceberg`` is not installed.
        """
        from air.data.iceberg.writing import write_table

        write_table(self, table_identifier, catalog, catalog_kwargs, mode, snapshot_properties)
