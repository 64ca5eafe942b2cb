"""From what a ``Tuner`` was given to what an experiment is run by."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from air.config import RunConfig
from air.executor import serialization
from air.tune.config import TuneConfig
from air.tune.driver import Plan
from air.tune.schedulers import FIFOScheduler
from air.tune.search import BasicVariantGenerator
from air.tune.search.space import Space
from air.tune.stopping import StopRule
from air.tune.trainable import Prepared
from air.tune.trial import Limits, Trial


class Settings(NamedTuple):
    """What the journal keeps of a ``Tuner``, besides the trainable."""

    param_space: Mapping[str, Any] | None
    tune_config: TuneConfig
    run_config: RunConfig

    def to_bytes(self) -> bytes:
        """Themselves as bytes; raises ``SerializationError`` for what cannot be pickled."""
        stream, buffers = serialization.dumps(self._asdict(), "what the Tuner was given")
        return pickle.dumps((stream, [bytes(buffer) for buffer in buffers]))

    @classmethod
    def from_bytes(cls, content: bytes) -> Settings:
        """What :meth:`to_bytes` wrote."""
        return cls(**serialization.loads(*pickle.loads(content)))


def make_plan(prepared: Prepared, settings: Settings) -> Plan:
    """What to run an experiment by; how many trials fit at a time is still to be said.

    Raises ``InvalidOption`` or ``ValueError`` for settings that do not fit one another.
    """
    config, run_config = settings.tune_config, settings.run_config
    searcher = config.search_alg or BasicVariantGenerator()
    space = settings.param_space
    takes_space = searcher.set_search_properties(
        config.metric, config.mode, space or {}, num_samples=config.num_samples
    )
    own_space = None
    if not takes_space:
        own_space = Space.nothing() if space is None else Space(space)
        own_space.constants()  # checks that there is nothing else in it
    scheduler = config.scheduler or FIFOScheduler()
    scheduler.set_search_properties(config.metric, config.mode)
    return Plan(
        limits=make_limits(run_config, total=searcher.total_trials(config.num_samples)),
        searcher=searcher,
        scheduler=scheduler,
        stop_rule=StopRule(run_config.stop),
        name_of=config.trial_name_creator or _default_name(prepared.name),
        bundles_of=prepared.bundles_of,
        own_space=own_space,
        metric=config.metric,
        budget_s=config.budget_s,
    )


def make_limits(config: RunConfig, total: int | None = 1) -> Limits:
    """The limits that a ``RunConfig`` sets."""
    failures, checkpoints = config.failure_config, config.checkpoint_config
    return Limits(
        total=total,
        max_failures=failures.max_failures,
        fail_fast=failures.fail_fast,
        checkpoints_to_keep=checkpoints.num_to_keep,
        score_attribute=checkpoints.checkpoint_score_attribute,
        score_order=checkpoints.checkpoint_score_order,
    )


def _default_name(trainable: str) -> Callable[[Trial], str]:
    def name_of(trial: Trial) -> str:
        return f"{trainable}_{trial.trial_id}"

    return name_of
