"""Tables as deltalake opens them, and what is refused of them by name."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

from air.data.datasources.paths import PathLike
from air.data.errors import ReadError
from air.data.lakes.types import plain
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing

READER_FEATURES = frozenset(
    (
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    )
)
MAPPING = "delta.columnMapping.mode"
PHYSICAL = "delta.columnMapping.physicalName"


def deltalake(what: str) -> Any:
    """The library, for *what*, which the message begins with.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    return import_extra("deltalake", what, "airloom[delta]")


def location_of(what: str, path: PathLike) -> str:
    """Where a table is: a URI, or an absolute path.

    Raises:
        TypeError: no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise TypeError(f"{what}: path must be text or a pathlib.Path, got {path!r:.80}")
    text = os.fspath(path)
    if text.startswith("file://") or "://" not in text:
        return os.path.abspath(os.path.expanduser(text.removeprefix("file://")))
    return text.rstrip("/")


def check_storage_options(what: str, location: str, options: object) -> dict[str, str] | None:
    """What a reader or writer is to tell the store of the table at *location*.

    Raises:
        InvalidOption: no dictionary of text.
    """
    given = {} if options is None else options
    if not isinstance(given, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in given.items()
    ):
        # Values may be secrets.
        raise InvalidOption(
            f"{what}: storage_options must be a dictionary of text such as"
            ' {"AWS_REGION": "eu-west-1"}, and has something else in it or is none'
        )
    told = {name.upper(): value for name, value in given.items()}
    endpoint = told.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT_URL", ""))
    if location.startswith("s3") and endpoint.startswith("http:"):
        # Whoever names such a server means it.
        return {"AWS_ALLOW_HTTP": "true", **given}
    return dict(given) or None


def opened(
    what: str,
    location: str,
    options: dict[str, str] | None,
    version: int | str | datetime.datetime | None = None,
) -> Any:
    """The table at *location*, as it was at *version*.

    Raises:
        FileNotFoundError: there is no table.
        InvalidOption: it has no such version.
        ReadError: its log cannot be read.
    """
    library = deltalake(what)
    if isinstance(version, bool) or not isinstance(
        version, (int, str, datetime.datetime, type(None))
    ):
        raise InvalidOption(
            f"{what}: version must be a number, or a time as text or datetime, got {version!r:.80}"
        )
    try:
        table = library.DeltaTable(location, storage_options=options)
    except library.exceptions.TableNotFoundError:
        raise FileNotFoundError(
            f"{what}: there is no Delta table at {location!r}: no _delta_log with a version in it"
        ) from None
    except Exception as error:  # the library raises errors of any kind for damaged logs
        raise ReadError(f"{what}: the log of {location!r} cannot be read: {error}") from None
    if version is None:
        return table
    newest = table.version()
    if isinstance(version, int) and not 0 <= version <= newest:
        raise InvalidOption(f"{what}: {location!r} has the versions 0 to {newest}, got {version}")
    try:
        table.load_as_version(version)
    except Exception as error:
        raise InvalidOption(
            f"{what}: {location!r} cannot be read as of version={str(version)!r}: {error}; its"
            f" newest version is {newest}, and old ones are gone where the log was cleaned up"
        ) from None
    return table


def filesystem_of_table(what: str, location: str, options: dict[str, str] | None) -> Any:
    """The file system whose paths are those of files, relative to the table's place."""
    if "://" not in location:
        return fs.SubTreeFileSystem(location, fs.LocalFileSystem())
    handlers = import_extra("deltalake.fs", what, "airloom[delta]")
    return fs.PyFileSystem(handlers.DeltaStorageHandler(location, options))


def check_readable(what: str, table: Any) -> None:
    """Refuse tables that take more than is done here to be read.

    Raises:
        ReadError: it has such a feature; names it.
    """
    protocol = table.protocol()
    unknown = sorted(set(protocol.reader_features or ()) - READER_FEATURES)
    if unknown or protocol.min_reader_version > 3:
        needs = listing(unknown) if unknown else f"reader version {protocol.min_reader_version}"
        raise ReadError(
            f"{what}: the table needs {needs}, which is not supported: read it with another program"
            " and write it as a table without"
        )
    mode = table.metadata().configuration.get(MAPPING, "none")
    if mode not in ("none", "name"):
        raise ReadError(
            f"{what}: the table's columns are mapped by {mode!r} ({MAPPING}), which is not"
            " supported: tables with the mapping 'name' are, or those without"
        )


def columns_of(what: str, table: Any) -> tuple[pa.Schema, dict[str, str]]:
    """The columns of a table, and the name that each has in files.

    Raises:
        ReadError: a field inside a column has another name in files.
    """
    names = {}
    for column in json.loads(table.schema().to_json())["fields"]:
        names[column["name"]] = column["metadata"].get(PHYSICAL, column["name"])
        renamed = _renamed(column["type"])
        if renamed is not None:
            raise ReadError(
                f"{what}: in column {column['name']!r} the field {renamed!r} has another name in"
                " files, which is not supported for fields inside of columns: write the table anew"
                " without column mapping"
            )
    schema = pa.schema(table.schema())
    return pa.schema([pa.field(c.name, plain(c.type)) for c in schema]), names


def _renamed(kind: Any) -> str | None:
    """A field in a type that is called something else in files."""
    if not isinstance(kind, dict):
        return None
    for part in kind.get("fields", ()):
        if part["metadata"].get(PHYSICAL, part["name"]) != part["name"]:
            return str(part["name"])
    inside = [kind.get(name) for name in ("elementType", "keyType", "valueType")]
    inside += [part["type"] for part in kind.get("fields", ())]
    return next(filter(None, map(_renamed, inside)), None)
