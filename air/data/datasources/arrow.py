"""Files in the formats of Arrow's interprocess communication (IPC), of which Feather 2 is one.

See the chapters "IPC Streaming Format" and "IPC File Format" of the Arrow columnar format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from air.data.blocks.convert import check_distinct
from air.data.blocks.schemas import without_columns
from air.data.datasources.files import FileDatasource, Fragment, open_unpacked
from air.data.errors import ReadError, UnsupportedValue

_MAGIC, _OF_FEATHER_1 = b"ARROW1", b"FEA1"
_EXPANSION = 1.5


@dataclass(frozen=True)
class ArrowDatasource(FileDatasource):
    """Rows of Arrow IPC files and streams, which say themselves which they are.

    The record batches of a file are read independently; a stream is read from start to end. Only
    the selected columns are read.
    """

    batches: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """How many record batches each file has that was looked at, by path."""

    @property
    def name(self) -> str:
        return f"Arrow({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    @property
    def parts_are(self) -> str:
        return "record batches"

    def look(self, path: str) -> pa.Schema:
        with self._reader(path) as reader:
            schema: pa.Schema = reader.schema
            if isinstance(reader, ipc.RecordBatchFileReader):
                self.batches[path] = reader.num_record_batches
            check_distinct(schema.names, "it")
            return schema.remove_metadata()

    def fragments(self) -> list[Fragment]:
        made: list[Fragment] = []
        for whole in super().fragments():
            count = self.batches.get(whole.path, 0)
            if count < 2:
                made.append(whole)
                continue
            size = whole.size_bytes // count
            # Where the first batch begins is known; of the others only their readers know.
            starts = (0, *(None for _ in range(count - 1)))
            made += [
                Fragment(whole.path, (index,), size, first_row=start)
                for index, start in enumerate(starts)
            ]
        return made

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        with self._reader(fragment.path, self.selected) as reader:
            if not isinstance(reader, ipc.RecordBatchFileReader):
                batches = iter(reader)
            else:
                parts = fragment.parts
                numbers = range(reader.num_record_batches) if parts is None else parts
                batches = (reader.get_batch(number) for number in numbers)
            is_empty = True
            for batch in batches:
                is_empty = False
                yield self._table([batch], reader.schema)
            if is_empty:
                yield self._table([], reader.schema)

    def _table(self, batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
        table = pa.Table.from_batches(batches, schema)
        table.validate()
        if self.selected is not None:
            wanted = [name for name in table.column_names if name in self.selected]
            table = table.select(wanted) if wanted else without_columns(table.num_rows)
        return table.replace_schema_metadata(None)

    @contextmanager
    def _reader(self, path: str, columns: tuple[str, ...] | None = None) -> Iterator[Any]:
        """Reads record batches of the file, with *columns* at least.

        Raises:
            ReadError: it is in neither format, or broken; names the file.
        """
        try:
            with open_unpacked(self.files, path) as source:
                start = bytes(source.read(len(_MAGIC)))
                source.seek(0)
                if start.startswith(_OF_FEATHER_1):
                    raise UnsupportedValue(
                        "it is Feather version 1; read it with pandas or pyarrow.feather, and write"
                        " it as version 2"
                    )
                open_reader = ipc.open_file if start == _MAGIC else ipc.open_stream
                reader = open_reader(source)
                if columns is not None:
                    names = reader.schema.names
                    # Nothing means everything to Arrow.
                    numbers = [names.index(name) for name in columns if name in names] or [0]
                    options = ipc.IpcReadOptions(included_fields=numbers)
                    source.seek(0)
                    reader = open_reader(source, options=options)
                yield reader
        except (pa.ArrowException, UnsupportedValue) as error:
            raise ReadError(f"{path} cannot be read as Arrow or Feather: {error}") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise ReadError(f"{path} cannot be read as Arrow or Feather: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        # What was seen for planning is not needed where the data is read.
        return {**self.__dict__, "batches": {}}
