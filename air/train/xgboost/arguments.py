"""Checking the arguments of an `XGBoostTrainer`, without XGBoost."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number, nearest, reject_unknown
from air.train.xgboost.columns import COLUMN_SETTINGS
from air.train.xgboost.matrix import MATRIX_SETTINGS

TRAIN_KWARGS = ("callbacks", "custom_metric", "early_stopping_rounds", "maximize", "obj")
"""Options that are passed on to ``xgboost.train``."""

INSTEAD = {
    "dtrain": ' Give the data as datasets={"train": ...}.',
    "evals": " Give what is to be evaluated as further datasets.",
    "evals_result": " Metrics of all rounds are in Result.metrics_dataframe.",
    "feval": " Give the function as custom_metric.",
    "verbose_eval": " Metrics of all rounds are in Result.metrics_dataframe.",
    "xgb_model": " Give the checkpoint of the model to go on from as resume_from_checkpoint.",
}
"""What to do instead, of options of ``xgboost.train`` that a trainer has another way for."""

_ROUNDS = frozenset({"n_estimators", "num_round", "num_rounds", "nrounds", "num_iterations"})
"""What other interfaces of XGBoost and its kin call ``num_boost_round``."""


def check_own_params(params: object, own: Iterable[str], trainer: str) -> None:
    """See that *params* is a dict that does not hold what are the trainer's *own* arguments.

    Which other names it may hold is for XGBoost to say.

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
                f"{trainer}: params has {key!r}, which XGBoost would ignore there. It is an "
                f"argument of the trainer: {trainer}(..., {argument}={params[key]!r})."
            )


def check_train_kwargs(options: Mapping[str, Any], trainer: str) -> None:
    """Check the values of options of ``xgboost.train``; ``None`` is none.

    Raises:
        InvalidOption: one of them could not be used.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "early_stopping_rounds" in given:
        check_number(
            given["early_stopping_rounds"],
            f"{trainer}: early_stopping_rounds",
            minimum=1,
            integer=True,
        )
    if "maximize" in given:
        check_flag(given["maximize"], f"{trainer}: maximize")
    for name in ("custom_metric", "obj"):
        if name in given and not callable(given[name]):
            raise InvalidOption(f"{trainer}: {name} must be a function, got {given[name]!r}")
    callbacks = given.get("callbacks", ())
    if not isinstance(callbacks, (list, tuple)):
        raise InvalidOption(f"{trainer}: callbacks must be a list, got {callbacks!r}")
    for callback in callbacks:
        if isinstance(callback, type) or not hasattr(callback, "after_iteration"):
            hint = " Give an instance." if isinstance(callback, type) else ""
            raise InvalidOption(
                f"{trainer}: callbacks must be objects of xgboost.callback.TrainingCallback, got "
                f"{callback!r}.{hint}"
            )


def checked_metric(metric: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """A ``custom_metric`` whose results are looked at before XGBoost takes them apart.

    Raises (the function, when it is called):
        InvalidOption: they are not what XGBoost takes.
    """
    if metric is None:
        return None

    @functools.wraps(metric)
    def checked(*arguments: Any) -> Any:
        found = metric(*arguments)
        for each in found if isinstance(found, list) else [found]:
            is_pair = isinstance(each, (tuple, list)) and len(each) == 2
            if not (is_pair and isinstance(each[0], str)):
                raise InvalidOption(
                    "custom_metric returns the metric as (name, value), or several in a list, got "
                    f"{found!r:.80}"
                )
            check_name(each[0], "custom_metric: a metric")
        return found

    return checked


def check_name(name: str, what: str, signs: str = ":") -> None:
    """Raise `InvalidOption` for a name with spaces or *signs*, which split the names of metrics."""
    fit = re.sub(rf"[{signs}\s]", "_", name)
    if fit != name:
        raise InvalidOption(
            f"{what} cannot be called {name!r}: it is a part of names of metrics, which are taken "
            f"apart at spaces and {signs!r}. Call it {fit!r}."
        )


def check_matrix_settings(given: object, datasets: Mapping[str, Any], trainer: str) -> None:
    """Check ``dmatrix_params``.

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
        reject_unknown(settings, MATRIX_SETTINGS, what=what)
        for role in COLUMN_SETTINGS:
            column = settings.get(role)
            if column is not None and (not isinstance(column, str) or not column):
                raise InvalidOption(
                    f"{trainer}: {what}: {role} is the name of a column, got {column!r}"
                )
        missing = settings.get("missing")
        if not (isinstance(missing, float) and math.isnan(missing)) and missing is not None:
            check_number(missing, f"{trainer}: {what}: missing")
        if settings.get("qid") is not None and settings.get("weight") is not None:
            raise InvalidOption(
                f"{trainer}: {what}: XGBoost weighs whole groups when it ranks, and weight is a "
                "column with a weight for each row. Leave weight or qid out."
            )
