"""Writing datasets to Delta tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air.data.datasources.paths import PathLike
from air.data.delta.sink import DeltaSink
from air.data.delta.tables import check_storage_options, location_of
from air.data.delta.target import target_of
from air.data.delta.types import WHAT
from air.data.writing.pieces import write_to
from air.data.writing.staging import WriteMode, check_mode
from air.errors import InvalidOption

if TYPE_CHECKING:
    from air.data.consumption import Consumption


def write_table(
    dataset: Consumption,
    path: PathLike,
    mode: object,
    partition_cols: tuple[str, ...] | None,
    schema_mode: object,
    storage_options: object,
) -> None:
    """Write *dataset* to the table at *path*; see ``air.data.Dataset.write_delta``."""
    checked = check_mode(WHAT, mode)
    if schema_mode not in (None, "merge", "overwrite"):
        raise InvalidOption(
            f"{WHAT}: schema_mode must be None, 'merge' or 'overwrite', got {schema_mode!r:.80}"
        )
    replaces = schema_mode == "overwrite"
    if replaces and checked is not WriteMode.OVERWRITE:
        raise InvalidOption(
            f"{WHAT}: schema_mode='overwrite' gives the table other columns, which takes"
            f" mode='overwrite', got mode={checked.value!r}"
        )
    location = location_of(WHAT, path)
    options = check_storage_options(WHAT, location, storage_options)
    target = target_of(location, options, checked, partition_cols, replaces)
    if target is not None:
        write_to(dataset, DeltaSink(target, checked, schema_mode == "merge", dataset))
