"""Which columns of a dataset are features, and which say something of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from air.errors import InvalidOption
from air.executor.validation import listing
from air.train.labels import check_named


@dataclass(frozen=True, slots=True)
class Library:
    """What a library that trains on tables asks of their columns.

    Attributes:
        name: what errors call it.
        roles: settings of a dataset that name a column which is no feature.
        unfit_signs: signs that no name of a feature may have.
    """

    name: str
    roles: tuple[str, ...]
    unfit_signs: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a dataset are what.

    Attributes:
        roles: the columns that are neither features nor the label, by what they are.
    """

    features: tuple[str, ...]
    label: str
    roles: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        label: str,
        settings: Mapping[str, Any],
        dataset: str,
        *,
        library: Library,
        like: Columns | None = None,
    ) -> Columns:
        """Tell the features from the rest.

        *like* are the columns of the dataset to train on: others need the same features, whose
        order is taken from it; what else they have is not looked at.

        Raises:
            InvalidOption: a column that is named is not there, there is no feature, or a column
                has a name or a type that the library cannot train on.
        """
        named = {key: settings[key] for key in library.roles if settings.get(key) is not None}
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
        _check_names(features, dataset, library)
        _check_types([schema.field(name) for name in (*features, *other)], dataset, library)
        if "qid" in named and not pa.types.is_integer(schema.field(named["qid"]).type):
            raise InvalidOption(
                f"qid is {named['qid']!r}, which is no column of whole numbers in the dataset "
                f"{dataset!r}: they say which rows are ranked against one another."
            )
        return cls(features, label, named)

    @property
    def qid(self) -> str | None:
        """The column that says which rows are ranked against one another."""
        return self.roles.get("qid")

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.features, self.label, *self.roles.values())


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
    """Whether values of this type are numbers to train on; all values missing (null) is none."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _check_names(features: Sequence[str], dataset: str, library: Library) -> None:
    signs = library.unfit_signs
    unfit = [name for name in features if any(sign in name for sign in signs)]
    if unfit:
        raise InvalidOption(
            f"{library.name} takes no feature with {listing(list(signs))} in its name, and the"
            f" dataset {dataset!r} has {listing(unfit)}. Call them something else: rename_columns."
        )


def _check_types(fields: Sequence[pa.Field], dataset: str, library: Library) -> None:
    unfit = [f"{field.name} ({field.type})" for field in fields if not is_number(field.type)]
    if unfit:
        raise InvalidOption(
            f"{library.name} trains on numbers, but in the dataset {dataset!r} these columns are "
            f"not: {', '.join(unfit)}. Encode them with a preprocessor (OrdinalEncoder, "
            "OneHotEncoder; LabelEncoder for the label) or leave them out with drop_columns."
        )


def as_numbers(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """These columns of *table*, in types that libraries read, without a copy wherever it can be."""
    chosen = table.select(list(names))
    for index, kept in enumerate(chosen.schema):
        if pa.types.is_null(kept.type) or pa.types.is_decimal(kept.type):
            kind = pa.float64()
        elif pa.types.is_float16(kept.type):
            kind = pa.float32()
        else:
            continue
        chosen = chosen.set_column(index, kept.name, chosen.column(index).cast(kind))
    return chosen


def array_of(table: pa.Table, name: str) -> Any:
    """A column of numbers as an array; true and false as 1 and 0."""
    column = as_numbers(table, [name]).column(0)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return column.to_numpy()
