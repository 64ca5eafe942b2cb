"""The LightGBM library, imported when it is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest
from air.train.columns import Library

LIBRARY = Library("LightGBM", ("weight", "init_score", "qid"), '",:[]{}')

THREADS = ("num_threads",)
"""What LightGBM calls the number of threads; see :func:`canonical`."""

CATEGORIES = "categorical_feature"

_NETWORK = (
    "local_listen_port",
    "machine_list_filename",
    "machines",
    "num_machines",
    "pre_partition",
    "time_out",
)
"""Parameters that join workers, which are the trainer's to set."""

_ARGUMENTS = {
    "early_stopping_round": "early_stopping_rounds",
    "num_iterations": "num_boost_round",
}
"""Parameters that are arguments of the trainer, which sees to it that all workers end together."""

_PLACE = re.compile(r" at \S+, line \d+ \.")
"""Where in its sources LightGBM has found something wrong."""


def import_lightgbm() -> ModuleType:
    """The module ``lightgbm``.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    return import_extra("lightgbm", "LightGBM's training and prediction", "airloom[lightgbm]")


def check_booster(model: object, function: str) -> None:
    """Raise `InvalidOption` for anything but a ``lightgbm.Booster``."""
    if not isinstance(model, import_lightgbm().Booster):
        hint = ""
        if hasattr(model, "booster_"):
            hint = " Of a model of LightGBM's scikit-learn interface, give model.booster_."
        raise InvalidOption(f"{function} takes a lightgbm.Booster, got {model!r:.80}.{hint}")


def canonical(params: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters under LightGBM's own name for each, of which many have several.

    LightGBM warns of a name that it does not know, and of a second one for the same parameter, and
    trains on without it; here these are errors.

    Raises:
        InvalidOption: a name that LightGBM does not know, two for one parameter, or a parameter
            that is the trainer's to set.
    """
    import_lightgbm()
    from lightgbm.basic import _ConfigAliases

    names = _ConfigAliases._get_all_param_aliases()
    own = {alias: name for name, aliases in names.items() for alias in (name, *aliases)}
    found: dict[str, Any] = {}
    for given, value in params.items():
        name = own.get(given)
        if name is None:
            raise InvalidOption(
                f"LightGBM has no parameter {given!r}.{nearest(given, sorted(own))}"
            )
        if name in found:
            raise InvalidOption(
                f"params has {given!r}, and {name!r} under another name as well: leave one out."
            )
        if name in _NETWORK:
            raise InvalidOption(
                f"params has {given!r}, by which LightGBM finds other workers: the trainer sees to"
                " that. Leave it out."
            )
        if name in _ARGUMENTS:
            raise InvalidOption(
                f"params has {given!r}, which is an argument of the trainer:"
                f" LightGBMTrainer(..., {_ARGUMENTS[name]}={value!r})."
            )
        found[name] = value
    return found


def categories_of(params: Mapping[str, Any], features: Sequence[str]) -> list[str]:
    """The features that are categories, which LightGBM wants to be told with the data.

    Raises:
        InvalidOption: they are no list of features.
    """
    given = params.get(CATEGORIES, ())
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise InvalidOption(f"params: {CATEGORIES} must be a list of columns, got {given!r}")
    for name in given:
        if name not in features:
            raise InvalidOption(
                f"params: {CATEGORIES} has {name!r}, which is none of the features."
                f"{nearest(name, features)} They are {listing(features)}."
            )
    return list(given)


def check_params(params: Mapping[str, Any], features: int) -> None:
    """Let LightGBM judge *params* under their own names, on a few rows with so many features.

    Raises:
        InvalidOption: a value that LightGBM refuses.
    """
    import numpy as np

    lightgbm = import_lightgbm()
    rows = np.arange(8 * features, dtype=float).reshape(8, features)
    quiet = {"num_threads": 1, "verbosity": -2, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    settings = {**params, **quiet}
    settings.pop(CATEGORIES, None)
    objective = params.get("objective")
    if callable(objective):  # which is called with what the model says, and is no parameter then
        settings["objective"] = "none"
    is_ranked = str(objective).startswith(("lambda", "rank"))
    labels = np.ones(len(rows))  # which every objective can have
    try:
        data = lightgbm.Dataset(
            rows, labels, group=[len(rows)] if is_ranked else None, params=settings
        )
        lightgbm.Booster(settings, data)
    except lightgbm.basic.LightGBMError as error:
        reason = _PLACE.sub("", str(error)).strip()
        raise InvalidOption(f"LightGBM refuses the params: {reason}") from None
