"""Writing Arrow IPC files, of which Feather 2 is the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

_ROWS = 1 << 16
"""Of a record batch, which is what is read by itself."""
_FORMATS = {"file": "arrow", "stream": "arrows"}
_CODECS = ("lz4", "zstd")


@dataclass(frozen=True, slots=True)
class ArrowFormat:
    """A file or a stream of record batches, whose buffers are compressed by ``codec``."""

    name: ClassVar[str] = "arrow"
    kind: str = "file"
    codec: str | None = "lz4"
    compression: str | None = None

    @classmethod
    def checked(cls, kind: object, codec: object) -> ArrowFormat:
        """The format for arguments of a writer.

        Raises:
            InvalidOption: there is no such kind or codec; names the nearest.
        """
        for what, given, known in (
            ("format", kind, tuple(_FORMATS)),
            ("compression", codec, (*_CODECS, None)),
        ):
            if given not in known:
                raise InvalidOption(
                    f"write_arrow: unknown {what} {given!r:.80}.{nearest(given, known)} It may be"
                    f" {listing(known)}"
                )
        assert isinstance(kind, str)
        assert codec is None or isinstance(codec, str)
        return cls(kind, codec)

    @property
    def extension(self) -> str:
        return _FORMATS[self.kind]

    def write(self, table: pa.Table, file: Any) -> None:
        from pyarrow import ipc

        options = ipc.IpcWriteOptions(compression=self.codec)
        make = ipc.new_file if self.kind == "file" else ipc.new_stream
        # A file has one dictionary for each column.
        whole = table.unify_dictionaries()
        with make(file, whole.schema, options=options) as writer:
            writer.write_table(whole, max_chunksize=_ROWS)
