"""Checking the arguments of an `XGBoostTrainer`, without XGBoost."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number
from air.train.boosting.arguments import check_early_stopping, check_name

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


def check_train_kwargs(options: Mapping[str, Any], trainer: str) -> None:
    """Check the values of options of ``xgboost.train``; ``None`` is none.

    Raises:
        InvalidOption: one of them could not be used.
    """
    given = {name: value for name, value in options.items() if value is not None}
    check_early_stopping(given, trainer)
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


def check_values(given: Mapping[str, Mapping[str, Any]], trainer: str) -> None:
    """Check the values in ``dmatrix_params`` that name no column, and which go together.

    Raises:
        InvalidOption: ``missing`` is no number, or there are weights of rows beside groups.
    """
    for dataset, settings in given.items():
        what = f"dmatrix_params[{dataset!r}]"
        missing = settings.get("missing")
        if not (isinstance(missing, float) and math.isnan(missing)) and missing is not None:
            check_number(missing, f"{trainer}: {what}: missing")
        if settings.get("qid") is not None and settings.get("weight") is not None:
            raise InvalidOption(
                f"{trainer}: {what}: XGBoost weighs whole groups when it ranks, and weight is a "
                "column with a weight for each row. Leave weight or qid out."
            )
