"""Writing Parquet files."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.errors import WriteError
from air.data.formats import REFUSED, cannot_hold
from air.errors import InvalidOption
from air.executor.validation import reject_unknown

_REFUSED_BY_PARQUET = {
    **REFUSED,
    "arrow_open_stream_args": "Parquet files are compressed inside: give compression",
    "arrow_parquet_args_fn": "give the options themselves, such as compression",
}


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet; the options are those of ``pyarrow.parquet.write_table``."""

    name: ClassVar[str] = "parquet"
    options: Mapping[str, Any]
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "parquet"

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> ParquetFormat:
        """Refuse unknown options at the call."""
        from pyarrow import parquet

        known = inspect.signature(parquet.write_table).parameters
        names = {n for n, p in known.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        writer = inspect.signature(parquet.ParquetWriter.__init__).parameters
        names |= set(writer) - {"self", "schema", "options"}
        for name in options:
            if name in _REFUSED_BY_PARQUET:
                raise InvalidOption(
                    f"write_parquet has no option {name!r}: {_REFUSED_BY_PARQUET[name]}"
                )
        reject_unknown(options, names - {"table", "where", "filesystem"}, what="write_parquet")
        # Others, such as lists, speak of columns, which this table does not have.
        alone = {n: v for n, v in options.items() if isinstance(v, (str, int, float))}
        try:
            parquet.write_table(pa.table({}), io.BytesIO(), **alone)
        except (pa.ArrowException, TypeError, ValueError) as error:
            given = ", ".join(f"{name}={value!r:.40}" for name, value in alone.items())
            raise InvalidOption(f"write_parquet({given}): {error}") from None
        return cls(dict(options))

    def write(self, table: pa.Table, file: Any) -> None:
        from pyarrow import parquet

        try:
            parquet.write_table(table, file, **self.options)
        except pa.ArrowNotImplementedError as error:
            for field in table.schema:
                if not _is_held(field):
                    raise cannot_hold(
                        "write_parquet",
                        field,
                        "Parquet",
                        "or use write_arrow",
                    ) from None
            raise WriteError(f"write_parquet: {error}") from None


def _is_held(field: pa.Field) -> bool:
    from pyarrow import parquet

    try:
        parquet.ParquetWriter(io.BytesIO(), pa.schema([field])).close()
    except pa.ArrowNotImplementedError:
        return False
    return True
