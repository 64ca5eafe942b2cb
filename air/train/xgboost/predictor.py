"""Prediction with an XGBoost model."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import reject_unknown
from air.train.features import check_array, check_feature_columns, numbers_in_order
from air.train.predictor import PREDICTIONS, Predictor
from air.train.xgboost.checkpoint import XGBoostCheckpoint
from air.train.xgboost.library import (
    LIBRARY,
    check_booster,
    check_dmatrix_kwargs,
    import_xgboost,
)

if TYPE_CHECKING:
    import xgboost

    from air.data.preprocessor import Preprocessor

_IN_PLACE = ("base_margin", "iteration_range", "missing", "predict_type", "strict_shape")
_ON_MATRIX = (
    "approx_contribs",
    "iteration_range",
    "output_margin",
    "pred_contribs",
    "pred_interactions",
    "pred_leaf",
    "strict_shape",
    "training",
)


@methods_suggest_keywords
class XGBoostPredictor(Predictor):
    """An XGBoost model that predicts, with its preprocessor."""

    def __init__(self, model: xgboost.Booster, preprocessor: Preprocessor | None = None) -> None:
        super().__init__(preprocessor)
        if isinstance(model, Checkpoint):
            raise InvalidOption(
                "XGBoostPredictor takes an xgboost.Booster, got a checkpoint: use "
                "XGBoostPredictor.from_checkpoint."
            )
        check_booster(model, "XGBoostPredictor")
        self.model = model

    @classmethod
    def from_checkpoint(  # type: ignore[override]  # it takes no options
        cls, checkpoint: Checkpoint
    ) -> XGBoostPredictor:
        """The model and the preprocessor of a checkpoint of an ``XGBoostTrainer``."""
        model = XGBoostCheckpoint.from_checkpoint(checkpoint).get_model()
        return cls(model, checkpoint.get_preprocessor())

    def predict(
        self,
        data: Any,
        feature_columns: Sequence[str] | None = None,
        dmatrix_kwargs: Mapping[str, Any] | None = None,
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
                order of the model's features, under whose names they then go.
            dmatrix_kwargs: settings of the ``xgboost.DMatrix`` to predict from; without any,
                predictions of trees come straight from the data.
            **predict_kwargs: of ``Booster.inplace_predict`` or ``Booster.predict``; linear models
                (``gblinear``) have the second only.

        Raises:
            InvalidOption: a feature is not in *data*, *feature_columns* take one for another, an
                array has another shape than (rows, features), or an unknown option.
        """
        name = f"{type(self).__name__}.predict"
        reject_unknown(predict_kwargs, self._predict_options() or (), what=name)
        check_feature_columns(feature_columns, name)
        if dmatrix_kwargs is not None:
            check_dmatrix_kwargs(dmatrix_kwargs, f"{name}: dmatrix_kwargs")
        return super().predict(
            data,
            feature_columns=feature_columns,
            dmatrix_kwargs=dmatrix_kwargs,
            predict_kwargs=predict_kwargs,
        )

    @functools.cached_property
    def _predicts_in_place(self) -> bool:
        """Whether the model can do without a matrix; linear ones cannot."""
        config = json.loads(self.model.save_config())
        return bool(config["learner"]["gradient_booster"]["name"] != "gblinear")

    @classmethod
    def _predict_options(cls) -> frozenset[str]:
        return frozenset({"feature_columns", "dmatrix_kwargs", *_IN_PLACE, *_ON_MATRIX})

    def _predict_arrow(
        self,
        table: pa.Table,
        feature_columns: Sequence[str] | None,
        dmatrix_kwargs: Mapping[str, Any] | None,
        predict_kwargs: Mapping[str, Any],
    ) -> dict[str, np.ndarray]:
        known = self.model.feature_names
        chosen = numbers_in_order(table, known, feature_columns, LIBRARY.name)
        return {PREDICTIONS: self._scores(chosen, dmatrix_kwargs, predict_kwargs)}

    def _predict_rows(self, rows: np.ndarray, **kwargs: Any) -> np.ndarray:
        has_names = self._preprocessor is not None or kwargs["feature_columns"] is not None
        check_array(rows, self.model.num_features(), has_names=has_names, what="model")
        return self._scores(rows, kwargs["dmatrix_kwargs"], kwargs["predict_kwargs"])

    def _scores(
        self,
        data: Any,
        dmatrix_kwargs: Mapping[str, Any] | None,
        predict_kwargs: Mapping[str, Any],
    ) -> np.ndarray:
        scores: np.ndarray
        in_place = self._predicts_in_place and set(predict_kwargs) <= set(_IN_PLACE)
        if not dmatrix_kwargs and in_place:
            # By name where there are names; the order of features was settled by the caller.
            scores = self.model.inplace_predict(data, validate_features=False, **predict_kwargs)
            return scores
        reject_unknown(predict_kwargs, _ON_MATRIX, what="predict() from a DMatrix")
        names = None if isinstance(data, pa.Table) else self.model.feature_names
        settings = {"feature_names": names, **(dmatrix_kwargs or {})}
        scores = self.model.predict(import_xgboost().DMatrix(data, **settings), **predict_kwargs)
        return scores
