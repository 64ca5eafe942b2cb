"""Writing Avro files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.avro.types import avro_schema
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest

_CODECS = ("null", "deflate", "bzip2", "xz")
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class AvroFormat:
    """Avro; blocks in the file are compressed by ``codec``."""

    name: ClassVar[str] = "avro"
    extension: ClassVar[str] = "avro"
    compression: ClassVar[str | None] = None
    codec: str = "deflate"

    @classmethod
    def checked(cls, codec: object) -> AvroFormat:
        """The format for the argument of a writer.

        Raises:
            InvalidOption: there is no such codec; names the nearest.
        """
        import_extra("fastavro", "write_avro", "airloom[avro]")
        if not isinstance(codec, str) or codec not in _CODECS:
            raise InvalidOption(
                f"write_avro: unknown codec {codec!r:.80}.{nearest(str(codec), _CODECS)} It may be"
                f" {listing(_CODECS)}"
            )
        return cls(codec)

    def write(self, table: pa.Table, file: Any) -> None:
        fastavro = import_extra("fastavro", "write_avro", "airloom[avro]")
        schema = avro_schema(table.schema)
        rows = (
            row
            for batch in table.to_batches(max_chunksize=_ROWS)
            for row in batch.to_pylist(maps_as_pydicts="strict")
        )
        # A marker that depends on nothing else makes the same file of the same rows.
        fastavro.writer(file, schema, rows, codec=self.codec, sync_marker=bytes(16))
