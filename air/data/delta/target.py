"""Tables that are written to: what is refused of them, and what their log is told in one step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from air.data.delta.tables import MAPPING, columns_of, deltalake, opened
from air.data.delta.types import WHAT
from air.data.errors import WriteError
from air.data.writing.staging import WriteMode
from air.errors import InvalidOption
from air.executor.validation import listing

_FEATURES = frozenset(
    (
        # Some are there for tables that make no use of them, which is looked for below.
        "appendOnly",
        "changeDataFeed",
        "checkConstraints",
        "columnMapping",
        "deletionVectors",
        "generatedColumns",
        "identityColumns",
        "invariants",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    )
)
_OF_COLUMNS = {
    "delta.generationExpression": "is worked out from others",
    "delta.identity.start": "numbers its rows",
    "delta.invariants": "has a condition on its values",
}


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A table to write to.

    Attributes:
        location, options: where it is.
        table: as it was when the write began; ``None`` if there is none.
        columns: its columns, in their order; ``None`` if what is written decides.
        partition_cols: by which it is divided.
        required: columns that must have a value in each row.
    """

    location: str
    options: dict[str, str] | None
    table: Any
    columns: pa.Schema | None
    partition_cols: tuple[str, ...]
    required: tuple[str, ...]


def target_of(
    location: str,
    options: dict[str, str] | None,
    mode: WriteMode,
    partition_cols: tuple[str, ...] | None,
    replaces_schema: bool,
) -> Target | None:
    """The table at *location*, as it has to be for the write; ``None`` if nothing is to be written.

    Raises:
        FileExistsError: there is a table, and *mode* is ``"error"``.
        InvalidOption: it is divided by other columns.
        WriteError: it needs something of writers that is not done here; names it.
    """
    library = deltalake(WHAT)
    if not library.DeltaTable.is_deltatable(location, options):
        return Target(location, options, None, None, partition_cols or (), ())
    if mode is WriteMode.IGNORE:
        return None
    if mode is WriteMode.ERROR:
        raise FileExistsError(
            f"{WHAT}: {location!r} is a table already, and mode='error' says not to touch it; add"
            " to it with mode='append', replace its rows with mode='overwrite'"
        )
    table = opened(WHAT, location, options)
    by = tuple(table.metadata().partition_columns)
    if partition_cols is not None and partition_cols != by:
        raise InvalidOption(
            f"{WHAT}: the table is divided by {listing(by) or 'no columns'}, got"
            f" partition_cols={list(partition_cols)}: leave it out, or write another table"
        )
    required = _checked(table, mode)
    columns = None if replaces_schema else columns_of(WHAT, table)[0]
    return Target(location, options, table, columns, by, () if replaces_schema else required)


def _checked(table: Any, mode: WriteMode) -> tuple[str, ...]:
    """The columns of a table that must have values."""
    protocol, configuration = table.protocol(), table.metadata().configuration
    unknown = sorted(set(protocol.writer_features or ()) - _FEATURES)
    if unknown or protocol.min_writer_version > 7:
        needs = listing(unknown) if unknown else f"version {protocol.min_writer_version}"
        raise WriteError(f"{WHAT}: the table needs {needs} of writers, which is not supported")
    if configuration.get(MAPPING, "none") != "none":
        raise WriteError(
            f"{WHAT}: the table's columns have other names in files ({MAPPING}), which is read and"
            " not written"
        )
    constraints = [name for name in configuration if name.startswith("delta.constraints.")]
    if constraints:
        raise WriteError(
            f"{WHAT}: the table has conditions on its rows, which are not checked here:"
            f" {listing(constraints)}"
        )
    if mode is WriteMode.OVERWRITE and configuration.get("delta.appendOnly") == "true":
        raise WriteError(
            f"{WHAT}: rows can only be added to the table (delta.appendOnly): use mode='append'"
        )
    required = []
    for column in json.loads(table.schema().to_json())["fields"]:
        for name, what in _OF_COLUMNS.items():
            if name in column["metadata"]:
                raise WriteError(
                    f"{WHAT}: the table's column {column['name']!r} {what} ({name}), which is not"
                    " done here"
                )
        if _has_required_parts(column["type"]):
            raise WriteError(
                f"{WHAT}: the table's column {column['name']!r} has parts that must have values,"
                " which is not checked here"
            )
        if not column["nullable"]:
            required.append(str(column["name"]))
    return tuple(required)


def _has_required_parts(kind: Any) -> bool:
    if not isinstance(kind, dict):
        return False
    if kind.get("containsNull") is False or kind.get("valueContainsNull") is False:
        return True
    parts = kind.get("fields", ())
    inside = [kind.get(name) for name in ("elementType", "keyType", "valueType")]
    return not all(part["nullable"] for part in parts) or any(
        map(_has_required_parts, [*inside, *(part["type"] for part in parts)])
    )


def check_times(target: Target, schema: pa.Schema) -> None:
    """Complain about times without a zone in a table that was made without them.

    Raises:
        WriteError: names the first such column.
    """
    if target.table is None or "timestampNtz" in (target.table.protocol().writer_features or ()):
        return
    for column in schema:
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            raise WriteError(
                f"{WHAT}: column {column.name!r} has times without a zone, which the table cannot"
                " hold; give them one, or allow them with deltalake:"
                " DeltaTable(path).alter.add_feature(TableFeatures.TimestampWithoutTimezone)"
            )


def commit(target: Target, schema: pa.Schema, actions: Sequence[Any], mode: WriteMode) -> None:
    """Tell the log of new files, in one version; of columns that are added in one before.

    Args:
        schema: the columns of the table afterwards.

    Raises:
        WriteError: somebody else has changed the table in a way that goes against it.
    """
    library = deltalake(WHAT)
    columns = _columns(library, target, schema)
    by = list(target.partition_cols)
    try:
        if target.table is None:
            library.transaction.create_table_with_add_actions(
                target.location,
                columns,
                list(actions),
                mode="error",
                partition_by=by,
                storage_options=target.options,
            )
            return
        if mode is WriteMode.OVERWRITE:
            # Tried again it would leave what others have added since, and remove the rest.
            once = library.CommitProperties(max_commit_retries=0)
            target.table.create_write_transaction(
                list(actions), "overwrite", columns, by, commit_properties=once
            )
            return
        added = columns.fields[len(target.table.schema().fields) :]
        if added:
            target.table.alter.add_columns(added)
        if actions:
            columns = target.table.schema()
            target.table.create_write_transaction(list(actions), "append", columns, by)
    except library.exceptions.DeltaError as error:
        why = "made" if target.table is None else "changed"
        raise WriteError(
            f"{WHAT}: nothing was written, because {target.location!r} was {why} by another write"
            f" meanwhile, or cannot be written to: {error}; write again"
        ) from error


def _columns(library: Any, target: Target, schema: pa.Schema) -> Any:
    """The columns of the table afterwards; those that it has already are as they are there."""
    if target.columns is None:
        return library.Schema.from_arrow(schema)
    added = [column for column in schema if column.name not in target.columns.names]
    fields = target.table.schema().fields
    return library.Schema([*fields, *map(library.Field.from_arrow, added)])
