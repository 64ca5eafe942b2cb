"""Writing datasets to Iceberg tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from air.data.iceberg.sink import WHAT, IcebergSink
from air.data.iceberg.tables import table_of
from air.data.writing.pieces import write_to
from air.data.writing.staging import WriteMode
from air.errors import InvalidOption

if TYPE_CHECKING:
    from air.data.consumption import Consumption


def write_table(
    dataset: Consumption,
    table_identifier: object,
    catalog: Any,
    catalog_kwargs: object,
    mode: object,
    snapshot_properties: object,
) -> None:
    """Write *dataset* to a table of a catalog; see ``air.data.Dataset.write_iceberg``."""
    if mode not in ("append", "overwrite"):
        raise InvalidOption(
            f"{WHAT}: mode must be 'append' or 'overwrite', as the table is there, got {mode!r:.80}"
        )
    properties = {} if snapshot_properties is None else snapshot_properties
    if not isinstance(properties, Mapping) or not all(
        isinstance(part, str) for pair in properties.items() for part in pair
    ):
        raise InvalidOption(
            f"{WHAT}: snapshot_properties must be a dictionary of text, got {properties!r:.80}"
        )
    table = table_of(WHAT, table_identifier, catalog, catalog_kwargs)
    write_to(dataset, IcebergSink(table, WriteMode(mode), properties))
