"""Metrics as they are reported: nested dicts, named by paths such as ``"eval/loss"``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from air.executor.validation import listing, nearest

ITERATION = "training_iteration"
AUTOMATIC = frozenset({ITERATION, "trial_id", "timestamp", "time_this_iter_s", "time_total_s"})
"""Metrics that every row has without the training function's doing."""


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts, as ``("eval/loss", 0.3)``."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def lookup(metrics: Mapping[str, Any], name: str) -> Any:
    """The metric ``name``, which may be a path into nested dicts; ``None`` if it is not there."""
    if name in metrics:
        return metrics[name]
    value: Any = metrics
    for step in name.split("/"):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` can be compared as a metric; ``bool`` can (an accuracy of 0 or 1)."""
    return isinstance(value, (int, float))


def is_finite(value: object) -> bool:
    """Whether ``value`` is a number, and neither NaN nor infinite."""
    return is_number(value) and math.isfinite(value)


def names_in(metrics: Mapping[str, Any]) -> list[str]:
    """The names of all metrics, nested ones by their path, in alphabetical order."""
    return sorted(name for name, _ in flatten(metrics))


def never_reported(name: str, reported: Iterable[str]) -> str:
    """The words for a metric that nobody reported: what was reported, and what may be meant."""
    own = sorted(set(reported) - AUTOMATIC)
    if name in own:
        return f"The metric {name!r} was None whenever it was reported."
    there = f"Reported were {listing(own, limit=20)}." if own else "Nothing else was reported."
    return f"The metric {name!r} was never reported.{nearest(name, own)} {there}"
