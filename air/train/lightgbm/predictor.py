"""Prediction with a LightGBM model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import reject_unknown
from air.train.features import check_array, check_feature_columns, numbers_in_order
from air.train.lightgbm.checkpoint import LightGBMCheckpoint
from air.train.lightgbm.library import LIBRARY, check_booster
from air.train.predictor import PREDICTIONS, Predictor

if TYPE_CHECKING:
    import lightgbm

    from air.data.preprocessor import Preprocessor

_OPTIONS = (
    "num_iteration",
    "num_threads",
    "pred_contrib",
    "pred_early_stop",
    "pred_early_stop_freq",
    "pred_early_stop_margin",
    "pred_leaf",
    "predict_disable_shape_check",
    "raw_score",
    "start_iteration",
)


@methods_suggest_keywords
class LightGBMPredictor(Predictor):
    """A LightGBM model that predicts, with its preprocessor."""

    def __init__(
        self,
        model: lightgbm.Booster,
        preprocessor: Preprocessor | None = None,
        *,
        feature_columns: Sequence[str] | None = None,
    ) -> None:
        """*feature_columns* are those that the model was trained on, in their order.

        Those with the names that it keeps unless given, which have ``_`` in the place of spaces.
        """
        super().__init__(preprocessor)
        if isinstance(model, Checkpoint):
            raise InvalidOption(
                "LightGBMPredictor takes a lightgbm.Booster, got a checkpoint: use "
                "LightGBMPredictor.from_checkpoint."
            )
        check_booster(model, "LightGBMPredictor")
        self.model = model
        self._features = list(model.feature_name() if feature_columns is None else feature_columns)

    @classmethod
    def from_checkpoint(  # type: ignore[override]  # it takes no options
        cls, checkpoint: Checkpoint
    ) -> LightGBMPredictor:
        """The model and the preprocessor of a checkpoint of a ``LightGBMTrainer``."""
        kept = LightGBMCheckpoint.from_checkpoint(checkpoint)
        return cls(
            kept.get_model(),
            checkpoint.get_preprocessor(),
            feature_columns=kept.get_feature_columns(),
        )

    def predict(
        self,
        data: Any,
        feature_columns: Sequence[str] | None = None,
        **predict_kwargs: Any,
    ) -> Any:
        """The predictions for *data*, as data of the same kind.

        Several values for a row (probabilities of classes, contributions of features) are an
        array in its ``"predictions"``.

        Args:
            data: see :meth:`Predictor.predict`. Columns that the model does not know are
                ignored.
            feature_columns: the columns to predict from; those with the names of the model's
                features unless given. In any order if they are just these; otherwise in the
                order of the model's features.
            **predict_kwargs: of ``Booster.predict``, such as ``raw_score``, ``pred_contrib`` and
                ``num_threads`` (1 unless given, as each process that predicts has one CPU).

        Raises:
            InvalidOption: a feature is not in *data* or is no number, *feature_columns* take one
                for another, an array has another shape than (rows, features), or an unknown
                option.
        """
        name = f"{type(self).__name__}.predict"
        reject_unknown(predict_kwargs, ("feature_columns", *_OPTIONS), what=name)
        check_feature_columns(feature_columns, name)
        return super().predict(data, feature_columns=feature_columns, predict_kwargs=predict_kwargs)

    @classmethod
    def _predict_options(cls) -> frozenset[str]:
        return frozenset({"feature_columns", *_OPTIONS})

    def _predict_arrow(
        self,
        table: pa.Table,
        feature_columns: Sequence[str] | None,
        predict_kwargs: Mapping[str, Any],
    ) -> dict[str, np.ndarray]:
        chosen = numbers_in_order(table, self._features, feature_columns, LIBRARY.name)
        return {PREDICTIONS: self._scores(chosen, predict_kwargs)}

    def _predict_rows(self, rows: np.ndarray, **kwargs: Any) -> np.ndarray:
        has_names = self._preprocessor is not None or kwargs["feature_columns"] is not None
        check_array(rows, self.model.num_feature(), has_names=has_names, what="model")
        return self._scores(rows, kwargs["predict_kwargs"])

    def _scores(self, data: Any, predict_kwargs: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(self.model.predict(data, **{"num_threads": 1, **predict_kwargs}))
