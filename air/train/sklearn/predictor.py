"""Prediction with a scikit-learn estimator."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.extras import import_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number, reject_unknown
from air.train.features import check_array, check_feature_columns, in_order
from air.train.predictor import PREDICTIONS, Predictor
from air.train.sklearn.checkpoint import SklearnCheckpoint
from air.train.sklearn.estimators import check_estimator, features_of, with_cpus
from air.train.sklearn.tables import features

if TYPE_CHECKING:
    from air.data.preprocessor import Preprocessor


@methods_suggest_keywords
class SklearnPredictor(Predictor):
    """A scikit-learn estimator that predicts, with its preprocessor."""

    def __init__(
        self,
        estimator: Any,
        preprocessor: Preprocessor | None = None,
        *,
        feature_columns: Sequence[str] | None = None,
    ) -> None:
        """*feature_columns* are those that the estimator was trained on, in their order."""
        super().__init__(preprocessor)
        if isinstance(estimator, Checkpoint):
            raise InvalidOption(
                "SklearnPredictor takes an estimator, got a checkpoint: use"
                " SklearnPredictor.from_checkpoint."
            )
        check_estimator(estimator, "SklearnPredictor: estimator")
        self.estimator = estimator
        self._features = features_of(estimator) if feature_columns is None else feature_columns

    @classmethod
    def from_checkpoint(  # type: ignore[override]  # it takes no options
        cls, checkpoint: Checkpoint
    ) -> SklearnPredictor:
        """The estimator and the preprocessor of a checkpoint of a ``SklearnTrainer``."""
        kept = SklearnCheckpoint.from_checkpoint(checkpoint)
        return cls(
            kept.get_estimator(),
            checkpoint.get_preprocessor(),
            feature_columns=kept.get_feature_columns(),
        )

    def predict(
        self,
        data: Any,
        feature_columns: Sequence[str] | None = None,
        num_estimator_cpus: int | None = 1,
        method: str = "predict",
        **predict_kwargs: Any,
    ) -> Any:
        """The predictions for *data*, as data of the same kind.

        Several values for a row (probabilities of classes) are an array in its ``"predictions"``.

        Args:
            data: see :meth:`Predictor.predict`. Columns that the estimator was not trained on are
                ignored, where it is known which these are.
            feature_columns: the columns to predict from, in the order of the estimator's features;
                those that it was trained on unless given, and all if these are not known.
            num_estimator_cpus: threads or processes that the estimator uses, where it can be told
                to; ``None`` leaves that as it was.
            method: of the estimator: ``"predict"``, ``"predict_proba"``, ``"decision_function"``,
                ``"transform"`` or another that takes rows and gives an array of one row for each.
            **predict_kwargs: what the method takes besides.

        Raises:
            InvalidOption: a feature is not in *data*, an array has another number of columns than
                the estimator has features, or the estimator has no such method.
        """
        name = f"{type(self).__name__}.predict"
        if not callable(getattr(self.estimator, method, None)):
            raise InvalidOption(
                f"{name}: {type(self.estimator).__name__} has no method {method!r}."
            )
        if num_estimator_cpus is not None:
            check_number(num_estimator_cpus, f"{name}: num_estimator_cpus", integer=True)
            with_cpus(self.estimator, num_estimator_cpus)
        check_feature_columns(feature_columns, name)
        return super().predict(
            data, feature_columns=feature_columns, method=method, predict_kwargs=predict_kwargs
        )

    def _predict_arrow(
        self,
        table: pa.Table,
        feature_columns: Sequence[str] | None,
        method: str,
        predict_kwargs: dict[str, Any],
    ) -> dict[str, np.ndarray]:
        chosen = in_order(table, self._features, feature_columns)
        rows = features(chosen, chosen.column_names)
        return {PREDICTIONS: self._found(rows, method, predict_kwargs)}

    def _predict_rows(self, rows: np.ndarray, **kwargs: Any) -> np.ndarray:
        has_names = self._preprocessor is not None or kwargs["feature_columns"] is not None
        check_array(
            rows,
            getattr(self.estimator, "n_features_in_", None),
            has_names=has_names,
            what="estimator",
        )
        known = features_of(self.estimator)
        named: Any = rows
        if known is not None:
            named = import_pandas(type(self).__name__).DataFrame(rows, columns=list(known))
        return self._found(named, kwargs["method"], kwargs["predict_kwargs"])

    def _found(self, rows: Any, method: str, predict_kwargs: dict[str, Any]) -> np.ndarray:
        call = getattr(self.estimator, method)
        parameters = inspect.signature(call).parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            known = [each.name for each in parameters][1:]
            what = f"{type(self).__name__}.predict with {type(self.estimator).__name__}.{method}"
            reject_unknown(predict_kwargs, known, what=what)
        return np.asarray(call(rows, **predict_kwargs))
