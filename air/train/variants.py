"""A trainer with some of its parameters changed, and a trainer as a function of such changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from air.config import ScalingConfig
from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air.train.session import get_session

if TYPE_CHECKING:
    from air.train.base_trainer import BaseTrainer


class Trainable:
    """What :meth:`~air.train.BaseTrainer.as_trainable` returns; it bears the trainer's name."""

    def __init__(self, trainer: BaseTrainer) -> None:
        self.trainer = trainer
        self.__name__ = type(trainer).__name__

    def __call__(self, config: dict[str, Any]) -> None:
        """Run the trainer, changed by *config*, in the session that this is called in."""
        run = self.trainer.variant(config)
        session = get_session()
        if session is not None and session.checkpoint is not None:
            run.resume_from_checkpoint = session.checkpoint
        run._prepare()
        run.training_loop()


def merged(old: Any, new: Any) -> Any:
    """What *new* makes of the parameter *old*: dicts are merged, other values take its place.

    A dict for a ``ScalingConfig`` changes single fields.
    """
    if not isinstance(new, Mapping):
        return new
    if isinstance(old, ScalingConfig):
        fields: dict[str, Any] = {
            f.name: getattr(old, f.name) for f in dataclasses.fields(ScalingConfig)
        }
        return ScalingConfig(**merged(fields, new))
    if isinstance(old, Mapping):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return dict(new)


def unknown_parameter(name: str, trainer: str, parameters: Sequence[str]) -> InvalidOption:
    """The error for a parameter to be set for a trial that is none of the trainer's."""
    hint = " Give it to the Tuner." if name == "run_config" else nearest(name, parameters)
    return InvalidOption(
        f"{trainer} has no parameter {name!r} to set for a trial.{hint} It has "
        f"{listing(parameters, limit=40)}."
    )
