"""The trainer for XGBoost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.validation import check_number, nearest
from air.train.backend import BackendConfig
from air.train.functions import TrainFunction
from air.train.group_trainer import GroupTrainer
from air.train.ingest import arrow_schema
from air.train.labels import check_named
from air.train.xgboost.arguments import (
    INSTEAD,
    TRAIN_KWARGS,
    check_matrix_settings,
    check_name,
    check_own_params,
    check_train_kwargs,
)
from air.train.xgboost.backend import XGBoostConfig
from air.train.xgboost.columns import Columns
from air.train.xgboost.job import Job
from air.train.xgboost.library import import_xgboost
from air.train.xgboost.ranking import split_by_group

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


class XGBoostTrainer(GroupTrainer):
    """Trains one XGBoost model, on as many workers as ``scaling_config`` asks for.

    The workers are joined by XGBoost's own collective; each holds a part of the rows of every
    dataset, quantized as they stream in. Metrics of each round are reported as
    ``"train-logloss"`` (dataset, dash, metric) with the round as ``training_iteration``; the
    last checkpoint is an :class:`XGBoostCheckpoint` with the model and the preprocessor.

    One worker trains the model that XGBoost itself trains, and several the same one up to the
    noise of sums, except where XGBoost's method looks at each worker's rows by themselves: features
    with more than about eight times ``max_bin`` (2,048 unless told) different values, whose
    quantiles are merged from those of the workers; ``tree_method`` ``approx``; random
    ``subsample``; and the objectives of medians and quantiles (``reg:absoluteerror``,
    ``reg:quantileerror``). The metrics ``auc`` and ``aucpr`` are then approximations.

    Args:
        datasets: "train" to train on, others to be evaluated after every round; all rows of
            each are used. Every column but the label (and those named in ``dmatrix_params``)
            is a feature.
        label_column: the column to predict.
        params: XGBoost's parameters. Unless given, ``nthread`` is the CPUs of a worker, and
            ``device`` is ``"cuda"`` where workers hold GPUs.
        dmatrix_params: settings of a dataset's matrix, by dataset: ``weight`` and
            ``base_margin`` (names of columns), ``missing`` (the value that stands for none),
            and to rank rows ``qid`` (a column of whole numbers, in ascending order: rows with
            the same one are ranked against one another, and stay in one worker).
        num_boost_round: rounds in all; those of ``resume_from_checkpoint`` count.
        scaling_config, run_config, preprocessor, resume_from_checkpoint: see
            :class:`~air.train.BaseTrainer`. ``CheckpointConfig.checkpoint_frequency`` counts
            rounds.
        **train_kwargs: of ``xgboost.train``: ``callbacks``, ``custom_metric``,
            ``early_stopping_rounds`` (by the last dataset and metric), ``maximize``, ``obj``.
            They run in every worker. A ``Tuner`` can change them as it can the others.

    Raises:
        InvalidOption: an argument is not what it should be. ``fit`` raises it for a column that
            is not there or no number, for fewer rows than workers, and for ``params`` that
            XGBoost does not know or refuses.
    """

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
            if option not in TRAIN_KWARGS:
                advice = INSTEAD.get(option) or nearest(option, known)
                raise InvalidOption(
                    f"{name} has no option {option!r}.{advice} Those that it passes on to "
                    f"xgboost.train are {', '.join(TRAIN_KWARGS)}."
                )
        check_train_kwargs(self.train_kwargs, name)
        check_own_params(self.params, known, name)
        self._check_datasets(name)
        workers = self.scaling_config.num_workers or 1
        if self.params.get("tree_method") == "exact" and workers > 1:
            raise InvalidOption(
                f"{name}: tree_method 'exact' trains on one worker only, and num_workers is "
                f"{workers}. Use tree_method 'hist' or ScalingConfig(num_workers=1)."
            )

    def _check_datasets(self, name: str) -> None:
        if "train" not in self.datasets:
            hints = (nearest(dataset, ["train"]) for dataset in self.datasets)
            raise InvalidOption(
                f'{name}: datasets must hold the one to train on as "train", got '
                f"{sorted(self.datasets)}.{next(filter(None, hints), '')}"
            )
        for dataset in self.datasets:
            check_name(dataset, f"{name}: a dataset", signs="-:")
        check_matrix_settings(self.dmatrix_params, self.datasets, name)
        if self.preprocessor is None:
            keeps_columns = self.resume_from_checkpoint is None  # it may bring a preprocessor
        else:
            keeps_columns = self.preprocessor.keeps_columns()
        if keeps_columns:
            for dataset, data in self.datasets.items():
                columns = data.known_columns()
                if columns is not None:
                    check_named(self.label_column, columns, dataset)

    def tunable_parameters(self) -> Sequence[str]:
        own = [name for name in super().tunable_parameters() if name != "train_kwargs"]
        return sorted((*own, *TRAIN_KWARGS))

    def _set(self, name: str, value: Any) -> None:
        if name in TRAIN_KWARGS:
            self.train_kwargs = {**self.train_kwargs, name: value}
        else:
            super()._set(name, value)

    def _backend_config(self) -> BackendConfig:
        return XGBoostConfig()

    def _parameters(self) -> dict[str, Any]:
        return {
            "label_column": self.label_column,
            "params": dict(self.params),
            "dmatrix_params": {k: dict(v) for k, v in self.dmatrix_params.items()},
            "num_boost_round": self.num_boost_round,
        }

    def _train_function(self) -> TrainFunction:
        return _train

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
                like=columns.get("train"),
            )
        self._columns = columns

    def _parts(self, name: str, num_workers: int) -> Sequence[Dataset]:
        qid = self._columns[name].qid
        if qid is None:
            return super()._parts(name, num_workers)
        return split_by_group(self.datasets[name], qid, name, num_workers)

    def _train_config(self) -> dict[str, Any]:
        checkpoints = self.run_config.checkpoint_config
        defaults: dict[str, Any] = {
            "nthread": max(1, math.floor(self.scaling_config.num_cpus_per_worker))
        }
        if self.scaling_config.use_gpu:
            defaults["device"] = "cuda"
        job = Job(
            params=dict(self.params),
            num_boost_round=self.num_boost_round,
            train_kwargs=self.train_kwargs,
            columns=self._columns,
            dmatrix_params=self.dmatrix_params,
            defaults=defaults,
            checkpoint_frequency=checkpoints.checkpoint_frequency,
            checkpoint_at_end=checkpoints.checkpoint_at_end is not False,
        )
        return {"job": job}


def _train(config: dict[str, Any]) -> None:
    # The process that calls fit() can do without XGBoost; a worker says so if it is missing.
    import_xgboost()
    from air.train.xgboost.worker import train

    train(config)
