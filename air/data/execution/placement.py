"""Where a piece of a plan runs: the one place that decides between a call and a task.

A task costs about a millisecond, starting a cluster half a second, and moving data to other
processes a copy. Small data is worth none of that. What nobody knows beforehand is how long a
user's function takes; so a small job begins in this process, and if it proves slow, the rest of
it goes to tasks.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from air.data.execution.stages import Stage

SMALL_BYTES = 16 << 20
"""Input up to this size is handled in this process, unless it proves slow."""

WORTH_TASKS_SECONDS = 0.2
"""How much work must be left for a job that began here to go on in tasks."""

WORTH_A_BACKEND_SECONDS = 2.0
"""The same where a backend would have to be started first."""

_SLOW_UNIT_SECONDS = 1.0
_UNKNOWN_UNITS = 16


class Placement(enum.Enum):
    """Where the stages of a segment run."""

    HERE = "in the calling process"
    PROBE = "in the calling process first, on tasks from when it proves slow"
    TASKS = "on tasks and actors"


def decide(
    stages: Sequence[Stage],
    *,
    size_bytes: int | None,
    num_units: int | None,
    limited: bool,
    stay: bool,
    can_run_in_parallel: Callable[[], bool],
) -> Placement:
    """Choose for one segment of a plan.

    Args:
        stages: what runs.
        size_bytes: of the input, as far as it is known.
        num_units: pieces of the input, as far as it is known.
        limited: only the first rows of the result are wanted.
        stay: the caller wants no tasks, whatever they would gain.
        can_run_in_parallel: asked only if the answer matters, because it starts the backend.

    * What asks for resources, a pool or a concurrency gets it, if the backend runs tasks in
      parallel; one that does not would only add copies.
    * Small input runs here; if there is user code and more than one unit, on probation.
    * Input of unknown size, and large input of which only the first rows are wanted, begins
      here on probation.
    * Everything else runs on tasks.

    There is no probation where a later stage puts units of an earlier one together: how they
    are grouped must not depend on how fast this machine is.
    """
    if stay or not stages:
        return Placement.HERE
    if not any(stage.compute.asked for stage in stages):
        is_small = size_bytes is not None and size_bytes <= SMALL_BYTES
        is_cheap = num_units == 1 or not any(stage.has_user_code for stage in stages)
        can_move = all(stage.min_rows == 0 for stage in stages[1:])
        if is_small and (is_cheap or not can_move):
            return Placement.HERE
        if can_move and (is_small or size_bytes is None or limited):
            return Placement.PROBE
    return Placement.TASKS if can_run_in_parallel() else Placement.HERE


class Probation:
    """Watches a job that began in this process."""

    def __init__(self, num_units: int | None, *, backend_runs: bool) -> None:
        """Begin with *num_units* pieces of work to do, if that is known."""
        self._num_units = num_units
        self._worth = WORTH_TASKS_SECONDS if backend_runs else WORTH_A_BACKEND_SECONDS
        self._seconds: list[float] = []

    def unit_took(self, seconds: float) -> None:
        """One more unit was done."""
        self._seconds.append(seconds)

    @property
    def proves_slow(self) -> bool:
        """Whether the rest is worth the move.

        The fastest unit so far tells what the others will take: the first one often pays for
        imports that come only once. So one unit alone decides only if it took very long.
        """
        done = len(self._seconds)
        if done == 0 or (done == 1 and self._seconds[0] < _SLOW_UNIT_SECONDS):
            return False
        left = _UNKNOWN_UNITS if self._num_units is None else self._num_units - done
        return min(self._seconds) * left > self._worth
