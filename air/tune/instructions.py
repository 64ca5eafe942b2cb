"""What an experiment's state machine tells its driver to do; see ``air.tune.machine``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class AskSearcher:
    """Ask the searcher for one configuration."""


@dataclass(frozen=True, slots=True)
class StartTrial:
    """Run a trial, from ``checkpoint`` if there is one; ``results`` is where that was made."""

    trial_id: str
    checkpoint: str | None
    results: int


@dataclass(frozen=True, slots=True)
class StopTrial:
    """Bring a running trial to its end."""

    trial_id: str


@dataclass(frozen=True, slots=True)
class TellSearcher:
    """Tell the searcher and the scheduler that a trial is over."""

    trial_id: str


@dataclass(frozen=True, slots=True)
class DropCheckpoint:
    """Delete a checkpoint that is no longer to be kept."""

    path: str


@dataclass(frozen=True, slots=True)
class StopExperiment:
    """End the whole experiment early."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do."""


Instruction: TypeAlias = (
    AskSearcher | StartTrial | StopTrial | TellSearcher | DropCheckpoint | StopExperiment | Finish
)
