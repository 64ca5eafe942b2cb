"""Checking what trainers take that boost trees, without the library that does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import check_number, nearest, reject_unknown

_ROUNDS = frozenset({"n_estimators", "num_round", "num_rounds", "nrounds", "num_iterations"})
"""What other interfaces of such libraries call ``num_boost_round``."""


def check_own_params(params: object, own: Iterable[str], trainer: str, library: str) -> None:
    """See that *params* is a dict that does not hold what are the trainer's *own* arguments.

    Which other names it may hold is for the library to say.

    Raises:
        InvalidOption: it is something else, or does.
    """
    if not isinstance(params, Mapping):
        raise InvalidOption(f"{trainer}: params must be a dict, got {params!r}")
    for key in params:
        if not isinstance(key, str):
            raise InvalidOption(f"{trainer}: the names in params are text, got {key!r}")
        argument = "num_boost_round" if key in _ROUNDS else key
        if argument in own:
            raise InvalidOption(
                f"{trainer}: params has {key!r}, which {library} does not take from there. "
                f"It is an argument of the trainer: {trainer}(..., {argument}={params[key]!r})."
            )


def check_early_stopping(options: Mapping[str, Any], trainer: str) -> None:
    """Raise `InvalidOption` for ``early_stopping_rounds`` that are no number of rounds."""
    if options.get("early_stopping_rounds") is not None:
        check_number(
            options["early_stopping_rounds"],
            f"{trainer}: early_stopping_rounds",
            minimum=1,
            integer=True,
        )


def check_name(name: str, what: str, signs: str = ":") -> None:
    """Raise `InvalidOption` for a name with spaces or *signs*, which split the names of metrics."""
    fit = re.sub(rf"[{signs}\s]", "_", name)
    if fit != name:
        raise InvalidOption(
            f"{what} cannot be called {name!r}: it is a part of names of metrics, which are taken "
            f"apart at spaces and {signs!r}. Call it {fit!r}."
        )


def check_matrix_settings(
    given: object,
    datasets: Mapping[str, Any],
    trainer: str,
    roles: Sequence[str],
    others: Sequence[str] = (),
) -> None:
    """Check ``dmatrix_params``.

    Args:
        roles: settings that name a column.
        others: settings that do not, whose values are not looked at.

    Raises:
        InvalidOption: it is no dict of dicts, names a dataset or a setting that there is not, or
            has a value that a setting cannot have.
    """
    if not isinstance(given, Mapping):
        raise InvalidOption(f"{trainer}: dmatrix_params must be a dict of dicts, got {given!r}")
    for dataset, settings in given.items():
        what = f"dmatrix_params[{dataset!r}]"
        if dataset not in datasets:
            raise InvalidOption(
                f"{trainer}: dmatrix_params is by dataset, and {dataset!r} is none of "
                f"{sorted(datasets)}.{nearest(dataset, datasets)}"
            )
        if not isinstance(settings, Mapping):
            raise InvalidOption(f"{trainer}: {what} must be a dict, got {settings!r}")
        reject_unknown(settings, [*roles, *others], what=what)
        for role in roles:
            column = settings.get(role)
            if column is not None and (not isinstance(column, str) or not column):
                raise InvalidOption(
                    f"{trainer}: {what}: {role} is the name of a column, got {column!r}"
                )
