"""Checking XGBoost's parameters with XGBoost itself, before any data is touched."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

_UNUSED = re.compile(r"Parameters: \{(.*?)\} are not used", re.DOTALL)
_UNKNOWN_METRIC = re.compile(r"Unknown metric function (\S+)")
_UNKNOWN_OBJECTIVE = re.compile(r"Unknown objective function: `?([^`\n]*)`?")
_OBJECTIVES = re.compile(r"Objective candidate: (\S+)")

_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: (Check failed: [^:]*: ?)?")

_SETTINGS_WITH_PARAMETERS_OF_THEIR_OWN: Sequence[Mapping[str, Any]] = (
    {},
    {"booster": "dart"},
    {"booster": "gblinear"},
    {"tree_method": "exact"},
    {"objective": "rank:ndcg"},
    {"objective": "survival:aft"},
    {"objective": "reg:quantileerror", "quantile_alpha": 0.5},
    {"objective": "reg:tweedie"},
    {"objective": "reg:pseudohubererror"},
)
_NOT_IN_A_CONFIGURATION = {"eval_metric", "num_class", "verbosity", "seed", "nthread"}

# To suggest one for a misspelt name only: which there are is for XGBoost to say.
_METRICS = (
    "rmse rmsle mae mape mphe logloss error merror mlogloss auc aucpr pre ndcg map quantile "
    "poisson-nloglik gamma-nloglik gamma-deviance cox-nloglik tweedie-nloglik aft-nloglik"
).split()


def check_params(params: Mapping[str, Any], features: Sequence[str]) -> None:
    """Let XGBoost judge *params*, on an empty matrix with these features.

    XGBoost warns of a name that it does not know, and trains on without it; here that is an
    error. The names that it knows are taken from its own configuration, so that those of any
    version of it pass.

    Raises:
        InvalidOption: a name that XGBoost does not know, or a value that it refuses.
    """
    import xgboost

    try:
        config, unused = _configuration(params, features)
    except xgboost.core.XGBoostError as error:
        raise InvalidOption(f"XGBoost refuses the params: {_explained(error)}") from None
    if not unused:
        return
    known = {*_names_in(config), *_NOT_IN_A_CONFIGURATION}
    for settings in _SETTINGS_WITH_PARAMETERS_OF_THEIR_OWN:
        known.update(_names_in(_configuration(settings, features)[0]))
    for name in unused:
        # One that is only of no use with this booster or objective is XGBoost's to warn of.
        if name not in known:
            raise InvalidOption(f"XGBoost has no parameter {name!r}.{nearest(name, sorted(known))}")


def reason_of(error: Exception) -> str:
    """What an error of XGBoost says, without the place in its sources and its stack."""
    said = str(error).partition("Stack trace")[0].strip()
    return _PLACE.sub("", said).strip() or said


def _explained(error: Exception) -> str:
    """The reason, with the nearest name for one that is misspelt."""
    reason = reason_of(error)
    if metric := _UNKNOWN_METRIC.search(reason):
        return f"{reason}.{nearest(metric.group(1), _METRICS)}"
    if objective := _UNKNOWN_OBJECTIVE.search(reason):
        candidates = sorted(_OBJECTIVES.findall(reason))
        return (
            f"there is no objective {objective.group(1)!r}."
            f"{nearest(objective.group(1), candidates)} There are {listing(candidates, limit=40)}."
        )
    return reason


def _configuration(
    params: Mapping[str, Any], features: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The full configuration that *params* lead to, and those names that are not used in it."""
    import numpy as np
    import xgboost

    matrix = xgboost.DMatrix(
        np.zeros((1, len(features))), label=np.zeros(1), feature_names=list(features), nthread=1
    )
    # How much XGBoost says is a setting of the whole process: what is to be judged must not
    # silence the warning that is the judgement.
    audible = {name: value for name, value in params.items() if name != "verbosity"}
    with warnings.catch_warnings(record=True) as caught, xgboost.config_context(verbosity=1):
        warnings.simplefilter("always")
        booster = xgboost.Booster({"nthread": 1, **audible}, [matrix])
        config = json.loads(booster.save_config())
    found = [_UNUSED.search(str(warning.message)) for warning in caught]
    unused = [name for match in found if match for name in re.findall(r'"(.*?)"', match.group(1))]
    return config, unused


def _names_in(config: Mapping[str, Any]) -> Iterator[str]:
    """The parameters in a configuration, which has them as text in nested dicts."""
    for name, value in config.items():
        if isinstance(value, str):
            yield name
        elif isinstance(value, Mapping):
            yield from _names_in(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _names_in(item)
