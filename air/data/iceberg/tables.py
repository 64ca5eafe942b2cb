"""Tables as pyiceberg finds them in a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

from air.data.errors import ReadError
from air.data.lakes.types import plain
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing


def pyiceberg(what: str, module: str) -> Any:
    """A module of the library, for *what*, which the message begins with.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    return import_extra(f"pyiceberg.{module}", what, "airloom[iceberg]")


def table_of(what: str, identifier: object, catalog: Any, catalog_kwargs: object) -> Any:
    """The table of a name in a catalog.

    Args:
        identifier: such as ``"namespace.table"``.
        catalog: a catalog of pyiceberg, or the name of one in its configuration.
        catalog_kwargs: properties of the catalog.

    Raises:
        TypeError: *identifier* is no name.
        InvalidOption: there is no such catalog.
        FileNotFoundError: it has no such table; names those that it has beside it.
    """
    library = pyiceberg(what, "catalog")
    errors = pyiceberg(what, "exceptions")
    if not isinstance(identifier, str) or "." not in identifier:
        raise TypeError(
            f"{what}: table_identifier must be text such as 'namespace.table', got"
            f" {identifier!r:.80}"
        )
    if catalog_kwargs is not None and not isinstance(catalog_kwargs, Mapping):
        raise InvalidOption(f"{what}: catalog_kwargs must be a dictionary of properties")
    properties = dict(catalog_kwargs or {})
    if isinstance(catalog, library.Catalog):
        if properties:
            raise InvalidOption(f"{what}: catalog_kwargs are of no use to a catalog that is open")
    else:
        name = properties.pop("name", None) if catalog is None else catalog
        try:
            catalog = library.load_catalog(name, **properties)
        except Exception as error:  # each kind of catalog has errors of its own
            raise InvalidOption(
                f"{what}: catalog {name or 'default'!r} cannot be opened: {error}; give a"
                " pyiceberg Catalog, or its name and properties, as load_catalog takes them"
            ) from None
    try:
        return catalog.load_table(identifier)
    except errors.NoSuchTableError:
        namespace = identifier.rpartition(".")[0]
        try:
            there = [".".join(name) for name in catalog.list_tables(namespace)]
        except errors.NoSuchNamespaceError:
            there = []
        raise FileNotFoundError(
            f"{what}: the catalog has no table {identifier!r}; those in {namespace!r} are:"
            f" {listing(there) or '(none)'}"
        ) from None


def filesystem_of_files(what: str, table: Any, locations: Iterable[str]) -> tuple[Any, list[str]]:
    """The file system that files of a table are in, and the path of each there.

    Raises:
        ReadError: they are in several.
    """
    arrow = pyiceberg(what, "io.pyarrow")
    io = arrow.PyArrowFileIO(table.io.properties)
    found = [io.parse_location(place, io.properties) for place in (table.location(), *locations)]
    places = {(scheme, host) for scheme, host, _ in found[1:] or found}
    if len(places) > 1:
        names = [f"{scheme}://{host}" for scheme, host in sorted(places)]
        raise ReadError(
            f"{what}: the files of the table are in {listing(names)}, and those of one read must be"
            " in one place"
        )
    system = io.fs_by_scheme(*places.pop())
    if isinstance(system, fs.LocalFileSystem):
        system = fs.LocalFileSystem()  # theirs differs in how it writes
    return system, [path for _, _, path in found[1:]]


def arrow_columns(what: str, schema: Any) -> pa.Schema:
    """The columns of a table's schema.

    Raises:
        ReadError: Arrow has no type for one.
    """
    arrow = pyiceberg(what, "io.pyarrow")
    try:
        found = arrow.schema_to_pyarrow(schema, include_field_ids=False)
    except Exception as error:  # types of newer versions of the format
        raise ReadError(f"{what}: a column has a type that is not supported: {error}") from None
    return pa.schema([pa.field(column.name, plain(column.type)) for column in found])
