"""What is asked of an estimator: it need not be scikit-learn's own, only like one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

_CPU_PARAMETERS = ("n_jobs", "thread_count")
"""What estimators call the number of threads or processes that they use."""

_WANTED = ("fit", "get_params", "set_params")


def check_estimator(estimator: object, what: str) -> None:
    """Raise `InvalidOption` for what cannot be trained as scikit-learn's estimators are."""
    absent = [name for name in _WANTED if not callable(getattr(estimator, name, None))]
    if isinstance(estimator, type) or absent:
        hint = " Give an instance." if isinstance(estimator, type) else ""
        raise InvalidOption(
            f"{what} must be a scikit-learn estimator, an object with {', '.join(_WANTED)}, got"
            f" {estimator!r:.80}.{hint}"
        )


def check_params(params: object, estimator: Any, what: str) -> None:
    """Raise `InvalidOption` for what is no dict of parameters that the estimator has."""
    if not isinstance(params, Mapping):
        raise InvalidOption(f"{what} must be a dict, got {params!r:.80}")
    known = list(estimator.get_params())
    for name in params:
        if name not in known:
            raise InvalidOption(
                f"{what} has {name!r}, which is no parameter of {type(estimator).__name__}."
                f"{nearest(str(name), known)} It has {listing(known, limit=40)}."
            )


def cpu_parameters(estimator: Any) -> list[str]:
    """The parameters by which an estimator, or one inside it, is told how many CPUs to use."""
    return [
        name
        for name in estimator.get_params(deep=True)
        if name.rpartition("__")[2] in _CPU_PARAMETERS
    ]


def with_cpus(estimator: Any, cpus: int) -> None:
    """Have the estimator use so many CPUs, where it can be told to and does not anyway."""
    now = estimator.get_params(deep=True)
    names = [name for name in cpu_parameters(estimator) if (now[name] or 1) != cpus]
    estimator.set_params(**dict.fromkeys(names, cpus))


def features_of(estimator: Any) -> Sequence[str] | None:
    """The names of the features that it was trained on, in their order; ``None`` if it keeps none.

    That of a pipeline is the first step's.
    """
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]
