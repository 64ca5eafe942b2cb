"""Writing CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import compute as pc

from air.data.arguments import STREAM_CODECS, check_compression
from air.data.errors import WriteError
from air.data.formats import cannot_hold
from air.errors import InvalidOption

_WHOLE_MINUTES = 94_694_400
"""The beginning of 1973: since then all zones are whole minutes from UTC."""
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class CSVFormat:
    """CSV with a line of names; the options are those of ``pyarrow.csv.WriteOptions``."""

    name: ClassVar[str] = "csv"
    options: Mapping[str, Any]
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "csv" + (STREAM_CODECS[self.compression] if self.compression else "")

    @classmethod
    def of(cls, write_options: Any, opening: object) -> CSVFormat:
        """The format for a ``WriteOptions`` (which cannot be pickled), ``None`` for defaults.

        Args:
            opening: how files are opened, such as ``{"compression": "gzip"}``.
        """
        from pyarrow import csv

        compression = check_compression("write_csv", opening)
        if write_options is None:
            return cls({}, compression)
        if not isinstance(write_options, csv.WriteOptions):
            raise InvalidOption(
                "write_csv: write_options must be a pyarrow.csv.WriteOptions, got"
                f" {write_options!r:.80}"
            )
        given = {n: getattr(write_options, n) for n in dir(write_options) if n[0] != "_"}
        options = {name: value for name, value in given.items() if not callable(value)}
        return cls(options, compression)

    def write(self, table: pa.Table, file: Any) -> None:
        from pyarrow import csv

        if not table.num_columns:
            raise WriteError("write_csv: the rows have no columns; use write_parquet")
        for field in table.schema:
            kind = field.type
            if not _is_held(kind):
                raise _cannot_hold(field)
        table = _with_whole_offsets(table)
        if table.num_columns == 1 and table.column(0).null_count:
            # A line with nothing in it is no row: quotes must tell that there is one.
            texts = table.column(0).cast(pa.string()).fill_null("")
            table = pa.table({table.column_names[0]: texts})
        try:
            csv.write_csv(table, file, csv.WriteOptions(**self.options))
        except pa.ArrowInvalid as error:
            raise WriteError(f"write_csv: {error}") from None


def _with_whole_offsets(table: pa.Table) -> pa.Table:
    """With columns of old times told in UTC, as offsets of seconds would be cut to minutes."""
    for place, column in enumerate(table.columns):
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            first = pc.min(column).value
            if first is not None and first < _WHOLE_MINUTES * _PER_SECOND[kind.unit]:
                exact = column.cast(pa.timestamp(kind.unit, "UTC"))
                table = table.set_column(place, table.column_names[place], exact)
    return table


def _is_held(kind: pa.DataType) -> bool:
    """Whether a field can say a value of this type, so that it is the same for who reads it.

    Bytes are no text, and spans of time would be numbers without their unit.
    """
    if pa.types.is_dictionary(kind):
        return _is_held(kind.value_type)
    is_extension = isinstance(kind, pa.BaseExtensionType)
    refused = (
        pa.types.is_nested,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
        pa.types.is_duration,
        pa.types.is_interval,
    )
    return not is_extension and not any(check(kind) for check in refused)


def _cannot_hold(field: pa.Field) -> WriteError:
    return cannot_hold("write_csv", field, "CSV", "turn it into text, or use write_parquet")
