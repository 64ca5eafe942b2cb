"""How datasets are made from databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from air.data.arguments import check_names
from air.data.dataset import Dataset
from air.data.reading.arguments import REFUSED_BY_READS
from air.data.reading.datasets import read_datasource
from air.data.sql.columns import check_types
from air.data.sql.connections import ConnectionFactory, check_factory, check_statement
from air.data.sql.source import SQLDatasource
from air.data.sql.splits import key_expression
from air.data.sql.statements import Parameters, Statement, is_plain_name
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords


@suggests_keywords
@refuses(
    ray_remote_args=REFUSED_BY_READS["ray_remote_args"],
    con="give connection_factory, a function that opens a connection where rows are read",
    params="give sql_params",
    chunksize="rows come in blocks; .iter_batches(batch_size=...) gives them in batches",
    index_col="rows have no index",
    dtype="use schema={name: pyarrow type}",
)
def read_sql(
    sql: str,
    connection_factory: ConnectionFactory,
    *,
    sql_params: Parameters | None = None,
    shard_keys: str | Sequence[str] | None = None,
    shard_hash_fn: str | None = None,
    schema: pa.Schema | Mapping[str, pa.DataType] | None = None,
    parallelism: int = -1,
) -> Dataset:
    """The rows of a statement, from any database with a driver of the Python DB-API (PEP 249).

    Without *shard_keys* the statement runs as it is, once, when rows are wanted, and they come in
    its order. With them it becomes the inner part of a statement for each piece,
    ``SELECT * FROM (sql) WHERE key >= 1000 AND key < 2000``, and pieces are read at the same time,
    each over a connection of its own. They come in the order of the keys' ranges, and within a
    range as the database gives them: what the statement says of the order is lost. Each connection
    sees the database as it is when it reads.

    Types are found from values, and a column has one in all pieces: decimals take 38 digits, and
    times with an offset are told in UTC. One that is found to hold wider values only later, as
    SQLite allows, is wider from there on.

    Args:
        sql: the statement.
        connection_factory: called without arguments to open a connection, in other processes too,
            so it must be picklable; ``lambda: sqlite3.connect("rows.db")``. Connections are closed.
            Drivers that bring all rows at once (psycopg and MySQLdb do) need memory for a piece's.
        sql_params: for the places in the statement, in the way of the driver: ``[5]`` for ``?`` or
            ``%s``, a dictionary for those with names.
        shard_keys: a column of the result, or several, by whose values it is divided, written as
            in a statement. By itself a column of numbers or times, divided into ranges of equal
            width: pieces are even if its values are, and fast if it has an index. Its least and
            greatest values, and up to 256 rows, are asked for at the call.
        shard_hash_fn: a function of the database that gives whole numbers, by whose values rows are
            divided instead, for keys of any kind: ``"hashtext"`` (PostgreSQL), ``"CRC32"`` (MySQL),
            ``"hash"`` (DuckDB). Several keys go through ``CONCAT``.
        schema: types of columns, by name, that values are cast to: text to dates, for instance,
            where the database has none.
        parallelism: pieces, if there are *shard_keys*; -1 chooses.

    Raises:
        InvalidOption: *sql* is no text, keys cannot be divided, or options do not go together.
        TypeError: *connection_factory* is no function, or gives no connection.
        ReadError: the database refuses the statement, at the call if there are *shard_keys* and
            when read otherwise; names the statement, with the database's message. Or a column's
            values have no common type, or not that of *schema*.
        ColumnNotFound: *schema* names a column that there is not.
    """
    statement = Statement(check_statement("read_sql", sql), _checked_parameters(sql_params))
    source = SQLDatasource(
        statement,
        check_factory("read_sql", connection_factory),
        _key(shard_keys, shard_hash_fn, parallelism),
        check_types(schema),
    )
    return read_datasource(source.checked(), parallelism=parallelism)


def _checked_parameters(given: object) -> Parameters | None:
    if given is None or isinstance(given, (list, tuple, Mapping)):
        return given
    raise InvalidOption(
        f"read_sql: sql_params must be a list, a tuple or a dictionary, got {given!r:.80}"
    )


def _key(keys: object, hash_fn: object, parallelism: int) -> str | None:
    """What rows are divided by.

    Raises:
        InvalidOption: the arguments say nothing about that, or too much.
    """
    if hash_fn is not None and not (
        isinstance(hash_fn, str) and all(is_plain_name(part) for part in hash_fn.split("."))
    ):
        raise InvalidOption(
            "read_sql: shard_hash_fn must be the name of a function of the database, such as"
            f" 'hashtext', got {hash_fn!r:.80}"
        )
    if keys is None:
        if hash_fn is not None:
            raise InvalidOption("read_sql: shard_hash_fn needs shard_keys, which it is applied to")
        if parallelism not in (-1, 1):
            raise InvalidOption(
                f"read_sql: parallelism={parallelism!r} needs shard_keys, a column by whose values"
                " rows are divided"
            )
        return None
    names = check_names("read_sql: shard_keys", keys)
    if len(names) > 1 and hash_fn is None:
        raise InvalidOption(
            f"read_sql: {len(names)} shard_keys need shard_hash_fn, a function of the database that"
            " makes a whole number of them; or name one column of numbers or times"
        )
    return key_expression(names, hash_fn)
