"""Picking, dropping and renaming columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from air.data.arguments import check_names
from air.data.consumption import Consumption
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
