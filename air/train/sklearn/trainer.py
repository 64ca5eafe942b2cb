"""The trainer for scikit-learn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.extras import check_extra
from air.executor.validation import check_flag, check_number, listing, nearest
from air.train.functions import TrainFunction
from air.train.group_trainer import GroupTrainer
from air.train.ingest import arrow_schema, check_train
from air.train.labels import check_named
from air.train.sklearn.estimators import check_estimator, check_params
from air.train.sklearn.job import Job

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


class SklearnTrainer(GroupTrainer):
    """Fits one scikit-learn estimator, in one worker that holds what ``scaling_config`` says.

    One row is reported, with a :class:`SklearnCheckpoint`: ``fit_time`` in seconds; for each
    dataset but "train" its score and ``score_time``, as ``"valid/test_score"``, or
    ``"valid/test_f1"`` with several measures; and with *cv* for each measure of
    cross-validation the list of its values, ``"cv/test_score"``, ``"cv/test_score_mean"`` and
    ``"cv/test_score_std"``. Cross-validation comes before the fit on all rows. A clone of the
    estimator is fitted, the given one stays as it is.

    Features are a DataFrame, whose names the estimator keeps, and one array where columns of
    arrays are among them (from a ``Concatenator``, say). All rows are in the memory of the worker.

    Args:
        estimator: an estimator, or what is like one: a pipeline, a search.
        datasets: "train" to fit on, others to be scored; every column but the label is a feature.
        label_column: the column to predict; ``None`` for estimators that learn without one.
        params: parameters of the estimator to set before; those of steps as ``"step__name"``.
        scoring: how to score: a name that scikit-learn has, a function of estimator, rows and
            labels, or several as a list of names or a dict; the estimator's own ``score`` unless
            given.
        cv: cross-validate on "train": a number of folds, or a splitter of scikit-learn.
        return_train_score_cv: also score the rows that each fold was fitted on.
        parallelize_cv: fit folds at the same time, on all CPUs of the cluster that are there
            besides the worker's, with one CPU each. Unless given, where the estimator has no
            parameter (``n_jobs``) to use several by itself.
        set_estimator_cpus: set ``n_jobs`` and ``thread_count`` of the estimator, and of those in
            it, to the CPUs that the worker holds.
        scaling_config: what the worker holds, as ``resources_per_worker`` or
            ``trainer_resources``; there is one.
        run_config, preprocessor: see :class:`~air.train.BaseTrainer`.
        **fit_params: what the estimator's ``fit`` takes besides rows and labels.

    Raises:
        InvalidOption: an argument is not what it should be. ``fit`` raises it for a label that is
            not there or has missing values.
    """

    _dataset_defaults: ClassVar[Mapping[str, DatasetConfig]] = {
        "train": DatasetConfig(fit=True, split=False, required=True, transform=True),
        "*": DatasetConfig(fit=False, split=False, required=False, transform=True),
    }

    def __init__(
        self,
        *,
        estimator: Any,
        datasets: Mapping[str, Dataset],
        label_column: str | None = None,
        params: Mapping[str, Any] | None = None,
        scoring: Any = None,
        cv: Any = None,
        return_train_score_cv: bool = False,
        parallelize_cv: bool | None = None,
        set_estimator_cpus: bool = True,
        scaling_config: ScalingConfig | None = None,
        run_config: RunConfig | None = None,
        preprocessor: Preprocessor | None = None,
        **fit_params: Any,
    ) -> None:
        check_extra("sklearn", "SklearnTrainer", "airloom[sklearn]")
        self.estimator = estimator
        self.label_column = label_column
        self.params = {} if params is None else params
        self.scoring = scoring
        self.cv = cv
        self.return_train_score_cv = return_train_score_cv
        self.parallelize_cv = parallelize_cv
        self.set_estimator_cpus = set_estimator_cpus
        self.fit_params = fit_params
        self._features: tuple[str, ...] = ()
        super().__init__(
            scaling_config=scaling_config,
            run_config=run_config,
            datasets=datasets,
            preprocessor=preprocessor,
        )

    def _validate(self) -> None:
        super()._validate()
        name = type(self).__name__
        check_estimator(self.estimator, f"{name}: estimator")
        check_params(self.params, self.estimator, f"{name}: params")
        if self.label_column is not None and not (
            isinstance(self.label_column, str) and self.label_column
        ):
            raise InvalidOption(
                f"{name}: label_column must be a column's name, got {self.label_column!r}"
            )
        for flag in ("return_train_score_cv", "set_estimator_cpus"):
            check_flag(getattr(self, flag), f"{name}: {flag}")
        if self.parallelize_cv is not None:
            check_flag(self.parallelize_cv, f"{name}: parallelize_cv")
        if isinstance(self.cv, (int, float)):
            check_number(self.cv, f"{name}: cv", minimum=2, integer=True)
        self._check_fit_params(name)
        self._check_scaling(name)
        checkpoints = self.run_config.checkpoint_config
        if checkpoints.checkpoint_frequency:
            raise InvalidOption(
                f"{name}: there is one checkpoint, when the estimator is fitted; leave"
                " checkpoint_frequency of the CheckpointConfig out."
            )
        self._check_datasets(name)

    def _check_fit_params(self, name: str) -> None:
        """See that what no argument is called is one of the estimator's ``fit``."""
        parameters = inspect.signature(self.estimator.fit).parameters.values()
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return
        known = [each.name for each in parameters][2 if self.label_column is not None else 1 :]
        for option in self.fit_params:
            if option not in known:
                own = [*self.tunable_parameters(), "run_config"]
                raise InvalidOption(
                    f"{name} has no option {option!r}, and neither has fit of"
                    f" {type(self.estimator).__name__}.{nearest(option, [*own, *known])} That has"
                    f" {listing(known) if known else 'none'}."
                )

    def _check_scaling(self, name: str) -> None:
        scaling = self.scaling_config
        if (scaling.num_workers or 1) > 1:
            raise InvalidOption(
                f"{name}: an estimator is fitted by one worker, and num_workers is"
                f" {scaling.num_workers}. Give it CPUs: ScalingConfig(resources_per_worker="
                f'{{"CPU": {scaling.num_workers}}}).'
            )
        if scaling.trainer_resources is None:
            return
        if scaling.resources_per_worker is not None:
            raise InvalidOption(
                f"{name}: there is one worker, whose resources are trainer_resources or"
                " resources_per_worker: leave one of the two out."
            )
        self.scaling_config = replace(
            scaling, trainer_resources=None, resources_per_worker=scaling.trainer_resources
        )

    def _check_datasets(self, name: str) -> None:
        check_train(self.datasets, name)
        for taken in ("cv", "fit_time"):
            if taken in self.datasets:
                raise InvalidOption(
                    f"{name}: a dataset cannot be called {taken!r}, which metrics are called."
                )
        keeps = self.preprocessor is None or self.preprocessor.keeps_columns()
        if self.label_column is not None and keeps:
            for dataset, data in self.datasets.items():
                columns = data.known_columns()
                if columns is not None:
                    check_named(self.label_column, columns, dataset)

    def _parameters(self) -> dict[str, Any]:
        return {
            "estimator": repr(self.estimator),
            "label_column": self.label_column,
            "params": dict(self.params),
        }

    def _prepare(self) -> None:
        super()._prepare()
        train = arrow_schema(self.datasets["train"], "train").names
        self._features = tuple(name for name in train if name != self.label_column)
        if not self._features:
            raise InvalidOption(
                f'The dataset "train" has no features: its only column is {train[0]!r}.'
            )
        for name, dataset in self.datasets.items():
            columns = arrow_schema(dataset, name).names
            if self.label_column is not None:
                check_named(self.label_column, columns, name)
            absent = [column for column in train if column not in columns]
            if absent:
                raise InvalidOption(
                    f'The dataset {name!r} lacks columns of the dataset "train": '
                    f"{listing(absent)}. It has {listing(columns)}."
                )

    def planned_iterations(self) -> int:
        return 1

    def required_modules(self) -> Sequence[str]:
        own = ("air.train.sklearn.worker", type(self.estimator).__module__)
        return (*super().required_modules(), *own)

    def _train_function(self) -> TrainFunction:
        return _train

    def _train_config(self) -> dict[str, Any]:
        job = Job(
            estimator=self.estimator,
            params=dict(self.params),
            features=self._features,
            label_column=self.label_column,
            datasets=tuple(self.datasets),
            scoring=self.scoring,
            cv=self.cv,
            return_train_score_cv=self.return_train_score_cv,
            parallelize_cv=self.parallelize_cv,
            set_estimator_cpus=self.set_estimator_cpus,
            fit_params=self.fit_params,
            cpus=max(1, math.floor(self.scaling_config.num_cpus_per_worker)),
            checkpoint_at_end=self.run_config.checkpoint_config.checkpoint_at_end is not False,
        )
        return {"job": job}


def _train(config: dict[str, Any]) -> None:
    # The process that calls fit() need not wait for scikit-learn's imports.
    from air.train.sklearn.worker import train

    train(config)
