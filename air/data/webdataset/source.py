"""Reading tar archives of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from air.data.blocks.convert import table_from_rows
from air.data.blocks.schemas import conform, unify
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.labels import PATH_COLUMN
from air.data.errors import ReadError, UnsupportedValue
from air.data.webdataset.coding import Coder, applied, decoded
from air.data.webdataset.samples import KEY, Sample, Selection, samples

_PIECE_BYTES = 4 << 20
_HELD = 4
"""Bytes that are held for each byte of samples while they become rows."""
_LOOK_BYTES = 64 << 20
_LEAST_LOOK = 1 << 20


@dataclass(frozen=True)
class WebDatasetDatasource(FileDatasource):
    """A row for each sample: its key, and a column for each suffix, null where it is not there.

    ``opening`` are arguments of ``open_input_stream``.
    """

    selection: Selection = field(default_factory=Selection)
    decoder: Coder = True
    opening: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"WebDataset({self.files.describe()})"

    @property
    def remedy(self) -> str:
        return "; name the files that are wanted, suffixes=[...], or leave them bytes, decoder=None"

    @property
    def looks_at_once(self) -> int:
        return 1  # functions of users are called, which may not be made for threads

    def look(self, path: str) -> pa.Schema:
        least = max(_LOOK_BYTES // len(self.files.paths), _LEAST_LOOK)
        schemas = []
        for rows, size in self._pieces(path, self.portion(least, _HELD)):
            schemas.append(self._table(path, rows).schema)
            least -= size
            if least <= 0:
                break
        return unify(schemas, [path] * len(schemas)) if schemas else pa.schema({})

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        assert self.common is not None
        labels = set(self._label_types) | ({PATH_COLUMN} if self.includes_path else set())
        fields = [c for c in self.common if c.name not in labels]
        known = {c.name for c in fields}
        if self.selected is not None:
            fields = [column for column in fields if column.name in self.selected]
        names = [column.name for column in fields]
        for rows, _ in self._pieces(fragment.path, self.portion(_PIECE_BYTES, _HELD)):
            for row in rows:
                new = row.keys() - known
                if new:
                    raise ReadError(
                        f"{fragment.path}, sample {row.get(KEY)!r}: it has {min(new)!r}, which none"
                        f" has that was looked at before reading{self.remedy}"
                    )
            table = self._table(fragment.path, [{n: r.get(n) for n in names} for r in rows])
            if not fields:
                yield pa.table({KEY: pa.nulls(len(rows))}).select([])
                continue
            try:
                yield conform(table, pa.schema(fields))
            except UnsupportedValue as error:
                raise ReadError(
                    f"{fragment.path}, samples {rows[0].get(KEY)!r} to {rows[-1].get(KEY)!r}:"
                    f" {error}; they differ from those that were looked at before"
                    f" reading{self.remedy}"
                ) from None

    def _table(self, path: str, rows: list[Sample]) -> pa.Table:
        try:
            return table_from_rows(rows)
        except UnsupportedValue as error:
            raise ReadError(f"{path}: {error}{self.remedy}") from None

    def _pieces(self, path: str, size_bytes: int) -> Iterator[tuple[list[Sample], int]]:
        """Decoded samples, until their files have so many bytes, and how many they have."""
        rows: list[Sample] = []
        size = 0
        decode = partial(decoded, path=path)
        with self.files.filesystem.open_input_stream(path, **self.opening) as file:
            for sample in samples(file, path, self.selection):
                size += sum(len(content) for content in sample.values())
                row = applied(self.decoder, decode, sample)
                if not isinstance(row, dict):
                    raise TypeError(
                        f"read_webdataset: decoder must give a dict, got {type(row).__name__} for"
                        f" sample {sample[KEY]!r} of {path}"
                    )
                rows.append(row)
                if size >= size_bytes:
                    yield rows, size
                    rows, size = [], 0
        if rows:
            yield rows, size
