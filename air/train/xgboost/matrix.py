"""From Arrow tables to XGBoost's matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

if TYPE_CHECKING:
    import xgboost

COLUMN_SETTINGS = ("weight", "base_margin")
"""Settings that name a column which is no feature."""

MATRIX_SETTINGS = (*COLUMN_SETTINGS, "missing")
"""What ``dmatrix_params`` may say of a dataset."""

Tables = Callable[[], Iterable[pa.Table]]
"""Gives the tables of a shard, from the first one on, each time that it is called."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a dataset are what."""

    features: tuple[str, ...]
    label: str
    weight: str | None = None
    base_margin: str | None = None

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        label: str,
        settings: Mapping[str, Any],
        dataset: str,
        *,
        like: Columns | None = None,
    ) -> Columns:
        """Tell the features from the rest.

        *like* are the columns of the dataset to train on: others need the same features, whose
        order is taken from it; what else they have is not looked at.

        Raises:
            InvalidOption: a column that is named is not there, there is no feature, or a column
                has a type that XGBoost cannot train on.
        """
        named = {key: settings[key] for key in COLUMN_SETTINGS if key in settings}
        check_named(label, schema.names, dataset)
        for role, column in named.items():
            check_named(column, schema.names, dataset, role=role)
        other = {label, *named.values()}
        if like is None:
            features = tuple(name for name in schema.names if name not in other)
        else:
            features = like.features
            absent = [name for name in features if name not in schema.names]
            if absent:
                raise InvalidOption(
                    f'The dataset {dataset!r} lacks features of the dataset "train": '
                    f"{listing(absent)}. It has {listing(schema.names)}."
                )
        if not features:
            raise InvalidOption(
                f"The dataset {dataset!r} has no features: its only columns are {sorted(other)}."
            )
        used = [schema.field(name) for name in (*features, *other)]
        unfit = [f"{field.name} ({field.type})" for field in used if not is_number(field.type)]
        if unfit:
            raise InvalidOption(
                f"XGBoost trains on numbers, but in the dataset {dataset!r} these columns are "
                f"not: {', '.join(unfit)}. Encode them with a preprocessor (OrdinalEncoder, "
                "OneHotEncoder; LabelEncoder for the label) or leave them out with "
                "drop_columns."
            )
        return cls(features, label, **named)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        others = (self.label, self.weight, self.base_margin)
        return (*self.features, *(name for name in others if name is not None))


def check_named(
    column: str, available: Sequence[str], dataset: str, *, role: str = "label_column"
) -> None:
    """Raise `InvalidOption` if a column that an option names is not there."""
    if column not in available:
        raise InvalidOption(
            f"{role} is {column!r}, but the dataset {dataset!r} has no such column."
            f"{nearest(column, available)} It has {listing(available)}."
        )


def build_matrix(
    tables: Tables,
    columns: Columns,
    *,
    params: Mapping[str, Any],
    settings: Mapping[str, Any],
    nthread: int,
    ref: xgboost.DMatrix | None,
) -> xgboost.DMatrix:
    """A matrix of a shard: quantized while it is read, where the training method allows.

    *ref* is the matrix to train on, whose quantiles the others take over. No copy of all the
    rows is made on the way to a quantized matrix; methods that need the values themselves
    (``exact``, ``approx``, linear boosters) get them in one table.
    """
    import xgboost

    missing = settings.get("missing")
    if not is_quantized(params):
        table = pa.concat_tables(tables())
        return xgboost.DMatrix(
            table.select(columns.features),
            missing=missing,
            nthread=nthread,
            **_meta(table, columns),
        )

    class Batches(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self._rest: Iterator[pa.Table] = iter(())

        def reset(self) -> None:
            self._rest = iter(tables())

        def next(self, input_data: Callable[..., None]) -> bool:
            table = next(self._rest, None)
            if table is None:
                return False
            input_data(data=table.select(columns.features), **_meta(table, columns))
            return True

    return xgboost.QuantileDMatrix(
        Batches(), missing=missing, max_bin=params.get("max_bin"), nthread=nthread, ref=ref
    )


def check_labels(table: pa.Table, label: str, dataset: str) -> None:
    """Raise `InvalidOption` if a row has no label: nothing can be learnt from it."""
    column = table.column(label)
    is_missing = pc.is_null(column, nan_is_null=True)
    if pc.any(is_missing).as_py():
        raise InvalidOption(
            f"label_column is {label!r}, which has missing values in the dataset {dataset!r}: "
            "leave these rows out with filter, or fill them in."
        )


def is_quantized(params: Mapping[str, Any]) -> bool:
    """Whether training with *params* works on quantized values."""
    return params.get("tree_method", "auto") in ("auto", "hist", "gpu_hist") and params.get(
        "booster", "gbtree"
    ) in ("gbtree", "dart")


def _meta(table: pa.Table, columns: Columns) -> dict[str, Any]:
    meta = {"label": _array(table, columns.label)}
    if columns.weight is not None:
        meta["weight"] = _array(table, columns.weight)
    if columns.base_margin is not None:
        meta["base_margin"] = _array(table, columns.base_margin)
    return meta


def _array(table: pa.Table, column: str) -> Any:
    values = table.column(column)
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    return values.to_numpy()


def is_number(kind: pa.DataType) -> bool:
    """Whether XGBoost takes values of this type."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )
