"""What the workers of an `XGBoostTrainer` are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from air.train.xgboost.columns import Columns


@dataclass(frozen=True, slots=True)
class Job:
    """What to train; the same for every worker.

    Attributes:
        params, num_boost_round, train_kwargs: as for ``xgboost.train``; ``num_boost_round``
            counts the rounds of the checkpoint that training goes on from.
        columns: of each dataset, which columns are what. "train" is the first.
        dmatrix_params: settings of each dataset's matrix.
        defaults: parameters that hold where *params* says nothing else.
        checkpoint_frequency: a checkpoint every so many rounds; 0 for none.
        checkpoint_at_end: whether the last round has one.
    """

    params: Mapping[str, Any]
    num_boost_round: int
    train_kwargs: Mapping[str, Any]
    columns: Mapping[str, Columns]
    dmatrix_params: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    checkpoint_frequency: int
    checkpoint_at_end: bool

    @property
    def all_params(self) -> dict[str, Any]:
        """The params, with the defaults filled in."""
        filled = {**self.defaults, **self.params}
        if "n_jobs" in self.params:  # the other name of the same parameter
            filled.pop("nthread", None)
        return filled

    @property
    def nthread(self) -> int:
        """Threads that a worker makes its matrices with."""
        return int(self.defaults["nthread"])
