"""Writing files of TFRecords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.arguments import STREAM_CODECS
from air.data.tfrecords.encoding import messages
from air.data.tfrecords.framing import checksum, framed

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TFRecordsFormat:
    """A record with an ``Example`` message for each row."""

    name: ClassVar[str] = "tfrecords"
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "tfrecords" + (STREAM_CODECS[self.compression] if self.compression else "")

    def write(self, table: pa.Table, file: Any) -> None:
        crc32c = checksum()
        waiting: list[bytes] = []
        size = 0
        for message in messages(table):
            waiting.append(framed(message, crc32c))
            size += len(message)
            if size >= _PIECE_BYTES:
                file.write(b"".join(waiting))
                waiting.clear()
                size = 0
        file.write(b"".join(waiting))
