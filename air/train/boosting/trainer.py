"""What trainers share that boost trees, whatever library does it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.validation import check_number, nearest
from air.train.boosting.arguments import check_matrix_settings, check_name, check_own_params
from air.train.boosting.job import Job
from air.train.columns import Columns, Library
from air.train.group_trainer import GroupTrainer
from air.train.ingest import arrow_schema, check_train
from air.train.labels import check_named
from air.train.ranking import split_by_group

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


class BoostingTrainer(GroupTrainer):
    """Trains one model of many trees on several workers, each with a part of the rows.

    Subclasses say which library does it, and what of its own that takes.
    """

    _library: ClassVar[Library]
    _train_kwargs_known: ClassVar[Sequence[str]]
    """Options that are passed on to the library's ``train``."""
    _instead: ClassVar[Mapping[str, str]]
    """What to do instead, of options of that which a trainer has another way for."""
    _thread_names: ClassVar[Sequence[str]]
    """What the library calls the number of threads, its own name first."""
    _matrix_settings: ClassVar[Sequence[str]] = ()
    """Settings of a dataset's matrix that name no column."""

    _dataset_defaults: ClassVar[Mapping[str, DatasetConfig]] = {
        "train": DatasetConfig(fit=True, split=True, required=True, transform=True),
        "*": DatasetConfig(fit=False, split=True, required=False, transform=True),
    }

    def __init__(
        self,
        *,
        datasets: Mapping[str, Dataset],
        label_column: str,
        params: Mapping[str, Any],
        dmatrix_params: Mapping[str, Mapping[str, Any]] | None = None,
        num_boost_round: int = 10,
        scaling_config: ScalingConfig | None = None,
        run_config: RunConfig | None = None,
        preprocessor: Preprocessor | None = None,
        resume_from_checkpoint: Checkpoint | None = None,
        **train_kwargs: Any,
    ) -> None:
        self.label_column = label_column
        self.params = params
        self.dmatrix_params = {} if dmatrix_params is None else dmatrix_params
        self.num_boost_round = num_boost_round
        self.train_kwargs = train_kwargs
        self._columns: dict[str, Columns] = {}
        super().__init__(
            scaling_config=scaling_config,
            run_config=run_config,
            datasets=datasets,
            preprocessor=preprocessor,
            resume_from_checkpoint=resume_from_checkpoint,
        )

    def _validate(self) -> None:
        super()._validate()
        name = type(self).__name__
        if not isinstance(self.label_column, str) or not self.label_column:
            raise InvalidOption(
                f"{name}: label_column must be a column's name, got {self.label_column!r}"
            )
        check_number(self.num_boost_round, f"{name}: num_boost_round", minimum=1, integer=True)
        known = [*self.tunable_parameters(), "run_config"]
        for option in self.train_kwargs:
            if option not in self._train_kwargs_known:
                advice = self._instead.get(option) or nearest(option, known)
                raise InvalidOption(
                    f"{name} has no option {option!r}.{advice} Those that it passes on to the"
                    f" library are {', '.join(self._train_kwargs_known)}."
                )
        self._check_train_kwargs(name)
        check_own_params(self.params, known, name, self._library.name)
        self._check_datasets(name)

    @abstractmethod
    def _check_train_kwargs(self, name: str) -> None:
        """Check the values of ``self.train_kwargs`` in the name of the trainer."""

    def _check_datasets(self, name: str) -> None:
        check_train(self.datasets, name)
        for dataset in self.datasets:
            check_name(dataset, f"{name}: a dataset", signs="-:")
        check_matrix_settings(
            self.dmatrix_params, self.datasets, name, self._library.roles, self._matrix_settings
        )
        if self.preprocessor is None:
            keeps_columns = self.resume_from_checkpoint is None  # it may bring a preprocessor
        else:
            keeps_columns = self.preprocessor.keeps_columns()
        if keeps_columns:
            for dataset, data in self.datasets.items():
                columns = data.known_columns()
                if columns is not None:
                    check_named(self.label_column, columns, dataset)

    def planned_iterations(self) -> int:
        return min(super().planned_iterations() or self.num_boost_round, self.num_boost_round)

    def tunable_parameters(self) -> Sequence[str]:
        own = [name for name in super().tunable_parameters() if name != "train_kwargs"]
        return sorted((*own, *self._train_kwargs_known))

    def _set(self, name: str, value: Any) -> None:
        if name in self._train_kwargs_known:
            self.train_kwargs = {**self.train_kwargs, name: value}
        else:
            super()._set(name, value)

    def _parameters(self) -> dict[str, Any]:
        return {
            "label_column": self.label_column,
            "params": dict(self.params),
            "dmatrix_params": {k: dict(v) for k, v in self.dmatrix_params.items()},
            "num_boost_round": self.num_boost_round,
        }

    def _prepare(self) -> None:
        super()._prepare()
        # The dataset to train on comes first: it says what the features are.
        columns: dict[str, Columns] = {}
        for name in sorted(self.datasets, key=lambda each: each != "train"):
            columns[name] = Columns.of(
                arrow_schema(self.datasets[name], name),
                self.label_column,
                self.dmatrix_params.get(name, {}),
                name,
                library=self._library,
                like=columns.get("train"),
            )
        self._columns = columns

    def _parts(self, name: str, num_workers: int) -> Sequence[Dataset]:
        qid = self._columns[name].qid
        if qid is None:
            return super()._parts(name, num_workers)
        return split_by_group(self.datasets[name], qid, name, num_workers)

    def _defaults(self) -> dict[str, Any]:
        """Parameters of the library that hold where ``params`` says nothing else."""
        return {}

    def _train_config(self) -> dict[str, Any]:
        checkpoints = self.run_config.checkpoint_config
        job = Job(
            params=dict(self.params),
            num_boost_round=self.num_boost_round,
            train_kwargs=self.train_kwargs,
            columns=self._columns,
            dmatrix_params=self.dmatrix_params,
            threads=max(1, math.floor(self.scaling_config.num_cpus_per_worker)),
            thread_names=self._thread_names,
            defaults=self._defaults(),
            checkpoint_frequency=checkpoints.checkpoint_frequency,
            checkpoint_at_end=checkpoints.checkpoint_at_end is not False,
        )
        return {"job": job}
