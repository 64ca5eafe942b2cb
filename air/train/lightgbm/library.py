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

THREADS = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")
"""What LightGBM calls the number of threads."""

NETWORK = (
    "local_listen_port",
    "machine_list_filename",
    "machines",
    "num_machines",
    "pre_partition",
    "time_out",
)
"""Parameters that join workers, which are the trainer's to set."""


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


CATEGORIES = "categorical_feature"

_PLACE = re.compile(r" at \S+, line \d+ \.")
"""Where in its sources LightGBM has found something wrong."""


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
    """Let LightGBM judge *params*, on a few rows with so many features.

    LightGBM warns of a name that it does not know, and trains on without it; here that is an error.

    Raises:
        InvalidOption: a name that LightGBM does not know, or a value that it refuses.
    """
    import numpy as np
    from lightgbm.basic import _ConfigAliases

    lightgbm = import_lightgbm()
    aliases = _ConfigAliases._get_all_param_aliases()
    known = {*aliases, *(alias for group in aliases.values() for alias in group)}
    for name in params:
        if name in NETWORK:
            raise InvalidOption(
                f"params has {name!r}, by which LightGBM finds other workers: the trainer sees to"
                " that. Leave it out."
            )
        if name not in known:
            raise InvalidOption(
                f"LightGBM has no parameter {name!r}.{nearest(name, sorted(known))}"
            )
    rows = np.arange(8 * features, dtype=float).reshape(8, features)
    quiet = {"num_threads": 1, "verbosity": -2, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    settings = {**params, **quiet}
    settings.pop(CATEGORIES, None)
    objective = params.get("objective", params.get("application"))
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
