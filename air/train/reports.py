"""What may be reported: the check that every report goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from air.executor import serialization
from air.train.metrics import ITERATION


def checked(metrics: object) -> dict[str, Any]:
    """A report's metrics as a dict of its own, in a form that can be kept and sent.

    Numbers of numpy, torch and the like become Python's own.

    Raises:
        TypeError: they are no dict with ``str`` keys, or ``training_iteration`` is no whole
            number.
        SerializationError: one of them cannot be sent to another process.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"report() takes a dict of metrics, got {type(metrics).__name__}: {metrics!r:.80}. "
            'Write report({"loss": loss}).'
        )
    for name in metrics:
        if not isinstance(name, str):
            raise TypeError(f"report(): the name of a metric is a str, got {name!r}.")
    plain = _plain_items(metrics)
    for name, value in plain.items():
        if not serialization.is_plain(value):
            serialization.dumps(value, f"the metric {name!r}")
    iteration = plain.get(ITERATION, 0)
    if not isinstance(iteration, int) or isinstance(iteration, bool):
        raise TypeError(
            f"report(): {ITERATION} counts the rows, so it is a whole number, got {iteration!r}. "
            "Leave it out to have it counted."
        )
    return plain


def _plain_items(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in metrics.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain_items(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value
