"""What preprocessors of columns have in common: they touch their columns and no others.

Whatever kind of batch comes in, they see Arrow columns and give Arrow columns; all other columns
of the batch are passed on as they are.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import NUMPY, PANDAS, PYARROW
from air.data.blocks import tensor
from air.data.blocks.convert import check_batch, check_distinct, column_to_numpy
from air.data.blocks.infer import column_from_values
from air.data.dataset import Dataset
from air.data.errors import UnsuitableData, UnsupportedValue, require_columns
from air.data.plan import Map
from air.data.preprocessor import Preprocessor, batch_kind
from air.data.summaries import Summaries, Summary, summarize
from air.data.transforms import ColumnsTransform
from air.errors import InvalidOption
from air.executor.extras import import_pandas

Column: TypeAlias = pa.ChunkedArray


class ColumnPreprocessor(Preprocessor, abc.ABC):
    """Base of preprocessors that replace, add and remove some columns."""

    @abc.abstractmethod
    def input_columns(self, available: Sequence[str]) -> list[str]:
        """The columns it works on, where *available* are there."""

    def output_columns(self, available: Sequence[str]) -> list[str]:
        """The columns that come out; the same ones unless a subclass says otherwise."""
        return list(available)

    @abc.abstractmethod
    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """New values, Arrow or numpy, for columns of the result, by name.

        Those that are not among :meth:`output_columns` need not be given.
        """

    def keeps_columns(self) -> bool:
        return type(self).output_columns is ColumnPreprocessor.output_columns

    def preferred_batch_format(self) -> str:
        return PYARROW

    def _transform(self, ds: Dataset) -> Dataset:
        known = ds.known_columns()
        ds.check_columns(self.input_columns(known or ()), type(self).__name__)
        if known is not None:
            self.output_columns(known)  # complains about names that are taken
        step = _TransformColumns(self)
        return ds.over(lambda plan: Map(plan, step))

    def _transform_native(self, batch: Any) -> Any:
        return self._transform_batch(batch)

    def _transform_batch(self, data: Any) -> Any:
        kind = batch_kind(data)
        names = list(data.column_names if kind == PYARROW else data)
        check_distinct(names, "a batch")
        if kind == NUMPY:
            check_batch(data)
        wanted = self.input_columns(names)
        require_columns(wanted, names, type(self).__name__)
        made = self.transform_columns({name: _column(name, data[name]) for name in wanted})
        kept = self.output_columns(names)
        if kind == PYARROW:
            return pa.table(
                {name: _arrow(name, made[name]) if name in made else data[name] for name in kept}
            )
        if kind == PANDAS:
            return _pandas(data, made, kept)
        return {name: _numpy(made[name]) if name in made else data[name] for name in kept}

    def _summarize(self, ds: Dataset, request: Mapping[str, Sequence[type[Summary]]]) -> Summaries:
        """What ``fit`` needs to know of columns, in one pass."""
        what = f"{type(self).__name__}.fit"
        ds.check_columns(request, what)
        found = summarize(ds, request, what)
        if found is None:
            raise UnsuitableData(
                f"{type(self).__name__} cannot be fitted on a dataset without rows"
            )
        return found


@dataclass(frozen=True)
class _TransformColumns(ColumnsTransform):
    """A preprocessor as an operator."""

    preprocessor: ColumnPreprocessor

    @property
    def name(self) -> str:
        return type(self.preprocessor).__name__

    def apply(self, table: pa.Table) -> pa.Table:
        return self.preprocessor.transform_batch(table)

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None if columns is None else self.preprocessor.output_columns(columns)


def check_columns(preprocessor: Preprocessor, columns: object) -> list[str]:
    """*columns* as given to a preprocessor, checked.

    Raises:
        InvalidOption: no list of names, or an empty one, or a name twice.
    """
    name = type(preprocessor).__name__
    if not isinstance(columns, (list, tuple)) or not columns:
        raise InvalidOption(f"{name}: columns must be a list of names, got {columns!r:.80}")
    for column in columns:
        if not isinstance(column, str):
            raise InvalidOption(f"{name}: columns must be names, got {column!r:.80}")
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise InvalidOption(f"{name} was given column {twice!r} twice")
    return list(columns)


def check_free(preprocessor: Preprocessor, made: Sequence[str], kept: Sequence[str]) -> None:
    """Raise :class:`InvalidOption` if a column that is made has the name of another one."""
    others = set(kept)
    for name in made:
        if name in others:
            raise InvalidOption(
                f"{type(preprocessor).__name__} makes a column {name!r}, and there is another one"
                " of that name; rename columns first: rename_columns"
            )
        others.add(name)


def numbers(preprocessor: Preprocessor, name: str, column: Column) -> np.ndarray:
    """The numbers in a column as floats, NaN for nulls; ``float32`` stays what it is.

    Raises:
        UnsupportedValue: the column holds something else.
    """
    kind = column.type
    if pa.types.is_float32(kind):
        return column_to_numpy(column)
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        plain = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
        return column_to_numpy(plain.cast(pa.float64(), safe=False))
    raise UnsupportedValue(
        f"{type(preprocessor).__name__}: column {name!r} has the type {kind}, numbers are needed"
    )


def with_nulls_of(column: Column, values: np.ndarray) -> pa.Array:
    """*values* as an Arrow column that is null where *column* is."""
    if not column.null_count:
        return pa.array(values)
    return pa.array(values, mask=column.is_null().to_numpy())


def _column(name: str, values: Any) -> Column:
    made = column_from_values(name, values)
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])


def _arrow(name: str, values: Any) -> Any:
    return column_from_values(name, values)


def _numpy(values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    return column_to_numpy(
        values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    )


def _pandas(frame: Any, made: Mapping[str, Any], kept: Sequence[str]) -> Any:
    pd = import_pandas("a DataFrame")
    result = frame.copy(deep=False)
    for name, values in made.items():
        if isinstance(values, np.ndarray) and values.ndim == 1:
            fresh: Any = pd.Series(values, index=frame.index)
        else:
            column = _column(name, values)
            if tensor.is_tensor(column.type):
                fresh = pd.Series(tensor.marked_elements(column), index=frame.index)
            else:
                fresh = column.to_pandas()
                fresh.index = frame.index
        result[name] = fresh
    return result[list(kept)]
