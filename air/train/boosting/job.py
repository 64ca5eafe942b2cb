"""What the workers are told that boost trees together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from air.errors import InvalidOption
from air.train.columns import Columns


@dataclass(frozen=True, slots=True)
class Job:
    """What to train; the same for every worker.

    Attributes:
        params, num_boost_round, train_kwargs: as the library's ``train`` takes them;
            ``num_boost_round`` counts the rounds of the checkpoint that training goes on from.
        columns: of each dataset, which columns are what. "train" is the first.
        dmatrix_params: settings of each dataset's matrix.
        threads: what a worker may use, unless *params* says otherwise.
        thread_names: what the library calls that in *params*, its own name first.
        defaults: other parameters that hold where *params* says nothing else.
        checkpoint_frequency: a checkpoint every so many rounds; 0 for none.
        checkpoint_at_end: whether the last round has one.
    """

    params: Mapping[str, Any]
    num_boost_round: int
    train_kwargs: Mapping[str, Any]
    columns: Mapping[str, Columns]
    dmatrix_params: Mapping[str, Mapping[str, Any]]
    threads: int
    thread_names: Sequence[str]
    defaults: Mapping[str, Any]
    checkpoint_frequency: int
    checkpoint_at_end: bool

    @property
    def all_params(self) -> dict[str, Any]:
        """The params, with the defaults filled in."""
        filled = {**self.defaults, **self.params}
        if not any(name in self.params for name in self.thread_names):
            filled[self.thread_names[0]] = self.threads
        return filled

    def check_rounds_left(self, done: int) -> None:
        """See that a model to go on from, which has *done* rounds, is not finished.

        Raises:
            InvalidOption: it has as many as there are to be.
        """
        if done >= self.num_boost_round:
            raise InvalidOption(
                f"The checkpoint to go on from has {done} rounds, and num_boost_round, which "
                f"counts these too, is {self.num_boost_round}: there is nothing to train. Give a "
                "larger num_boost_round."
            )
