"""The trainer for XGBoost."""

from __future__ import annotations

from typing import Any

from air.errors import InvalidOption
from air.train.backend import BackendConfig
from air.train.boosting.trainer import BoostingTrainer
from air.train.functions import TrainFunction
from air.train.xgboost.arguments import INSTEAD, TRAIN_KWARGS, check_train_kwargs, check_values
from air.train.xgboost.backend import XGBoostConfig
from air.train.xgboost.library import LIBRARY, import_xgboost


class XGBoostTrainer(BoostingTrainer):
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

    _library = LIBRARY
    _train_kwargs_known = TRAIN_KWARGS
    _instead = INSTEAD
    _thread_names = ("nthread", "n_jobs")
    _matrix_settings = ("missing",)

    def _validate(self) -> None:
        super()._validate()
        name = type(self).__name__
        check_values(self.dmatrix_params, name)
        workers = self.scaling_config.num_workers or 1
        if self.params.get("tree_method") == "exact" and workers > 1:
            raise InvalidOption(
                f"{name}: tree_method 'exact' trains on one worker only, and num_workers is "
                f"{workers}. Use tree_method 'hist' or ScalingConfig(num_workers=1)."
            )

    def _check_train_kwargs(self, name: str) -> None:
        check_train_kwargs(self.train_kwargs, name)

    def _backend_config(self) -> BackendConfig:
        return XGBoostConfig()

    def _train_function(self) -> TrainFunction:
        return _train

    def _defaults(self) -> dict[str, Any]:
        return {"device": "cuda"} if self.scaling_config.use_gpu else {}


def _train(config: dict[str, Any]) -> None:
    # The process that calls fit() can do without XGBoost; a worker says so if it is missing.
    import_xgboost()
    from air.train.xgboost.worker import train

    train(config)
