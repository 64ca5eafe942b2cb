"""Which columns of a dataset are features, and which say something of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from air.errors import InvalidOption
from air.executor.validation import listing
from air.train.labels import check_named

COLUMN_SETTINGS = ("weight", "base_margin", "qid")
"""Settings that name a column which is no feature."""

_NOT_IN_NAMES = "[]<"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a dataset are what."""

    features: tuple[str, ...]
    label: str
    weight: str | None = None
    base_margin: str | None = None
    qid: str | None = None

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
                has a name or a type that XGBoost cannot train on.
        """
        named = {key: settings[key] for key in COLUMN_SETTINGS if settings.get(key) is not None}
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
        _check_names(features, dataset)
        _check_types([schema.field(name) for name in (*features, *other)], dataset)
        if "qid" in named and not pa.types.is_integer(schema.field(named["qid"]).type):
            raise InvalidOption(
                f"qid is {named['qid']!r}, which is no column of whole numbers in the dataset "
                f"{dataset!r}: they say which rows are ranked against one another."
            )
        return cls(features, label, **named)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        others = (self.label, self.weight, self.base_margin, self.qid)
        return (*self.features, *(name for name in others if name is not None))


def in_order_of(features: Sequence[str], columns: Mapping[str, Columns]) -> dict[str, Columns]:
    """The columns of datasets, with their features in the order of a model to go on from.

    Raises:
        InvalidOption: the model has other features.
    """
    found = columns["train"].features
    if set(found) != set(features):
        absent = [name for name in features if name not in found]
        unknown = [name for name in found if name not in features]
        parts = [f"lacks its features {listing(absent)}"] if absent else []
        parts += [f"has others, {listing(unknown)}"] if unknown else []
        raise InvalidOption(
            'The checkpoint to go on from is of a model with other features: the dataset "train" '
            f"{' and '.join(parts)}."
        )
    return {name: replace(each, features=tuple(features)) for name, each in columns.items()}


def is_number(kind: pa.DataType) -> bool:
    """Whether XGBoost can be given values of this type; all values missing (null) is none."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _check_names(features: Sequence[str], dataset: str) -> None:
    unfit = [name for name in features if any(sign in name for sign in _NOT_IN_NAMES)]
    if unfit:
        raise InvalidOption(
            f"XGBoost takes no feature with [, ] or < in its name, and the dataset {dataset!r} has "
            f"{listing(unfit)}. Call them something else: rename_columns."
        )


def _check_types(fields: Sequence[pa.Field], dataset: str) -> None:
    unfit = [f"{field.name} ({field.type})" for field in fields if not is_number(field.type)]
    if unfit:
        raise InvalidOption(
            f"XGBoost trains on numbers, but in the dataset {dataset!r} these columns are "
            f"not: {', '.join(unfit)}. Encode them with a preprocessor (OrdinalEncoder, "
            "OneHotEncoder; LabelEncoder for the label) or leave them out with drop_columns."
        )
