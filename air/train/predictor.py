"""Prediction with a trained model, in the process that asks for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa

from air.checkpoint import Checkpoint
from air.data.batching.batch_format import NUMPY, PANDAS, PYARROW, is_pandas_frame
from air.data.blocks.block import accessor
from air.data.blocks.making import block_from_batch
from air.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd

    from air.data.preprocessor import Preprocessor

P = TypeVar("P", bound="Predictor")

PREDICTIONS = "predictions"
"""The column that predictions are in."""

_ARRAY, _POLARS = "array", "polars"


class Predictor:
    """A model together with the preprocessor that its data goes through first.

    Derive from it and define :meth:`from_checkpoint` and one of ``_predict_pandas(frame)``,
    ``_predict_numpy(columns)`` and ``_predict_arrow(table)``, each of which returns a batch in
    any of these formats, with its predictions in the column ``"predictions"``.
    """

    _methods: ClassVar[dict[str, str]] = {
        PYARROW: "_predict_arrow",
        NUMPY: "_predict_numpy",
        PANDAS: "_predict_pandas",
    }

    def __init__(self, preprocessor: Preprocessor | None = None) -> None:
        self.set_preprocessor(preprocessor)

    @classmethod
    def from_checkpoint(cls: type[P], checkpoint: Checkpoint, **kwargs: Any) -> P:
        """A predictor with the model and the preprocessor of *checkpoint*."""
        raise NotImplementedError(f"{cls.__name__} does not define from_checkpoint()")

    @classmethod
    def from_pandas_udf(cls, pandas_udf: Callable[[pd.DataFrame], pd.DataFrame]) -> Predictor:
        """A predictor that calls a function from DataFrame to DataFrame."""
        return FunctionPredictor(pandas_udf)

    @classmethod
    def preferred_batch_format(cls) -> str:
        """The format that :meth:`predict` takes without converting.

        Raises:
            NotImplementedError: the class does not define how it predicts.
        """
        for batch_format, method in cls._methods.items():
            if hasattr(cls, method):
                return batch_format
        raise NotImplementedError(
            f"{cls.__name__} defines none of {', '.join(cls._methods.values())}"
        )

    def get_preprocessor(self) -> Preprocessor | None:
        """What data goes through first; ``None`` for nothing."""
        return self._preprocessor

    def set_preprocessor(self, preprocessor: Preprocessor | None) -> None:
        """Let data go through *preprocessor* first, or through nothing.

        Raises:
            InvalidOption: it is neither a preprocessor nor ``None``.
        """
        check_transforms(preprocessor, type(self).__name__)
        self._preprocessor = preprocessor

    def predict(self, data: Any, **kwargs: Any) -> Any:
        """The predictions for *data*, as data of the same kind.

        Args:
            data: a pandas or polars DataFrame, an Arrow table, or a dict of arrays: the result
                has the column ``"predictions"``, and in pandas the index of *data*. Or, for models
                that go by the position of their features, an array of rows: the result is an
                array.
            **kwargs: what the predictor's own way of predicting takes.

        Raises:
            TypeError: *data* is none of these.
            InvalidOption: *data* lacks a column that is needed.
        """
        given = _format_of(data)
        if given == _ARRAY:
            return self._predict_rows(data, **kwargs)
        if given == _POLARS:
            return _to_polars(Predictor.predict(self, data.to_arrow(), **kwargs))
        preferred = self.preferred_batch_format()
        batch = _converted(data, given, preferred)
        if self._preprocessor is not None:
            batch = self._preprocessor.transform_batch(batch)
            batch = _converted(batch, _format_of(batch), preferred)
        result = getattr(self, self._methods[preferred])(batch, **kwargs)
        predictions = _converted(result, _format_of(result), given)
        if given == PANDAS and predictions is not result and len(predictions) == len(data):
            predictions.index = data.index  # by which pandas puts the two together
        return predictions

    @classmethod
    def _predict_options(cls) -> frozenset[str] | None:
        """The options that :meth:`predict` takes besides the data; ``None`` for any."""
        if cls.predict is not Predictor.predict:
            function = cls.predict
        else:
            function = getattr(cls, cls._methods[cls.preferred_batch_format()])
        # The first two are the object and the data.
        options = list(inspect.signature(function).parameters.values())[2:]
        if any(option.kind is option.VAR_KEYWORD for option in options):
            return None
        return frozenset(option.name for option in options)

    def _predict_rows(self, rows: np.ndarray, **kwargs: Any) -> np.ndarray:
        """The predictions for an array of rows, where a model goes by position."""
        raise TypeError(
            f"{type(self).__name__} predicts from named columns: give a DataFrame, an Arrow "
            f"table or a dict of arrays instead of an array of shape {rows.shape}."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(preprocessor={self._preprocessor!r})"


class FunctionPredictor(Predictor):
    """A function from DataFrame to DataFrame as a predictor; it has no model."""

    def __init__(self, pandas_udf: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        if not callable(pandas_udf):
            raise InvalidOption(f"from_pandas_udf() takes a function, got {pandas_udf!r}")
        super().__init__()
        self._function = pandas_udf

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, **kwargs: Any) -> FunctionPredictor:
        """The function ``pandas_udf`` as a predictor; there is nothing in the checkpoint."""
        return cls(**kwargs)

    def _predict_pandas(self, frame: pd.DataFrame) -> pd.DataFrame:
        return self._function(frame)


def check_transforms(preprocessor: object, owner: str) -> None:
    """Raise `InvalidOption` for what is neither ``None`` nor transforms batches."""
    transforms = callable(getattr(preprocessor, "transform_batch", None))
    if preprocessor is not None and (isinstance(preprocessor, type) or not transforms):
        raise InvalidOption(
            f"{owner}: the preprocessor must be one of air.data.preprocessors, or None, got "
            f"{preprocessor!r}"
        )


def _format_of(data: Any) -> str:
    if isinstance(data, np.ndarray):
        return _ARRAY
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return PYARROW
    if isinstance(data, dict):
        return NUMPY
    if is_pandas_frame(data):
        return PANDAS
    if type(data).__module__.partition(".")[0] == "polars" and hasattr(data, "to_arrow"):
        return _POLARS
    raise TypeError(
        "predict() takes a pandas or polars DataFrame, an Arrow table, a dict of arrays or an "
        f"array, got {type(data).__name__}. For a Dataset use air.train.BatchPredictor."
    )


def _converted(batch: Any, given: str, wanted: str) -> Any:
    if given == wanted and not isinstance(batch, pa.RecordBatch):
        return batch
    return accessor(block_from_batch(batch)).to_batch(wanted)


def _to_polars(table: pa.Table) -> Any:
    import polars  # type: ignore[import-not-found, unused-ignore]  # only who has it gets here

    for position, column in enumerate(table.columns):
        if isinstance(column.type, pa.BaseExtensionType):  # polars has arrays of its own
            plain = pa.chunked_array([chunk.storage for chunk in column.chunks])
            table = table.set_column(position, table.column_names[position], plain)
    return polars.from_arrow(table)
