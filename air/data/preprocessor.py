"""Preprocessors: transformations that may first learn something from the data.

As in scikit-learn, ``__init__`` stores its arguments as they are (after a look at them), ``fit``
learns, and what was learnt is kept in attributes whose names end in ``_``.
"""

from __future__ import annotations

import copy
import enum
import inspect
from typing import Any, Self

import pyarrow as pa

from air.data.batching.batch_format import NUMPY, PANDAS, PYARROW, is_pandas_frame
from air.data.blocks.block import accessor
from air.data.blocks.making import block_from_batch
from air.data.dataset import Dataset
from air.errors import AirError
from air.executor.keywords import methods_suggest_keywords, suggests_keywords


class PreprocessorNotFittedException(AirError, RuntimeError):
    """A preprocessor that has to learn from data was used before it did."""


@methods_suggest_keywords
class Preprocessor:
    """Base of all preprocessors, and of those that users write.

    A subclass defines ``_transform_pandas(frame)`` or ``_transform_numpy(columns)``, which
    gives a batch of the same kind, and ``_fit(dataset)``, which stores what it learns in
    attributes that end in ``_`` (or sets ``_is_fittable = False``).
    """

    class FitStatus(enum.Enum):
        """Whether a preprocessor is ready to transform."""

        NOT_FITTABLE = "NOT_FITTABLE"
        """There is nothing to learn: it is always ready."""
        NOT_FITTED = "NOT_FITTED"
        PARTIALLY_FITTED = "PARTIALLY_FITTED"
        """Some parts of a :class:`~air.data.preprocessors.Chain` are fitted, others are not."""
        FITTED = "FITTED"

    _is_fittable = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let constructors, those of users too, name the nearest option for a misspelt one."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = suggests_keywords(cls.__init__)  # type: ignore[method-assign]

    def fit_status(self) -> FitStatus:
        """Whether the preprocessor is ready to transform."""
        if not self._is_fittable:
            return self.FitStatus.NOT_FITTABLE
        fitted = any(name.endswith("_") and not name.startswith("_") for name in vars(self))
        return self.FitStatus.FITTED if fitted else self.FitStatus.NOT_FITTED

    def fit(self, ds: Dataset) -> Self:
        """Learn from all rows of *ds*, in one pass; what was learnt before is forgotten.

        Returns:
            The preprocessor itself.

        Raises:
            ColumnNotFound: a column is not in the data.
            UnsupportedValue: a column has a type that cannot be learnt from.
            UnsuitableData: there are no rows, or values that cannot be learnt from.
        """
        _check_dataset(self, ds)
        if self._is_fittable:
            self._fit(ds)
        return self

    def transform(self, ds: Dataset) -> Dataset:
        """The transformed dataset; nothing runs yet.

        Raises:
            PreprocessorNotFittedException: :meth:`fit` has not been called.
            ColumnNotFound: a column is not in the data, and its columns are known.
        """
        _check_dataset(self, ds)
        self._check_fitted()
        # What is learnt later must not change datasets that exist already.
        return copy.copy(self)._transform(ds)

    def fit_transform(self, ds: Dataset) -> Dataset:
        """:meth:`fit` and then :meth:`transform`, on the same data."""
        return self.fit(ds).transform(ds)

    def transform_batch(self, data: Any) -> Any:
        """The transformed batch, of the kind that was given; *data* stays as it is.

        Args:
            data: a ``pandas.DataFrame``, a ``pyarrow.Table``, or a dictionary of arrays.

        Raises:
            PreprocessorNotFittedException: :meth:`fit` has not been called.
            ColumnNotFound: a column is not in the batch.
            TypeError: *data* is no batch.
        """
        self._check_fitted()
        return self._transform_batch(data)

    def preferred_batch_format(self) -> str:
        """The format in which batches are transformed without a conversion."""
        return NUMPY if type(self)._transform_numpy is not Preprocessor._transform_numpy else PANDAS

    def keeps_columns(self) -> bool:
        """Whether it is known that the columns that come out are those that go in."""
        return False

    # For subclasses -------------------------------------------------------------------------

    def _fit(self, ds: Dataset) -> None:
        """Learn from *ds* and store it in attributes that end in ``_``."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no _fit(dataset); if there is nothing to learn, set"
            " _is_fittable = False"
        )

    def _transform_pandas(self, df: Any) -> Any:
        """A transformed DataFrame; *df* may be changed."""
        raise NotImplementedError(
            f"{type(self).__name__} defines neither _transform_pandas(frame) nor"
            " _transform_numpy(columns)"
        )

    def _transform_numpy(self, np_data: dict[str, Any]) -> dict[str, Any]:
        """A transformed dictionary of arrays; *np_data* may be changed."""
        raise NotImplementedError(
            f"{type(self).__name__} defines neither _transform_pandas(frame) nor"
            " _transform_numpy(columns)"
        )

    def _transform(self, ds: Dataset) -> Dataset:
        """:meth:`transform`, once it is known that it can be done."""
        return ds.map_batches(
            _NamedMethod(self, "_transform_native"), batch_format=self.preferred_batch_format()
        )

    def _transform_native(self, batch: Any) -> Any:
        if self.preferred_batch_format() == NUMPY:
            return self._transform_numpy(batch)
        return self._transform_pandas(batch)

    def _transform_batch(self, data: Any) -> Any:
        """:meth:`transform_batch`, once it is known that it can be done."""
        kind = batch_kind(data)
        block = block_from_batch(data)
        made = self._transform_native(accessor(block).to_batch(self.preferred_batch_format()))
        return accessor(block_from_batch(made)).to_batch(kind)

    def _check_fitted(self) -> None:
        if self.fit_status() not in (self.FitStatus.NOT_FITTABLE, self.FitStatus.FITTED):
            raise PreprocessorNotFittedException(
                f"{self!r} has not been fitted: call fit(dataset) first, or fit_transform(dataset)"
            )

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters
        given = [f"{name}={vars(self)[name]!r}" for name in names if name in vars(self)]
        return f"{type(self).__name__}({', '.join(given)})"


class _NamedMethod:
    """A method of a preprocessor as a function that is called like the preprocessor."""

    def __init__(self, preprocessor: Preprocessor, method: str) -> None:
        self._method = getattr(preprocessor, method)
        self.__name__ = type(preprocessor).__name__

    def __call__(self, batch: Any) -> Any:
        return self._method(batch)


def batch_kind(data: Any) -> str:
    """The batch format that *data* has.

    Raises:
        TypeError: it is no batch.
    """
    if is_pandas_frame(data):
        return PANDAS
    if isinstance(data, pa.Table):
        return PYARROW
    if isinstance(data, dict):
        return NUMPY
    raise TypeError(
        "a batch must be a pandas.DataFrame, a pyarrow.Table or a dictionary of arrays, got"
        f" {type(data).__name__}"
    )


def _check_dataset(preprocessor: Preprocessor, ds: object) -> None:
    if not isinstance(ds, Dataset):
        raise TypeError(
            f"{type(preprocessor).__name__} works on an air.data.Dataset, got"
            f" {type(ds).__name__}; for a batch use transform_batch"
        )
