"""The trainer for LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from air.errors import InvalidOption
from air.train.backend import BackendConfig
from air.train.boosting.arguments import check_early_stopping
from air.train.boosting.trainer import BoostingTrainer
from air.train.functions import TrainFunction
from air.train.lightgbm.backend import LightGBMConfig
from air.train.lightgbm.library import LIBRARY, THREADS, import_lightgbm

if TYPE_CHECKING:
    from air.data import Dataset

_INSTEAD = {
    "train_set": ' Give the data as datasets={"train": ...}.',
    "valid_sets": " Give what is to be evaluated as further datasets.",
    "valid_names": " Datasets are called what they are called in datasets.",
    "evals_result": " Metrics of all rounds are in Result.metrics_dataframe.",
    "verbose_eval": " Metrics of all rounds are in Result.metrics_dataframe.",
    "init_model": " Give the checkpoint of the model to go on from as resume_from_checkpoint.",
    "categorical_feature": " It is one of the params: a list of columns.",
    "fobj": " Give the function as params={'objective': function}.",
}


class LightGBMTrainer(BoostingTrainer):
    """Trains one LightGBM model, on as many workers as ``scaling_config`` asks for.

    The workers are joined by LightGBM's own network, and grow the same trees from histograms of
    all rows (``tree_learner`` is ``"data"`` unless given); each holds a part of the rows of every
    dataset, in bins. Metrics of each round are reported as ``"train-binary_logloss"`` (dataset,
    dash, metric) with the round as ``training_iteration``; the last checkpoint is a
    :class:`LightGBMCheckpoint` with the model and the preprocessor.

    One worker trains the model that LightGBM itself trains. Several find bins from samples of the
    rows of each, and so may split elsewhere. Metrics are put together from those of the workers:
    exactly where they are means over rows or groups, or the root of one (``rmse``), and
    approximately otherwise (``auc``, ``average_precision``).

    Args:
        datasets: "train" to train on, others to be evaluated after every round; all rows of
            each are used. Every column but the label (and those named in ``dmatrix_params``)
            is a feature.
        label_column: the column to predict.
        params: LightGBM's parameters. Unless given, ``num_threads`` is the CPUs of a worker,
            ``device_type`` is ``"gpu"`` where workers hold GPUs, and ``verbosity`` is -1.
            Columns of whole numbers, from 0, are categories if ``"categorical_feature"`` has their
            names in a list.
        dmatrix_params: settings of a dataset, by dataset: ``weight`` and ``init_score`` (names of
            columns), and to rank rows ``qid`` (a column of whole numbers, in ascending order: rows
            with the same one are ranked against one another, and stay in one worker).
        num_boost_round: rounds in all; those of ``resume_from_checkpoint`` count.
        scaling_config, run_config, preprocessor, resume_from_checkpoint: see
            :class:`~air.train.BaseTrainer`. ``CheckpointConfig.checkpoint_frequency`` counts
            rounds.
        **train_kwargs: ``callbacks`` and ``feval`` as of ``lightgbm.train``, which run in every
            worker, and ``early_stopping_rounds`` (as of ``lightgbm.early_stopping``: any metric of
            any dataset but "train"). A ``Tuner`` can change them as it can the others.

    Raises:
        InvalidOption: an argument is not what it should be. ``fit`` raises it for a column that
            is not there or no number, for fewer rows than workers, and for ``params`` that
            LightGBM does not know or refuses.
    """

    _library = LIBRARY
    _train_kwargs_known = ("callbacks", "early_stopping_rounds", "feval")
    _instead = _INSTEAD
    _thread_names = THREADS

    def _check_train_kwargs(self, name: str) -> None:
        given = {key: value for key, value in self.train_kwargs.items() if value is not None}
        check_early_stopping(given, name)
        callbacks = given.get("callbacks", ())
        if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
            raise InvalidOption(f"{name}: callbacks must be a list of functions, got {callbacks!r}")
        metrics = given.get("feval", ())
        if not all(map(callable, metrics if isinstance(metrics, (list, tuple)) else [metrics])):
            raise InvalidOption(f"{name}: feval must be a function, or a list, got {metrics!r}")

    def _parts(self, name: str, num_workers: int) -> Sequence[Dataset]:
        parts = super()._parts(name, num_workers)
        if any(not part.count() for part in parts):
            # LightGBM has no datasets without rows: what is so small every worker evaluates.
            return [self.datasets[name]] * num_workers
        return parts

    def _backend_config(self) -> BackendConfig:
        return LightGBMConfig()

    def _train_function(self) -> TrainFunction:
        return _train

    def _defaults(self) -> dict[str, Any]:
        return {"device_type": "gpu"} if self.scaling_config.use_gpu else {}


def _train(config: dict[str, Any]) -> None:
    # The process that calls fit() can do without LightGBM; a worker says so if it is missing.
    import_lightgbm()
    from air.train.lightgbm.worker import train

    train(config)
