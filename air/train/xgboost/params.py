"""Checking XGBoost's parameters with XGBoost itself, before any data is touched."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import nearest

_UNUSED = re.compile(r"Parameters: \{(.*?)\} are not used", re.DOTALL)

_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: (Check failed: [^:]*: ?)?")


def check_params(params: Mapping[str, Any], features: Sequence[str]) -> None:
    """Let XGBoost judge *params*, on an empty matrix with these features.

    XGBoost warns of a name that it does not know, and trains on without it; here that is an
    error. The names that it knows are taken from its own configuration, so that those of any
    version of it pass.

    Raises:
        InvalidOption: a name that XGBoost does not know, or a value that it refuses.
    """
    import xgboost

    known = _names_in(_configuration({}, features)[0])
    try:
        config, unused = _configuration(params, features)
    except xgboost.core.XGBoostError as error:
        raise InvalidOption(f"XGBoost refuses the params: {reason_of(error)}") from None
    known |= _names_in(config)
    for name in unused:
        # One that is only of no use with this booster or objective is XGBoost's to warn of.
        if name not in known:
            raise InvalidOption(f"XGBoost has no parameter {name!r}.{nearest(name, known)}")


def reason_of(error: Exception) -> str:
    """What an error of XGBoost says, without the place in its sources and its stack."""
    return _PLACE.sub("", str(error).partition("Stack trace")[0]).strip()


def _configuration(
    params: Mapping[str, Any], features: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The full configuration that *params* lead to, and those names that are not used in it."""
    import numpy as np
    import xgboost

    matrix = xgboost.DMatrix(
        np.zeros((1, len(features))), label=np.zeros(1), feature_names=list(features), nthread=1
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        booster = xgboost.Booster({"nthread": 1, **params}, [matrix])
        config = json.loads(booster.save_config())
    found = [_UNUSED.search(str(warning.message)) for warning in caught]
    unused = [name for match in found if match for name in re.findall(r'"(.*?)"', match.group(1))]
    return config, unused


def _names_in(config: Mapping[str, Any]) -> set[str]:
    names = set(config)
    for value in config.values():
        if isinstance(value, Mapping):
            names |= _names_in(value)
    return names
