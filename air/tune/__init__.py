"""Hyperparameter search: run a trainable with many configurations and keep the best."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "JournalBusy": "air.tune.journal",
    "JournalDamaged": "air.tune.journal",
    "ResultGrid": "air.tune.result_grid",
    "Stopper": "air.tune.stopping",
    "TrialError": "air.tune.failures",
    "TuneConfig": "air.tune.config",
    "TuneError": "air.tune.failures",
    "Tuner": "air.tune.tuner",
    "choice": "air.tune.search.sample",
    "grid_search": "air.tune.search.sample",
    "lograndint": "air.tune.search.sample",
    "loguniform": "air.tune.search.sample",
    "qlograndint": "air.tune.search.sample",
    "qloguniform": "air.tune.search.sample",
    "qrandint": "air.tune.search.sample",
    "qrandn": "air.tune.search.sample",
    "quniform": "air.tune.search.sample",
    "randint": "air.tune.search.sample",
    "randn": "air.tune.search.sample",
    "report": "air.train.session",
    "sample_from": "air.tune.search.sample",
    "uniform": "air.tune.search.sample",
    "with_parameters": "air.tune.trainable",
    "with_resources": "air.tune.trainable",
}
_SUBMODULES = {"schedulers", "search"}

__all__ = [
    "JournalBusy",
    "JournalDamaged",
    "ResultGrid",
    "Stopper",
    "TrialError",
    "TuneConfig",
    "TuneError",
    "Tuner",
    "choice",
    "grid_search",
    "lograndint",
    "loguniform",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "report",
    "sample_from",
    "schedulers",
    "search",
    "uniform",
    "with_parameters",
    "with_resources",
]

if TYPE_CHECKING:
    from air.train.session import report
    from air.tune import schedulers, search
    from air.tune.config import TuneConfig
    from air.tune.failures import TrialError, TuneError
    from air.tune.journal import JournalBusy, JournalDamaged
    from air.tune.result_grid import ResultGrid
    from air.tune.search.sample import (
        choice,
        grid_search,
        lograndint,
        loguniform,
        qlograndint,
        qloguniform,
        qrandint,
        qrandn,
        quniform,
        randint,
        randn,
        sample_from,
        uniform,
    )
    from air.tune.stopping import Stopper
    from air.tune.trainable import with_parameters, with_resources
    from air.tune.tuner import Tuner


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"air.tune.{name}")
    else:
        from air.executor.validation import nearest

        raise AttributeError(
            f"module 'air.tune' has no attribute {name!r}.{nearest(name, __all__)}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
