"""DataFrames from and to Arrow tables.

Types survive the way there and back: nulls in pandas are nulls again in Arrow, tensor columns
come as objects that say what they were. Functions see whole numbers with nulls in pandas' nullable
arrays (``Int64`` ...), so that what they give is of the same type whether there are nulls or not.
Where nobody gives anything back they become floats, as in pandas itself, unless floats would round
them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from air.data.blocks import tensor
from air.data.blocks.convert import (
    check_distinct,
    column_to_numpy,
    floats_would_round,
    loses_types_as_arrays,
    owned_elements,
)
from air.data.blocks.infer import column_from_values
from air.data.blocks.refusals import NO_COLUMN
from air.data.blocks.restoring import hides, restored, type_in
from air.data.blocks.schemas import without_columns
from air.data.errors import UnsupportedValue
from air.executor.extras import import_pandas

if TYPE_CHECKING:
    import pandas as pd

_STRING_LIMIT = 2**31


def table_to_pandas(table: pa.Table, *, nullable: bool = False) -> pd.DataFrame:
    """The table as a DataFrame with a fresh index, all of it the caller's own.

    Args:
        nullable: whole numbers with nulls are nullable ones, and never floats.

    Raises:
        ImportError: pandas is not installed.
    """
    pd = import_pandas("a DataFrame")
    own: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if isinstance(column.type, pa.Bool8Type):
            own[name] = column.cast(pa.bool_()).to_pandas().array
        elif tensor.is_tensor(column.type):
            own[name] = owned_elements(tensor.marked_elements(column))
        elif loses_types_as_arrays(column) or pa.types.is_list(column.type):
            own[name] = column_to_numpy(column, writable=True)
        elif floats_would_round(column) or (nullable and _are_integers_with_nulls(column)):
            own[name] = _nullable(column)
    if not own and table.column_names:
        return table.to_pandas()
    index = pd.RangeIndex(table.num_rows)
    plain = table.drop_columns(list(own)).to_pandas() if len(own) < table.num_columns else None
    series = {
        name: pd.Series(own[name], index=index) if plain is None or name in own else plain[name]
        for name in table.column_names
    }
    return pd.DataFrame(series, index=index, copy=False)


def is_divisible(table: pa.Table) -> bool:
    """Whether a DataFrame of some rows of the table is these rows of a DataFrame of the table.

    What a column becomes may depend on all its values, as whole numbers become floats next to a
    null.
    """
    return all(map(_stays_as_it_is, table.columns))


def _stays_as_it_is(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return not column.null_count
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_time = pa.types.is_timestamp(kind) or pa.types.is_duration(kind)
    return bool(is_text or is_time or pa.types.is_floating(kind))


def part_of(frame: pd.DataFrame, start: int, stop: int) -> pd.DataFrame:
    """Some rows of a DataFrame with a fresh index, all of it the caller's own."""
    pd = import_pandas("a DataFrame")
    part = frame.iloc[start:stop]
    if not _copies_on_write():
        part = part.copy()
    part.index = pd.RangeIndex(stop - start)
    return part


@functools.cache
def _copies_on_write() -> bool:
    """Whether what is done to a part of a DataFrame never reaches the whole: since pandas 3."""
    return int(import_pandas("a DataFrame").__version__.partition(".")[0]) >= 3


def with_named_index(frame: pd.DataFrame) -> pd.DataFrame:
    """*frame* with the levels of its index that have a name as its first columns.

    They are data, such as the keys that ``groupby`` leaves there; an index without a name only
    counts rows. A level that is a column as well is not there twice.
    """
    named = enumerate(frame.index.names)
    levels = [i for i, name in named if name is not None and name not in frame.columns]
    return frame.reset_index(level=levels, allow_duplicates=True) if levels else frame


def table_from_pandas(frame: pd.DataFrame, like: pa.Schema | None = None) -> pa.Table:
    """The columns of a DataFrame, their names as text, behind what its index has names for.

    Args:
        like: of the rows that a function made it of, for types that pandas does not have.

    Raises:
        UnsupportedValue: a column's name is there twice, or Arrow has no type for its values;
            names the column.
    """
    frame = with_named_index(frame)
    names = [str(name) for name in frame.columns]
    check_distinct(names, "a DataFrame")
    if not names:
        return without_columns(len(frame))
    own = {
        name: column_from_values(name, frame.iloc[:, position], type_in(like, name))
        for position, (name, dtype) in enumerate(zip(names, frame.dtypes, strict=True))
        if str(dtype) == "object" or str(dtype).startswith("Sparse")
    }
    rest = [position for position, name in enumerate(names) if name not in own]
    if rest:
        plain = frame.iloc[:, rest] if own else frame
        own.update(_plain_columns(plain.set_axis([names[i] for i in rest], axis=1), like))
    return pa.table({name: own[name] for name in names})


def _plain_columns(frame: pd.DataFrame, like: pa.Schema | None) -> dict[str, pa.ChunkedArray]:
    """Columns of types that Arrow knows."""
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except NO_COLUMN as error:
        for name in frame.columns:
            column_from_values(name, frame[name])  # says what is wrong with it
        raise UnsupportedValue(f"a DataFrame has no Arrow equivalent: {error}") from None
    made = dict(zip(table.column_names, table.columns, strict=True))
    for name, dtype in frame.dtypes.items():
        # pandas keeps text in large_string, whatever it was made from: undo that where it fits.
        column, kind = made[name], type_in(like, name)
        is_text = pa.types.is_large_string(column.type) and dtype == "str"
        if kind is not None and hides(kind) and not pa.types.is_dictionary(kind):
            column = restored(column, kind)
        elif kind is not None and kind != pa.string() and (is_text or dtype == "category"):
            column = _of_given(column, kind)
        if is_text and column.type == pa.large_string() != kind and column.nbytes < _STRING_LIMIT:
            column = column.cast(pa.string())
        made[name] = column
    return made


def _of_given(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Text or categories as the function was given them, not one as the other."""
    is_same = pa.types.is_dictionary(column.type) == pa.types.is_dictionary(kind)
    return restored(column, kind) if is_same else column


def _are_integers_with_nulls(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count and pa.types.is_integer(column.type))


def _nullable(column: pa.ChunkedArray) -> Any:
    pd = import_pandas("a DataFrame")
    values = column.fill_null(0).to_numpy()
    return pd.arrays.IntegerArray(values, column.is_null().to_numpy())
