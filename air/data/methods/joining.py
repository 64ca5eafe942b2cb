"""Rows of two datasets that have equal keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from air.data.arguments import check_names
from air.data.consumption import Consumption
from air.data.joining.spec import KINDS, JoinSpec
from air.data.plan import Join
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import listing, nearest


@methods_suggest_keywords
class JoinMethods(Consumption):
    """The part of :class:`air.data.Dataset` that joins."""

    def join(
        self,
        other: Consumption,
        on: str | Sequence[str],
        how: str = "inner",
        *,
        right_on: str | Sequence[str] | None = None,
        suffixes: tuple[str, str] = ("_x", "_y"),
    ) -> Self:
        """Rows of this dataset with those of *other* that have the same keys, as pandas merges.

        Missing keys, null and NaN, match each other. Rows come out in the order of this dataset,
        and for one of its rows in the order of *other*; with ``"right"`` it is the other way
        round, and with ``"outer"`` they are sorted by their keys, missing ones last. This holds
        for any blocks and wherever it is run.

        Columns are those of this dataset, then those of *other*. A key that is named alike on both
        sides comes once; keys of different names are both kept. Where there is no match values are
        null.

        *other* (with ``"right"`` this dataset) is made first. If it is small, each block is joined
        as it comes. Otherwise both are sorted by key, waiting in files where they are more than a
        quarter of ``DataContext.memory_budget`` each. Rows that share one key are
        joined some at a time, of both sides, however many there are; with ``"outer"`` those of
        *other* with one key must fit into memory.

        Args:
            on: the columns that must be equal, a name or a list of them.
            how: ``"inner"`` keeps pairs; ``"left"`` also rows of this dataset without a match,
                ``"right"`` those of *other*, ``"outer"`` both; ``"semi"`` gives the rows of this
                dataset that have a match, once each, and ``"anti"`` those that have none, both
                with no columns of *other*.
            right_on: the columns of *other*, as many as *on*, if they have other names.
            suffixes: what is put behind names of columns, other than keys, that are on both sides:
                on this one, and on that of *other*.

        Raises:
            TypeError: *other* is no dataset.
            InvalidOption: *how* is unknown (names the nearest), there are not as many keys on both
                sides, or two columns would have one name.
            ColumnNotFound: a key is no column (at the call where columns are known).
            UnsupportedValue: when it is run: types of keys do not go together or cannot be
                compared, or rows are plain objects. Truth values do not go together with numbers:
                pandas gives a column of both for them, which has no type.
        """
        if not isinstance(other, Consumption):
            raise TypeError(f"join takes a dataset, got {type(other).__name__}")
        left = check_names("join: on", on)
        right = left if right_on is None else check_names("join: right_on", right_on)
        if len(left) != len(right):
            raise InvalidOption(
                f"join: on and right_on must name as many columns, got {len(left)} and {len(right)}"
            )
        if how not in KINDS:
            raise InvalidOption(
                f"join: how={how!r} is unknown.{nearest(how, KINDS)} It may be {listing(KINDS)}"
            )
        spec = JoinSpec(left, right, how, _checked(suffixes))
        self.check_columns(left, "join")
        other.check_columns(right, "join")
        mine, theirs = self.known_columns(), other.known_columns()
        if mine is not None and theirs is not None:
            spec.columns(mine, theirs)
        return self.over(lambda plan: Join(plan, other.plan, spec))


def _checked(suffixes: Any) -> tuple[str, str]:
    given = list(suffixes) if isinstance(suffixes, (list, tuple)) else []
    if len(given) != 2 or not all(isinstance(one, str) for one in given):
        raise InvalidOption(
            f'join: suffixes must be two texts such as ("_x", "_y"), got {suffixes!r:.80}'
        )
    return given[0], given[1]
