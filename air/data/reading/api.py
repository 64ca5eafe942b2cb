"""How datasets are made: from what is in memory, and from files.

Readers of files import their source when they are called: most programs read one format.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.data.arguments import check_names, check_opening
from air.data.batching.batch_format import is_pandas_frame
from air.data.blocks.block import Block, accessor, block_from_rows, owned
from air.data.blocks.convert import checked_table, table_from_columns
from air.data.blocks.frames import table_from_pandas
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import conform, unify
from air.data.context import DataContext
from air.data.dataset import Dataset
from air.data.datasource import Datasource
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import FileSet, PathLike, require_text, resolve_paths
from air.data.datasources.range import ARRAY_COLUMN, RangeDatasource
from air.data.errors import require_columns
from air.data.execution.exchange.partitioners import equal_edges
from air.data.plan import InputBlocks, Read
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag, check_number

if TYPE_CHECKING:
    import pandas as pd

AUTO_BLOCKS = 16
"""Blocks that a dataset gets at least when ``parallelism`` is -1 and it has as many rows or
files. It does not depend on the machine, so that results do not either."""

_MAX_AUTO_BLOCKS = 4096
"""Beyond so many pieces planning them would take longer than reading some of them in parts."""

REFUSED_BY_READS = {
    "ray_remote_args": "reading takes a CPU for each piece; parallelism says how many there are",
    "meta_provider": "sizes and columns are found out without one",
    "partition_filter": "give the files that are wanted, as a list or a pattern",
}
_PARSE_OPTIONS = "use parse_options=pyarrow.csv.ParseOptions(delimiter=..., quote_char=...)"
_READ_OPTIONS = (
    "use read_options=pyarrow.csv.ReadOptions(column_names=[...], skip_rows=..., encoding=...)"
)
_CONVERT_OPTIONS = (
    "use convert_options=pyarrow.csv.ConvertOptions(column_types={...}, null_values=[...])"
)


@suggests_keywords
def range(n: int, *, parallelism: int = -1) -> Dataset:
    """The ints ``0 <= i < n``, as plain objects.

    Args:
        parallelism: blocks; -1 chooses.
    """
    return _range(RangeDatasource(_count("range", n)), parallelism)


@suggests_keywords
def range_table(n: int, *, parallelism: int = -1) -> Dataset:
    """The ints ``0 <= i < n``, as records with the column ``value``."""
    return _range(RangeDatasource(_count("range_table", n), "table"), parallelism)


@suggests_keywords
def range_tensor(n: int, *, shape: Sequence[int] = (1,), parallelism: int = -1) -> Dataset:
    """Records whose column ``data`` holds arrays of *shape* filled with ``0 <= i < n``."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise InvalidOption(f"range_tensor: shape must be a tuple of sizes, got {shape!r}")
    sizes = tuple(
        int(check_number(size, "range_tensor: sizes in shape", minimum=1, integer=True))
        for size in shape
    )
    return _range(RangeDatasource(_count("range_tensor", n), "tensor", sizes), parallelism)


@suggests_keywords
@refuses(output_arrow_format="dictionaries become columns, all other items stay what they are")
def from_items(items: Iterable[Any], *, parallelism: int = -1) -> Dataset:
    """A row for each item: records if they are dictionaries, plain objects otherwise.

    Args:
        items: any iterable; it is gone through at the call.
        parallelism: blocks; -1 chooses.

    Raises:
        TypeError: *items* is text or a dictionary, or no iterable.
        UnsupportedValue: dictionaries are mixed with others, or a column's values have no
            common type.
    """
    if is_pandas_frame(items) or isinstance(items, (pa.Table, pa.RecordBatch)):
        instead = "from_pandas" if is_pandas_frame(items) else "from_arrow"
        raise TypeError(f"from_items takes a list of items, got a table: use {instead}")
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise TypeError(f"from_items takes a list of items, got {type(items).__name__}")
    # One block first, so that all rows are looked at together: what does not go together is found
    # now, and a column has one type.
    return divided(owned(block_from_rows(list(items))), "from_items", parallelism)


@suggests_keywords
def from_pandas(dfs: pd.DataFrame | Sequence[pd.DataFrame]) -> Dataset:
    """The rows of a DataFrame, or of several in turn; a block for each.

    An index with a name is a column, the first; one without is dropped.

    Raises:
        TypeError: something else is given.
        UnsupportedValue: a column is there twice or has values without a common type, also
            in different frames.
    """

    def table(frame: pd.DataFrame) -> pa.Table:
        # Arrow may share memory with the frame, which its owner may change.
        return table_from_pandas(frame.copy())

    return from_each("from_pandas", dfs, is_pandas_frame, table, "a DataFrame")


@suggests_keywords
def from_arrow(tables: pa.Table | Sequence[pa.Table]) -> Dataset:
    """The rows of an Arrow table, or of several in turn; a block for each, not copied.

    Raises:
        TypeError: something else is given.
        UnsupportedValue: a column is there twice, or in two tables with types that do not go
            together.
    """

    def is_table(value: object) -> bool:
        return isinstance(value, pa.Table)

    return from_each("from_arrow", tables, is_table, checked_table, "a pyarrow.Table")


@suggests_keywords
def from_numpy(ndarrays: np.ndarray | Sequence[np.ndarray]) -> Dataset:
    """Records with the column ``data``: the items of an array along its first dimension.

    Several arrays give their items in turn; a block for each.

    Raises:
        TypeError: something else is given.
    """

    def is_array(value: object) -> bool:
        return isinstance(value, np.ndarray) and value.ndim > 0

    def table(array: np.ndarray) -> pa.Table:
        # Arrow may share memory with the array, which its owner may change.
        return table_from_columns({ARRAY_COLUMN: array.copy()})

    return from_each("from_numpy", ndarrays, is_array, table, "a numpy.ndarray with a dimension")


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    **dict.fromkeys(("sep", "delimiter", "quotechar"), _PARSE_OPTIONS),
    **dict.fromkeys(("names", "header", "skiprows", "encoding"), _READ_OPTIONS),
    **dict.fromkeys(("dtype", "na_values", "parse_dates"), _CONVERT_OPTIONS),
    **dict.fromkeys(("usecols", "columns"), "use .select_columns([...]) on the result"),
    nrows="use .limit(n) on the result",
)
def read_csv(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    read_options: Any = None,
    parse_options: Any = None,
    convert_options: Any = None,
) -> Dataset:
    """The rows of CSV files with a line of names first, in the order of the files.

    An empty field is a missing value, in columns of text too, unless ``convert_options`` are
    given. Whole numbers that 64 bits cannot hold stay what they are in the file: text. Files may
    differ in their columns: a column that a file lacks is null there, and a column of whole
    numbers in one and of fractions in another holds floats in all.

    Args:
        paths: a file, a directory (files that end with ``.csv``, sorted), a pattern (``*``,
            ``?``, ``[...]``, and ``**`` for directories), a URI (Arrow's, such as
            ``s3://bucket/key``, whose server and region are those of ``AWS_ENDPOINT_URL`` and
            ``AWS_REGION``, or of ``?endpoint_override=...&scheme=http&region=...`` behind
            it, and whose credentials are found in the environment of whoever reads, workers too;
            fsspec's, such as ``memory://``, with the extra ``fsspec``; or a table that comes with
            the package: ``example://iris.csv``, ``example://iris.parquet``,
            ``example://breast_cancer.csv``), or a list of them. Compressed
            files are known by their ending.
        filesystem: a ``pyarrow.fs.FileSystem`` or fsspec one that all paths are in.
        parallelism: pieces to read apart; -1 chooses.
        partitioning: columns that directories give: those named ``name=value`` unless it says
            otherwise; see :class:`air.data.Partitioning`. ``None`` for none.
        ignore_missing_paths: leave out paths that do not exist, as long as one does.
        include_paths: add a column ``path`` with the file of each row.
        arrow_open_stream_args: how to open files: ``{"compression": "gzip"}`` where the ending
            does not tell, ``{"buffer_size": bytes}``.
        read_options: a ``pyarrow.csv.ReadOptions``; parse_options and convert_options likewise.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: a file cannot be parsed (names it and the row), or a column holds numbers in
            one file and text in another (names both). Files are looked at now: small ones
            whole, of large ones the beginning, up to 256 of them. The rest is found out when
            it is read.
    """
    from air.data.datasources.csv import CSVDatasource

    files = files_of("read_csv", paths, filesystem, (".csv",), partitioning, ignore_missing_paths)
    require_text(files, "read_csv")
    source = CSVDatasource(
        files,
        includes_path=check_flag(include_paths, "read_csv: include_paths"),
        opening=check_opening("read_csv", arrow_open_stream_args),
        read_options=read_options,
        parse_options=parse_options,
        convert_options=convert_options,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    **dict.fromkeys(("filter", "filters"), "use .filter(...) on the result"),
    tensor_column_schema="columns of arrays are known by what the file says",
    arrow_open_stream_args="Parquet files say themselves how they are compressed",
)
def read_parquet(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    columns: Sequence[str] | None = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
) -> Dataset:
    """The rows of Parquet files, in the order of the files.

    Files may differ in their columns and types, as those of :func:`read_csv` may. An index that
    pandas wrote is a column, ``__index_level_0__`` if it had no name.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths: as for
            :func:`read_csv`; a directory's files are those that end with ``.parquet``.
        columns: the columns to read; ``select_columns`` right after has the same effect.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ColumnNotFound: no file has such a column.
        ReadError: a file is no Parquet file, or a column has types in two files that do not go
            together; of the first 256 files this is found out now.
    """
    from air.data.datasources.parquet import ParquetDatasource

    wanted = None if columns is None else check_names("read_parquet: columns", columns)
    extensions = (".parquet", ".pq")
    files = files_of(
        "read_parquet", paths, filesystem, extensions, partitioning, ignore_missing_paths
    )
    includes_path = check_flag(include_paths, "read_parquet: include_paths")
    source = ParquetDatasource(files, includes_path=includes_path).checked()
    if wanted is not None:
        assert source.common is not None
        require_columns(wanted, source.common.names, "read_parquet")
        source = source.with_columns(wanted)
    return read_datasource(source, parallelism=parallelism)


@suggests_keywords
def read_datasource(datasource: Datasource, *, parallelism: int = -1) -> Dataset:
    """The rows of a source of one's own; see :class:`air.data.Datasource`.

    Raises:
        TypeError: *datasource* is no ``Datasource``.
    """
    if not isinstance(datasource, Datasource):
        raise TypeError(f"read_datasource takes an air.data.Datasource, got {datasource!r:.80}")
    size = datasource.estimate_inmemory_data_size()
    return Dataset(Read(datasource, _parallelism(parallelism, size)))


def divided(block: Block, what: str, parallelism: int) -> Dataset:
    """The rows of a block that is here, in about equally large parts of it.

    Args:
        what: the function that has been called.
        parallelism: parts; -1 chooses.
    """
    rows = accessor(block)
    blocks = min(_parallelism(parallelism, None), max(rows.num_rows(), 1))
    handles = [
        BlockHandle.of_block(rows.slice(first, last), f"{what}, items {first}-{last - 1}")
        for first, last in itertools.pairwise(equal_edges(rows.num_rows(), blocks))
    ]
    return Dataset(InputBlocks(tuple(handles), what))


def from_each(what: str, given: Any, fits: Any, make: Any, wanted: str) -> Dataset:
    """The rows of a table of some kind, or of a list of them in turn; a block for each.

    Args:
        what: the function that has been called, for messages.
        fits: whether something is such a table, of which *make* makes one of Arrow's.
        wanted: what such a table is called.
    """
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    for item in items:
        if not fits(item):
            raise TypeError(f"{what} takes {wanted} or a list of them, got {type(item).__name__}")
    if not items:
        raise InvalidOption(f"{what} was given an empty list")
    named = [what] if len(items) == 1 else [f"{what}, item {i}" for i, _ in enumerate(items)]
    tables: list[pa.Table] = [make(item) for item in items]
    # Items without rows do not decide: an empty frame's columns have any type.
    deciding = [pair for pair in zip(tables, named, strict=True) if len(pair[0])]
    if deciding:
        schema = unify([table.schema for table, _ in deciding], [name for _, name in deciding])
        tables = [conform(t, schema) if len(t) else schema.empty_table() for t in tables]
    handles = map(BlockHandle.of_block, tables, named)
    return Dataset(InputBlocks(tuple(handles), what))


def files_of(
    what: str,
    paths: PathLike | Sequence[PathLike],
    filesystem: Any,
    extensions: Sequence[str],
    partitioning: object,
    ignore_missing_paths: object,
) -> FileSet:
    """The files that arguments of the reader *what* stand for, which are checked.

    Args:
        extensions: of the files of a directory; all of them if there are none.
    """
    if partitioning is not None and not isinstance(partitioning, Partitioning):
        raise InvalidOption(
            f"{what}: partitioning must be an air.data.Partitioning, such as"
            f" Partitioning('hive'), or None, got {partitioning!r:.80}"
        )
    return resolve_paths(
        paths,
        filesystem,
        extensions,
        partitioning=partitioning,
        ignore_missing=check_flag(ignore_missing_paths, f"{what}: ignore_missing_paths"),
    )


def _range(source: RangeDatasource, parallelism: int) -> Dataset:
    size = source.estimate_inmemory_data_size()
    return Dataset(Read(source, _parallelism(parallelism, size)))


def _parallelism(given: int, size_bytes: int | None) -> int:
    if given != -1:
        return int(check_number(given, "parallelism (-1 chooses)", minimum=1, integer=True))
    by_size = -(-(size_bytes or 0) // DataContext.get_current().target_max_block_size)
    return min(max(AUTO_BLOCKS, by_size), _MAX_AUTO_BLOCKS)


def _count(what: str, n: object) -> int:
    return int(check_number(n, f"{what}: n", minimum=0, integer=True))
