"""A trainer kept beside its run, so that another program can go on with it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air._files import write_whole
from air.errors import InvalidOption
from air.executor.validation import listing, nearest

if TYPE_CHECKING:
    from air.train.base_trainer import BaseTrainer

TRAINER_FILE = "trainer.pkl"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a trainer: all but its datasets, which may be anywhere and of any size.

    Attributes:
        state: its attributes.
        datasets: the names of its datasets.
    """

    kind: type[BaseTrainer]
    state: Mapping[str, Any]
    datasets: tuple[str, ...]


def packed(trainer: BaseTrainer) -> bytes | None:
    """A trainer as it is kept; ``None`` if something in it cannot be pickled."""
    import cloudpickle

    state = {name: value for name, value in vars(trainer).items() if name != "datasets"}
    kept = Kept(type(trainer), state, tuple(trainer.datasets))
    try:
        content: bytes = cloudpickle.dumps(kept)
    except Exception:  # what is in a trainer may raise anything, and training can do without this
        return None
    return content


def keep(path: str, content: bytes | None) -> None:
    """Put a packed trainer into the directory of its run, which is not finished."""
    if content is not None:
        write_whole(os.path.join(path, TRAINER_FILE), content)


def forget(path: str) -> None:
    """The run in this directory is finished: nobody is to go on with it."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(path, TRAINER_FILE))


def is_kept(path: str | os.PathLike[str]) -> bool:
    """Whether the run in this directory is not finished, and can be gone on with."""
    return os.path.isfile(os.path.join(_directory(path), TRAINER_FILE))


def restored(
    kind: type[BaseTrainer],
    path: str | os.PathLike[str],
    datasets: Mapping[str, Any] | None,
    changes: Mapping[str, Any],
) -> BaseTrainer:
    """The trainer of the run in this directory, which goes on with that.

    Args:
        kind: what it must be.
        datasets: all that it had; they are not kept.
        changes: attributes to replace, those that are not ``None``.

    Raises:
        FileNotFoundError: there is no such run that is not finished.
        InvalidOption: it is of another class, or *datasets* are others than it had.
    """
    directory = _directory(path)
    try:
        with open(os.path.join(directory, TRAINER_FILE), "rb") as file:
            kept: Kept = pickle.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no run in {directory} that {kind.__name__}.restore could go on with: a run"
            f" has a file {TRAINER_FILE} until it is finished. Result.from_path reads one that is."
        ) from None
    if not issubclass(kept.kind, kind):
        raise InvalidOption(
            f"The run in {directory} is one of {kept.kind.__name__}: use"
            f" {kept.kind.__name__}.restore in place of {kind.__name__}.restore."
        )
    given = dict(datasets or {})
    _check_names(given, kept.datasets, kind.__name__)
    trainer = kept.kind.__new__(kept.kind)
    vars(trainer).update(kept.state)
    trainer.datasets = given
    for name, value in changes.items():
        if value is not None:
            setattr(trainer, name, value)
    trainer._validate()
    trainer._goes_on_in = directory
    return trainer


def _check_names(given: Mapping[str, Any], had: Sequence[str], name: str) -> None:
    for each in had:
        if each not in given:
            raise InvalidOption(
                f"{name}.restore: the run was given the dataset {each!r}, and datasets are not"
                f" kept: give datasets={{{each!r}: ...}} again, with the same rows."
            )
    for each in given:
        if each not in had:
            raise InvalidOption(
                f"{name}.restore: the run had no dataset {each!r}.{nearest(each, had)}"
                f" It had {listing(had) or 'none'}."
            )


def _directory(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(os.fspath(path)))
