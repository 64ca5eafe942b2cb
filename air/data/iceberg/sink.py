"""Writing Parquet files that a table's next snapshot has, all of them or none."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs, parquet

from air.data.datasink import Datasink, WriteContext
from air.data.errors import WriteError, require_columns
from air.data.iceberg.partitions import divided
from air.data.iceberg.tables import arrow_columns, filesystem_of_files, pyiceberg
from air.data.lakes.fitting import TableTypes
from air.data.lakes.types import has_required_parts, plain
from air.data.writing.staging import WriteMode

WHAT = "write_iceberg"

TYPES = TableTypes(
    WHAT,
    "an Iceberg table",
    (
        pa.types.is_boolean,
        lambda kind: kind in (pa.int32(), pa.int64(), pa.time64("us")),
        pa.types.is_float32,
        pa.types.is_float64,
        pa.types.is_date32,
        pa.types.is_fixed_size_binary,
    ),
    {
        pa.int8(): pa.int32(),
        pa.int16(): pa.int32(),
        pa.uint8(): pa.int32(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.float16(): pa.float32(),
        pa.date64(): pa.date32(),
        pa.time32("s"): pa.time64("us"),
        pa.time32("ms"): pa.time64("us"),
        pa.time64("ns"): pa.time64("us"),
    },
)


class IcebergSink(Datasink):
    """New files in the place of a table's data, whose names begin alike."""

    def __init__(self, table: Any, mode: WriteMode, properties: Mapping[str, str]) -> None:
        self._table = table
        self._mode = mode
        self._properties = dict(properties)
        self._metadata = table.metadata
        self._io_properties = dict(table.io.properties)
        self._columns = arrow_columns(WHAT, table.schema())
        self._required = _checked(table)
        now = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}"
        self._stem = f"{now}-{secrets.token_hex(4)}"
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        # The catalog is for the program alone.
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    @property
    def name(self) -> str:
        return "iceberg"

    def write(self, tables: Iterator[pa.Table], context: WriteContext) -> list[Any]:
        """Write files; gives what a manifest has of each."""
        metadata = self._metadata
        written = []
        for number, table in enumerate(tables):
            name = f"{self._stem}-{context.index:06d}-{number:03d}.parquet"
            rows = self._fitted(table)
            for key, inside in divided(WHAT, rows, metadata.spec(), metadata.schema()):
                written.append(self._write(name, key, inside))
        return written

    def _fitted(self, table: pa.Table) -> pa.Table:
        require_columns(table.column_names, self._columns.names, f"{WHAT}: the table")
        made = TYPES.fitted(TYPES.adapted(table), self._columns)
        TYPES.check_not_null(made, self._required)
        return made

    def _write(self, name: str, key: Any, table: pa.Table) -> Any:
        arrow = pyiceberg(WHAT, "io.pyarrow")
        manifest = pyiceberg(WHAT, "manifest")
        metadata, schema = self._metadata, self._metadata.schema()
        numbered = arrow.schema_to_pyarrow(schema)
        fields = [pa.field(c.name, plain(c.type), metadata=c.metadata) for c in numbered]
        rows = pa.Table.from_arrays(table.columns, schema=pa.schema(fields))
        location = self._places().new_data_location(name, key)
        io = arrow.PyArrowFileIO(self._io_properties)
        codec = metadata.properties.get("write.parquet.compression-codec", "zstd")
        footers: list[Any] = []
        output = io.new_output(location)
        with output.create(overwrite=True) as file:
            parquet.write_table(
                rows, file, compression=codec, store_schema=False, metadata_collector=footers
            )
        found = arrow.data_file_statistics_from_parquet_metadata(
            footers[0],
            arrow.compute_statistics_plan(schema, metadata.properties),
            arrow.parquet_path_to_id_mapping(schema),
        )
        return manifest.DataFile.from_args(
            content=manifest.DataFileContent.DATA,
            file_path=location,
            file_format=manifest.FileFormat.PARQUET,
            partition=pyiceberg(WHAT, "typedef").Record() if key is None else key.partition,
            file_size_in_bytes=len(output),
            sort_order_id=None,
            spec_id=metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **found.to_serialized_dict(),
        )

    def _places(self) -> Any:
        return pyiceberg(WHAT, "table.locations").load_location_provider(
            self._metadata.location, self._metadata.properties
        )

    def on_write_complete(self, write_results: list[Any]) -> None:
        written = [file for result in write_results for file in result]
        gone = []
        if self._mode is WriteMode.OVERWRITE:
            tasks = list(self._table.scan().plan_files())
            if any(task.delete_files for task in tasks):
                raise WriteError(
                    f"{WHAT}: rows were removed from the table by files of their own, which"
                    " mode='overwrite' does not replace: compact the table with another program"
                )
            gone = [task.file for task in tasks]
        if not written and not gone:
            return
        errors = pyiceberg(WHAT, "exceptions")
        change = self._table.transaction()
        update = change.update_snapshot(self._properties)
        # From now on the files may be in the table, and must not be removed.
        self._told = True
        try:
            with update.overwrite() if gone else update.fast_append() as snapshot:
                for file in gone:
                    snapshot.delete_data_file(file)
                for file in written:
                    snapshot.append_data_file(file)
            change.commit_transaction()
        except (errors.CommitFailedException, errors.ValidationException) as error:
            raise WriteError(
                f"{WHAT}: nothing was written, because the table was changed by another write"
                f" meanwhile: {error}; write again"
            ) from error

    def on_write_failed(self, write_results: list[Any], error: BaseException) -> None:
        if self._told and self._may_be_in_table():
            return
        place = self._places().data_path
        system, (directory,) = filesystem_of_files(WHAT, self._table, [place])
        selector = fs.FileSelector(directory, allow_not_found=True, recursive=True)
        for info in system.get_file_info(selector):
            if info.type == fs.FileType.File and self._stem in info.base_name:
                system.delete_file(info.path)

    def _may_be_in_table(self) -> bool:
        """Whether the table has the files, or cannot be asked."""
        try:
            tasks = list(self._table.refresh().scan().plan_files())
        except Exception:  # they are not seen, and removing orphan files removes them
            return True
        return any(self._stem in task.file.file_path for task in tasks)


def _checked(table: Any) -> tuple[str, ...]:
    """The columns of a table that must have values.

    Raises:
        WriteError: a column is of a kind that is not written; names it.
    """
    for column in pyiceberg(WHAT, "io.pyarrow").schema_to_pyarrow(table.schema()):
        if has_required_parts(column.type):
            raise WriteError(
                f"{WHAT}: the table's column {column.name!r} has parts that must have values, which"
                " is not checked here"
            )
        if isinstance(column.type, pa.UuidType):
            raise WriteError(
                f"{WHAT}: the table's column {column.name!r} holds UUIDs, which are not written"
            )
    return tuple(field.name for field in table.schema().fields if field.required)
