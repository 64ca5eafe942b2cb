"""Picking, dropping and renaming columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from air.data.arguments import check_names
from air.data.consumption import Consumption
from air.data.expressions.expr import Expression
from air.data.expressions.operators import WithColumn
from air.data.transforms import DropColumns, RenameColumns, SelectColumns
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses

_NO_COMPUTE = "picking columns is done where the rows are made"


@methods_suggest_keywords
class ColumnMethods(Consumption):
    """The part of :class:`air.data.Dataset` that is about whole columns."""

    @refuses(compute=_NO_COMPUTE)
    def select_columns(self, cols: str | Sequence[str]) -> Self:
        """Keep only these columns, in this order; a Parquet file's others are not read.

        Raises:
            ColumnNotFound: there is no such column (at the call where the columns are known,
                otherwise when the plan runs).
        """
        names = check_names("select_columns", cols)
        self.check_columns(names, "select_columns")
        return self.with_transform(SelectColumns(names))

    @refuses(compute=_NO_COMPUTE)
    def drop_columns(self, cols: str | Sequence[str]) -> Self:
        """Leave out these columns; errors as for :meth:`select_columns`."""
        names = check_names("drop_columns", cols)
        self.check_columns(names, "drop_columns")
        return self.with_transform(DropColumns(names))

    def with_column(self, name: str, expression: Expression) -> Self:
        """Add a column worked out from others, or replace the one of that name.

        Args:
            name: of the column.
            expression: such as ``col("price") * col("count")``; see
                :mod:`air.data.expressions.expr`.

        Raises:
            TypeError: *expression* is none; for a function use :meth:`add_column`.
            ColumnNotFound: it is of a column that there is not (at the call where the columns
                are known, otherwise when the plan runs).
            UnsupportedValue: when the plan runs: it is not defined for the types of its columns.
        """
        if not isinstance(name, str):
            raise InvalidOption(f"with_column: name must be text, got {name!r:.80}")
        if not isinstance(expression, Expression):
            raise TypeError(
                f"with_column takes an expression such as col('a') + 1, got {expression!r:.80};"
                " for a function use add_column, for one value for all rows lit(value)"
            )
        self.check_columns(sorted(expression.columns()), "with_column")
        return self.with_transform(WithColumn(name, expression))

    def rename_columns(self, names: Mapping[str, str]) -> Self:
        """Give columns other names, as ``{"old": "new"}``.

        Raises:
            ColumnNotFound: as for :meth:`select_columns`.
            InvalidOption: *names* maps anything but text to text, or two columns would have
                one name.
        """
        is_text = isinstance(names, Mapping) and all(
            isinstance(name, str) for pair in names.items() for name in pair
        )
        if not is_text or not names:
            raise InvalidOption(
                f"rename_columns takes a mapping of old to new names, got {names!r:.80}"
            )
        self.check_columns(names, "rename_columns")
        step = RenameColumns(tuple(names.items()))
        renamed = step.columns(self._plan.columns()) or list(names.values())
        if len(set(renamed)) < len(renamed):
            twice = sorted({name for name in renamed if renamed.count(name) > 1})
            raise InvalidOption(f"rename_columns would name several columns {twice[0]!r}")
        return self.with_transform(step)
