"""A trained estimator, kept."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cloudpickle

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.train.sklearn.estimators import check_estimator, features_of

if TYPE_CHECKING:
    from air.data.preprocessor import Preprocessor

MODEL_FILE = "estimator.pkl"
FEATURES_FILE = "features.json"


class SklearnCheckpoint(Checkpoint):
    """A checkpoint that holds a scikit-learn estimator, and possibly a preprocessor.

    The estimator is a pickle: it is read by the version of scikit-learn that wrote it, and one
    from a source that is not trusted must not be read.
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        preprocessor: Preprocessor | None = None,
        feature_columns: Sequence[str] | None = None,
    ) -> SklearnCheckpoint:
        """A checkpoint in memory that holds *estimator*.

        Args:
            feature_columns: the columns that it was trained on, in their order; those whose names
                it keeps itself, as it does of DataFrames, unless given.

        Raises:
            InvalidOption: it is no estimator.
        """
        check_estimator(estimator, f"{cls.__name__}.from_estimator: estimator")
        files = {MODEL_FILE: cloudpickle.dumps(estimator)}
        names = features_of(estimator) if feature_columns is None else list(feature_columns)
        if names is not None:
            files[FEATURES_FILE] = json.dumps(names).encode()
        checkpoint = cls._in_memory(files)
        if preprocessor is not None:
            checkpoint.set_preprocessor(preprocessor)
        return checkpoint

    def get_estimator(self) -> Any:
        """The estimator.

        Raises:
            InvalidOption: the checkpoint holds none.
        """
        content = self._read(MODEL_FILE)
        if content is None:
            raise InvalidOption(
                f"{self!r} holds no scikit-learn estimator: it has no {MODEL_FILE}. Is it the"
                " checkpoint of another library?"
            )
        return pickle.loads(content)

    def get_feature_columns(self) -> list[str] | None:
        """The columns that the estimator was trained on, in their order, if they are known."""
        content = self._read(FEATURES_FILE)
        return None if content is None else [str(name) for name in json.loads(content)]
