"""Writing tar archives of samples."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.arguments import STREAM_CODECS
from air.data.blocks.block import accessor
from air.data.errors import WriteError
from air.data.webdataset.coding import Coder, applied, encoded
from air.data.webdataset.samples import KEY, divided


@dataclass(frozen=True)
class WebDatasetFormat:
    """A sample for each row; the bytes of an archive depend on nothing but the rows."""

    name: ClassVar[str] = "webdataset"
    encoder: Coder = True
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "tar" + (STREAM_CODECS[self.compression] if self.compression else "")

    def write(self, table: pa.Table, file: Any) -> None:
        before = None
        with tarfile.open(fileobj=file, mode="w|") as archive:
            for row in accessor(table).rows():
                sample = applied(self.encoder, encoded, row)
                key = sample.get(KEY)
                if not isinstance(key, str) or key == before:
                    raise WriteError(
                        f"write_webdataset: each row needs a text of its own in the column {KEY!r},"
                        f" got {key!r:.80}{' twice' if key is not None and key == before else ''}"
                    )
                before = key
                for suffix, content in sample.items():
                    if suffix.startswith("__") or content is None:
                        continue
                    _add(archive, key, suffix, content)


def _add(archive: tarfile.TarFile, key: str, suffix: str, content: Any) -> None:
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, bytes):
        raise WriteError(
            f"write_webdataset: column {suffix!r} holds {content!r:.80}, which is no bytes; with"
            " encoder=True its name says how to write it"
        )
    if divided(f"{key}.{suffix}") != (key, suffix):
        raise WriteError(
            f"write_webdataset: a file {f'{key}.{suffix}'!r} would be read back as another: keys"
            " have no dot behind the last '/', and columns are named by small letters, without '/'"
        )
    member = tarfile.TarInfo(f"{key}.{suffix}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
