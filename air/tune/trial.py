"""Trials and their checkpoints, as values; and the limits that an experiment keeps to."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from air.train.metrics import is_number, lookup
from air.tune.events import Failure


class TrialState(enum.Enum):
    """Where a trial is in its life."""

    PENDING = "PENDING"
    """Waits for its (next) start."""
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    """Told to stop; see ``Experiment.counts`` for what it may still add."""
    TERMINATED = "TERMINATED"
    """Over, by itself or because it was stopped."""
    ERROR = "ERROR"
    """Over: failed more often than is allowed."""


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint of a trial: its path, the result that came with it, the name of its class."""

    path: str
    results: int
    metrics: dict[str, Any]
    kind: str | None = None


@dataclass(slots=True)
class Trial:
    """One trial, as far as the events tell. Read it; only the machine changes it."""

    trial_id: str
    name: str
    config: dict[str, Any]
    state: TrialState = TrialState.PENDING
    results: int = 0
    """How many results it has; ``last_result`` is the last of them."""
    last_result: dict[str, Any] | None = None
    checkpoints: list[SavedCheckpoint] = field(default_factory=list)
    """Those that exist, oldest first."""
    failures: int = 0
    """How often it failed since it was first started or last resumed."""
    failure: Failure | None = None
    """What it failed with last; of the trials that are over, only those in ERROR have one."""
    resume_from: SavedCheckpoint | None = None
    """Where its next start goes on from."""
    result_to_come: bool = False
    """Told to stop between two results: the one that it was working on is still a part of it."""
    rewind_to: int | None = None
    """Set between a restart and the next result: how many of the earlier results still count."""

    @property
    def is_over(self) -> bool:
        return self.state in (TrialState.TERMINATED, TrialState.ERROR)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an experiment.

    Attributes:
        slots: the most trials to run at a time.
        total: the most trials to ask the searcher for, ``None`` for no bound.
        max_failures: how often a trial may fail and be tried again, -1 for any number.
        fail_fast: end everything when a trial has failed for good.
        checkpoints_to_keep, score_attribute, score_order: see ``air.config.CheckpointConfig``.
    """

    slots: int = 1
    total: int | None = 1
    max_failures: int = 0
    fail_fast: bool = False
    checkpoints_to_keep: int | None = None
    score_attribute: str | None = None
    score_order: str = "max"


def sort_out(
    checkpoints: Sequence[SavedCheckpoint], limits: Limits
) -> tuple[list[SavedCheckpoint], list[SavedCheckpoint]]:
    """Those that are to be kept, and those that are not; both in the given order.

    The newest is kept besides the best ones: the trial goes on from it.
    """
    keep = limits.checkpoints_to_keep
    if keep is None or len(checkpoints) <= keep:
        return list(checkpoints), []

    def rank(saved: SavedCheckpoint) -> tuple[bool, float, int]:
        """Higher is better. One without a usable score ranks below all that have one."""
        if limits.score_attribute is None:
            return (True, 0.0, saved.results)
        score = lookup(saved.metrics, limits.score_attribute)
        if not is_number(score) or math.isnan(score):
            return (False, 0.0, saved.results)
        return (True, score if limits.score_order == "max" else -score, saved.results)

    best = sorted(checkpoints, key=rank, reverse=True)[:keep]
    stays = {saved.path for saved in (*best, checkpoints[-1])}
    return (
        [saved for saved in checkpoints if saved.path in stays],
        [saved for saved in checkpoints if saved.path not in stays],
    )
