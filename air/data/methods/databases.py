"""Writing datasets to databases, by code that is imported when it is used."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from air.data.consumption import Consumption
from air.executor.keywords import methods_suggest_keywords, refuses

if TYPE_CHECKING:
    from air.data.sql.connections import ConnectionFactory


@methods_suggest_keywords
class DatabaseMethods(Consumption):
    """The part of :class:`air.data.Dataset` that writes to databases."""

    @refuses(
        ray_remote_args="the program writes, over one connection",
        concurrency="rows are written over one connection, in one transaction",
        con="give connection_factory, a function that opens a connection",
        if_exists="say in the statement what becomes of rows that are there",
    )
    def write_sql(self, sql: str, connection_factory: ConnectionFactory) -> None:
        """Run a statement for each row, such as an insertion: for all of them or for none.

        Rows are made wherever they are, and written by the program, in order, over one connection
        in one transaction. (A connection that is set to commit each statement keeps what came
        before a failure.) Values are given to the driver as Python's: whole numbers, floats, text,
        bytes, ``decimal.Decimal``, times; lists and structs as lists and dictionaries, which few
        drivers take. What a database makes of them is its own: SQLite has no NaN, and stores null.

        Args:
            sql: with a place for each column, in their order (``INSERT INTO t VALUES (?, ?)``), or
                with places that name columns (``:a``, ``%(a)s``, ``$a``), in the way of the driver.
            connection_factory: called without arguments, once, to open a connection of the Python
                DB-API (PEP 249), which is closed in the end.

        Raises:
            InvalidOption: *sql* is no text.
            TypeError: *connection_factory* is no function, or gives no connection.
            ColumnNotFound: the statement names a column that there is not.
            WriteError: the database refuses a row (names the statement, with the database's
                message and the columns), or a column holds arrays or parts of a microsecond.
        """
        from air.data.sql.connections import check_factory, check_statement
        from air.data.sql.writing import write_rows

        statement = check_statement("write_sql", sql)
        connect = check_factory("write_sql", connection_factory)
        with closing(self.run()) as handles:
            write_rows(handles, statement, connect)
