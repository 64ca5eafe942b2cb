"""Rows of a statement, read in parts over several connections."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block
from air.data.blocks.metadata import BlockMetadata
from air.data.budget import Budget, current_budget
from air.data.datasource import Datasource, ReadTask
from air.data.datasources.portions import portion
from air.data.errors import ReadError
from air.data.sql.columns import check_columns, table_of, together
from air.data.sql.connections import (
    FETCHED_BYTES,
    FIRST_ROWS,
    ConnectionFactory,
    connected,
    explained,
    rows_at_once,
    run,
)
from air.data.sql.splits import Extent, bounds_between, check_extent, conditions
from air.data.sql.statements import Statement, is_plain_name

WHAT = "read_sql"

_LOOKED_AT = 1000
_HELD = 12
"""Bytes that are held for each byte of rows, which are objects when they are fetched."""


@dataclass(frozen=True)
class SQLDatasource(Datasource):
    """The rows of a statement.

    Attributes:
        statement: what gives them.
        connect: opens a connection, where it is called.
        key: an expression over the columns by which the rows are divided; ``None`` to read them
            over one connection.
        types: of columns, as far as they are wanted.
        extent: the least and the greatest value of the key; ``None`` if there are no rows with one.
        known: names and types of the columns, after :meth:`checked`.
        budget: what memory there is for reading; known when reading begins, ``None`` before.
    """

    statement: Statement
    connect: ConnectionFactory
    key: str | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    extent: Extent | None = None
    known: pa.Schema | None = None
    budget: Budget | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"SQL({self.statement})"

    def columns(self) -> list[str] | None:
        return None if self.known is None else list(self.known.names)

    def checked(self) -> SQLDatasource:
        """This source, if it has a key, after a look at the key's values and at some rows.

        The parts of the rows agree then about the type of every column that has a value.

        Raises:
            ReadError: the database refuses the statement; names it, with the database's message.
            InvalidOption: values of the key have no ranges.
        """
        if self.key is None:
            return self
        low, high = self._one_row(f"MIN({self.key}), MAX({self.key})")
        source = self
        if low is not None:
            check_extent(self.key, (low, high))
            source = replace(self, extent=(low, high))
        return replace(source, known=source._look())

    def _look(self) -> pa.Schema:
        """Columns with the types of the first rows, and of those that are null there of others."""
        first = self._part(self._conditions(_LOOKED_AT)[0])
        with closing(first.rows()) as tables:
            schema = next(tables).schema
        for index, column in enumerate(schema):
            if not pa.types.is_null(column.type) or not is_plain_name(column.name):
                continue
            try:
                example = self._one_row(f"MIN({column.name})")
            except ReadError:
                continue  # its values have no order: each part finds its type by itself
            found = table_of([example], [column.name], {}).field(0)
            schema = schema.set(index, found)
        return schema

    def _one_row(self, what: str) -> Any:
        asked = self.statement.around(what)
        with (
            connected(WHAT, self.connect, ReadError) as connection,
            closing(connection.cursor()) as cursor,
            explained(WHAT, asked.sql, ReadError),
        ):
            run(cursor, asked)
            return cursor.fetchone()

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        ready = self if self.budget is not None else replace(self, budget=current_budget())
        return [
            ReadTask(
                _ReadRows(ready._part(condition)),
                BlockMetadata(source=f"{WHAT}, rows where {condition}" if condition else WHAT),
            )
            for condition in self._conditions(parallelism)
        ]

    def _conditions(self, pieces: int) -> list[str | None]:
        if self.key is None or self.extent is None:
            return [None]
        return conditions(self.key, bounds_between(self.extent, pieces))

    def _part(self, condition: str | None) -> SQLDatasource:
        if condition is None:
            return self
        return replace(self, statement=self.statement.around(condition=condition))

    def rows(self) -> Generator[pa.Table, None, None]:
        """All rows, over one connection, a few at a time; at least one table, perhaps empty."""
        known = self.known
        for table in self._fetched():
            table = together(table, known)
            known = table.schema
            yield table

    def _fetched(self) -> Iterator[pa.Table]:
        sql = self.statement.sql
        with (
            connected(WHAT, self.connect, ReadError) as connection,
            closing(connection.cursor()) as cursor,
        ):
            with explained(WHAT, sql, ReadError):
                run(cursor, self.statement)
            if cursor.description is None:
                raise ReadError(f"{WHAT}: {self.statement} gives no rows: it is no query")
            names = [column[0] for column in cursor.description]
            check_columns(names, self.types)
            fetched = portion(self.budget or current_budget(), FETCHED_BYTES, _HELD)
            wanted, is_first = FIRST_ROWS, True
            while True:
                with explained(WHAT, sql, ReadError):
                    rows = cursor.fetchmany(wanted)
                if not rows and not is_first:
                    return
                table = table_of(rows, names, self.types)
                yield table
                if not rows:
                    return
                wanted, is_first = rows_at_once(len(rows), table.nbytes, fetched), False


@dataclass(frozen=True, slots=True)
class _ReadRows:
    """A read function that can be pickled."""

    source: SQLDatasource

    def __call__(self) -> Iterator[Block]:
        return self.source.rows()
