"""The columns of a table in the order of a model's features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air.train.columns import as_numbers, is_number


def check_feature_columns(feature_columns: object, what: str) -> None:
    """Raise `InvalidOption` for what is neither ``None`` nor a list of names."""
    if feature_columns is None:
        return
    if isinstance(feature_columns, (str, bytes)) or not (
        isinstance(feature_columns, Sequence)
        and all(isinstance(column, str) for column in feature_columns)
    ):
        raise InvalidOption(
            f"{what}: feature_columns must be a list of columns' names, got {feature_columns!r}"
        )


def check_array(rows: np.ndarray, features: int | None, *, has_names: bool, what: str) -> None:
    """See that an array of rows can stand for the features of a model, by their position.

    Args:
        features: how many the model has, if that is known.
        has_names: whether anything goes by names of columns: a preprocessor, feature_columns.
        what: the model, for messages.

    Raises:
        TypeError: something goes by names.
        InvalidOption: the array has another shape than (rows, features).
    """
    if has_names:
        raise TypeError(
            "The preprocessor and feature_columns go by the names of columns: give a "
            "DataFrame, an Arrow table or a dict of arrays instead of an array."
        )
    if rows.ndim != 2 or features not in (None, rows.shape[1]):
        count = "" if features is None else f" has {features} features, so it"
        raise InvalidOption(
            f"The {what}{count} takes an array of shape (rows, {features or 'features'}), got one"
            f" of shape {rows.shape}."
        )


def in_order(
    table: pa.Table, known: Sequence[str] | None, feature_columns: Sequence[str] | None
) -> pa.Table:
    """The columns to predict from, in the order and under the names of the model's features.

    Args:
        known: the names of the model's features, if it keeps them.
        feature_columns: the columns; those with the names of the features unless given. In any
            order if they are just these, else in the order of the features that they stand for.

    Raises:
        InvalidOption: a column is not there, or columns take one feature for another.
    """
    features = list(feature_columns or known or table.column_names)
    if known is not None and set(features) == set(known):
        features = list(known)
    absent = [name for name in features if name not in table.column_names]
    if absent:
        raise InvalidOption(
            f"The data lacks the features {listing(absent)}."
            f"{nearest(absent[0], table.column_names)} It has {listing(table.column_names)}."
        )
    chosen = table.select(features)
    if known is None:
        return chosen
    _check_places(features, known)
    return chosen.rename_columns(list(known))


def numbers_in_order(
    table: pa.Table,
    known: Sequence[str] | None,
    feature_columns: Sequence[str] | None,
    library: str,
) -> pa.Table:
    """The same, for libraries that predict from numbers.

    Raises:
        InvalidOption: also for columns of anything else.
    """
    chosen = in_order(table, known, feature_columns)
    unfit = [f"{f.name} ({f.type})" for f in chosen.schema if not is_number(f.type)]
    if unfit:
        raise InvalidOption(
            f"{library} predicts from numbers, but these columns are not: {', '.join(unfit)}. "
            "Encode them as for training, or turn them into numbers."
        )
    return as_numbers(chosen, chosen.column_names)


def _check_places(features: Sequence[str], known: Sequence[str]) -> None:
    """See that columns which stand for the model's features stand for the right ones."""
    if len(features) != len(known):
        raise InvalidOption(
            f"feature_columns names {len(features)} columns, and the model has {len(known)} "
            f"features: {listing(known)}."
        )
    for given, feature in zip(features, known, strict=True):
        if given != feature and given in known:
            raise InvalidOption(
                f"feature_columns gives the column {given!r} in the place of the feature "
                f"{feature!r}. The model's features are, in their order, {listing(known)}."
            )
