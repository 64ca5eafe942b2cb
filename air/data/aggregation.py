"""Numbers about whole columns, one pass for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from air.data.blocks.block import VALUE_COLUMN
from air.data.consumption import Consumption
from air.data.errors import require_columns
from air.data.measures import Measures
from air.data.summaries import Extremes, Summary, Total, no_columns, summarize
from air.data.uniques import Uniques
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag, check_number

On = str | Sequence[str] | None


@methods_suggest_keywords
class Aggregations(Consumption):
    """The part of :class:`air.data.Dataset` that computes numbers about columns.

    Each takes ``on``, a column or a list of them (all columns when ``None``), and returns the
    number for one column, or a dictionary such as ``{"sum(a)": 3, "sum(b)": 7}``. Plain objects
    have no columns: the number is about the objects. Missing values (nulls, NaN) are left out;
    with ``ignore_nulls=False`` a column that has any gives ``None``, as does one without
    values.

    All raise ``ColumnNotFound`` for an unknown column and ``UnsupportedValue`` for one whose
    type has no such number. Sums of whole numbers are exact, however large they are.
    """

    def sum(self, on: On = None, ignore_nulls: bool = True) -> Any:
        """The sum of each column of numbers or durations."""

        def total(found: Total) -> Any:
            return found.total

        return self._aggregate("sum", on, Total, total, ignore_nulls)

    def min(self, on: On = None, ignore_nulls: bool = True) -> Any:
        """The smallest value of each column."""

        def smallest(found: Extremes) -> Any:
            return found.smallest

        return self._aggregate("min", on, Extremes, smallest, ignore_nulls)

    def max(self, on: On = None, ignore_nulls: bool = True) -> Any:
        """The largest value of each column."""

        def largest(found: Extremes) -> Any:
            return found.largest

        return self._aggregate("max", on, Extremes, largest, ignore_nulls)

    def mean(self, on: On = None, ignore_nulls: bool = True) -> Any:
        """The mean of each column; of points in time and durations in their unit, cut off."""

        def mean(found: Measures) -> Any:
            return found.mean

        return self._aggregate("mean", on, Measures, mean, ignore_nulls)

    def std(self, on: On = None, ddof: int = 1, ignore_nulls: bool = True) -> Any:
        """The standard deviation of each column, with *ddof* degrees of freedom taken off.

        That of points in time and of durations is a duration, rounded down to their unit.
        """
        taken_off = int(check_number(ddof, "std: ddof", minimum=0, integer=True))

        def std(found: Measures) -> Any:
            return found.std(taken_off)

        return self._aggregate("std", on, Measures, std, ignore_nulls)

    def unique(self, column: str | None = None) -> list[Any]:
        """The different values of a column (or of plain objects) in order of appearance."""
        name = self._columns_for("unique", column)[0] if column is not None else VALUE_COLUMN
        if column is None and self.columns() is not None:
            raise InvalidOption("unique: name a column")
        found = summarize(self, {name: [Uniques]}, "unique", of_objects=column is None)
        return [] if found is None else found[Uniques, name].values

    def _aggregate(
        self,
        what: str,
        on: On,
        kind: type[Any],
        result: Callable[[Any], Any],
        ignore_nulls: bool,
    ) -> Any:
        check_flag(ignore_nulls, f"{what}: ignore_nulls")
        names = self._columns_for(what, on)
        request: dict[str, list[type[Summary]]] = {name: [kind] for name in names}
        found = summarize(self, request, what, of_objects=on is None and names == [VALUE_COLUMN])
        values: dict[str, Any] = {}
        for name in names:
            summary = found[kind, name] if found is not None else None
            is_void = summary is None or (summary.missing and not ignore_nulls)
            values[name] = None if is_void else result(summary)
        if isinstance(on, str) or names == [VALUE_COLUMN]:
            return values[names[0]]
        return {f"{what}({name})": value for name, value in values.items()}

    def _columns_for(self, what: str, on: On) -> list[str]:
        if on is None:
            known = self.columns()
            return [VALUE_COLUMN] if known is None else known
        names = [on] if isinstance(on, str) else list(on)
        if not names or not all(isinstance(name, str) for name in names):
            raise InvalidOption(f"{what}: on must be a column or a list of columns, got {on!r:.80}")
        # Where columns are not known it is told as they are summed up, not by a run before.
        columns = self.known_columns()
        if columns is not None:
            require_columns(names, columns, what)
        elif isinstance(self._plan.schema(), type):
            raise no_columns(what)
        return names
