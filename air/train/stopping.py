"""When a run ends early: ``RunConfig.stop``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from air.config import StopCriterion
from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air.train.metrics import is_number, lookup, names_in


def should_stop(criterion: StopCriterion | None, trial_id: str, metrics: dict[str, Any]) -> bool:
    """Whether *criterion* ends a run whose latest row is *metrics*.

    Of a dict, one metric that has reached its value is enough; NaN reaches none.

    Raises:
        InvalidOption: the dict names a metric that the run does not report, or that is no number.
    """
    if criterion is None:
        return False
    if not isinstance(criterion, Mapping):
        return bool(criterion(trial_id, metrics))
    reached = False
    for name, threshold in criterion.items():
        value = lookup(metrics, name)
        if value is None:
            names = names_in(metrics)
            raise InvalidOption(
                f"RunConfig.stop names the metric {name!r}, which the run does not report."
                f"{nearest(name, names)} It reports {listing(names, limit=20)}."
            )
        if not is_number(value):
            raise InvalidOption(
                f"RunConfig.stop compares the metric {name!r} with {threshold!r}, and it is no "
                f"number: the run reported {value!r:.80}."
            )
        reached = reached or value >= threshold
    return reached
