"""When a run ends early: ``RunConfig.stop``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from air.config import StopCriterion
from air.errors import InvalidOption
from air.executor.validation import nearest


def should_stop(criterion: StopCriterion | None, trial_id: str, metrics: dict[str, Any]) -> bool:
    """Whether *criterion* ends a run whose latest row is *metrics*.

    Of a dict, one metric that has reached its value is enough.

    Raises:
        InvalidOption: the dict names a metric that the run does not report.
    """
    if criterion is None:
        return False
    if not isinstance(criterion, Mapping):
        return bool(criterion(trial_id, metrics))
    for name in criterion:
        if name not in metrics:
            raise InvalidOption(
                f"RunConfig.stop names the metric {name!r}, which the run does not report."
                f"{nearest(name, metrics)} It reports {sorted(metrics)}."
            )
    return any(metrics[name] >= threshold for name, threshold in criterion.items())
