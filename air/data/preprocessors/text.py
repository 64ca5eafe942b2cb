"""Preprocessors of text: into words, and into how often each word is there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.counts import ElementCounts
from air.data.dataset import Dataset
from air.data.errors import UnsuitableData, UnsupportedValue
from air.data.preprocessors.columns import (
    Column,
    ColumnPreprocessor,
    check_columns,
    check_free,
    numbers,
)
from air.data.preprocessors.hashing import murmur3_32
from air.errors import InvalidOption
from air.executor.validation import check_number

Tokenization = Callable[[str], Sequence[str]] | None


class Tokenizer(ColumnPreprocessor):
    """Replace each text by the list of its tokens.

    A missing text stays missing. There is nothing to fit.

    Args:
        columns: names of columns with text.
        tokenization_fn: takes a text and gives a list of texts; ``text.split(" ")`` if ``None``,
            which gives an empty token between two spaces and for an empty text.
    """

    _is_fittable = False

    def __init__(self, columns: list[str], tokenization_fn: Tokenization = None) -> None:
        self.columns = columns
        self.tokenization_fn = tokenization_fn
        _check_text_options(self, columns, tokenization_fn)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        return {
            name: tokens(type(self).__name__, name, column, self.tokenization_fn)
            for name, column in columns.items()
        }


class CountVectorizer(ColumnPreprocessor):
    """Replace each column of text by one for each token, ``column_token``, that holds its count.

    The same counts as scikit-learn's, with columns in another order: tokens come the most frequent
    first, those that are equally frequent in ascending order. Tokens that were not seen in
    :meth:`fit` are not counted, a missing text has none.

    Args:
        columns: names of columns with text.
        tokenization_fn: takes a text and gives a list of texts, as for :class:`Tokenizer`.
        max_features: how many tokens of a column to count, the most frequent ones; all if ``None``.

    Attributes:
        stats_: ``{"token_counts(a)": {token: how often it was seen, ...}}`` after :meth:`fit`, of
            the tokens that are counted.
    """

    def __init__(
        self,
        columns: list[str],
        tokenization_fn: Tokenization = None,
        max_features: int | None = None,
    ) -> None:
        self.columns = columns
        self.tokenization_fn = tokenization_fn
        self.max_features = max_features
        _check_text_options(self, columns, tokenization_fn)
        if max_features is not None:
            check_number(max_features, "CountVectorizer: max_features", minimum=1, integer=True)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def output_columns(self, available: Sequence[str]) -> list[str]:
        kept = [name for name in available if name not in self.columns]
        made = [f"{name}_{token}" for name in self.columns for token in self._counted(name)]
        check_free(self, made, kept)
        return [*kept, *made]

    def _fit(self, ds: Dataset) -> None:
        names = self.input_columns(())
        ds.check_columns(names, "CountVectorizer.fit")
        # Texts become tokens in the pass that counts them.
        listed = _Tokens(names, self.tokenization_fn, "CountVectorizer").transform(ds)
        found = self._summarize(listed, {name: [ElementCounts] for name in names})
        self.stats_ = {}
        for name in names:
            counts = found[ElementCounts, name].counts
            frequent = sorted(counts, key=lambda token: (-counts[token], token))
            kept = frequent[: self.max_features]
            self.stats_[f"token_counts({name})"] = {token: counts[token] for token in kept}

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            known = {token: place for place, token in enumerate(self._counted(name))}
            listed = tokens("CountVectorizer", name, column, self.tokenization_fn)
            counts = _counts(listed, len(known), functools.partial(_places_among, known))
            made |= {f"{name}_{token}": counts[place] for token, place in known.items()}
        return made

    def _counted(self, name: str) -> dict[str, int]:
        return self.stats_[f"token_counts({name})"]


class HashingVectorizer(ColumnPreprocessor):
    """Replace each column of text by columns ``hash_column_0``, ``hash_column_1``, ... of counts.

    Each token is counted in the column that its hash says, so there is nothing to fit and no list
    of tokens to keep; different tokens may share a column. The same counts as scikit-learn's with
    ``alternate_sign=False, norm=None``. A missing text has no tokens.

    Args:
        columns: names of columns with text.
        num_features: how many columns to make of each; the more, the fewer tokens share one.
        tokenization_fn: takes a text and gives a list of texts, as for :class:`Tokenizer`.
    """

    _is_fittable = False

    def __init__(
        self, columns: list[str], num_features: int, tokenization_fn: Tokenization = None
    ) -> None:
        self.columns = columns
        self.num_features = num_features
        self.tokenization_fn = tokenization_fn
        _check_text_options(self, columns, tokenization_fn)
        check_number(num_features, "HashingVectorizer: num_features", minimum=1, integer=True)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def output_columns(self, available: Sequence[str]) -> list[str]:
        kept = [name for name in available if name not in self.columns]
        made = [f"hash_{name}_{i}" for name in self.columns for i in range(self.num_features)]
        check_free(self, made, kept)
        return [*kept, *made]

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, column in columns.items():
            listed = tokens("HashingVectorizer", name, column, self.tokenization_fn)
            counts = _counts(
                listed, self.num_features, lambda distinct: places(distinct, self.num_features)
            )
            made |= {f"hash_{name}_{place}": each for place, each in enumerate(counts)}
        return made


class FeatureHasher(ColumnPreprocessor):
    """Replace columns of numbers by fewer: ``hash_0``, ``hash_1``, ..., which add them up.

    Each column is added to the one that the hash of its name says, as tables that say how often
    each token is in a text have more columns than a model can take. The same numbers as
    scikit-learn's with ``alternate_sign=False``; there is nothing to fit.

    Args:
        columns: names of columns with numbers.
        num_features: how many columns to make of them.
    """

    _is_fittable = False

    def __init__(self, columns: list[str], num_features: int) -> None:
        self.columns = columns
        self.num_features = num_features
        check_columns(self, columns)
        check_number(num_features, "FeatureHasher: num_features", minimum=1, integer=True)

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def output_columns(self, available: Sequence[str]) -> list[str]:
        kept = [name for name in available if name not in self.columns]
        made = [f"hash_{place}" for place in range(self.num_features)]
        check_free(self, made, kept)
        return [*kept, *made]

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """The sums.

        Raises:
            UnsuitableData: a value is missing, and cannot be added to others.
        """
        sums = np.zeros((self.num_features, len(next(iter(columns.values())))))
        place_of = dict(zip(columns, places(list(columns), self.num_features), strict=True))
        for name, column in columns.items():
            values = numbers(self, name, column)
            if np.isnan(values).any():
                raise UnsuitableData(
                    f"FeatureHasher: column {name!r} has missing values, which cannot be added to"
                    f" others; fill them first with SimpleImputer([{name!r}], ...)"
                )
            sums[place_of[name]] += values
        return {f"hash_{place}": values for place, values in enumerate(sums)}


class _Tokens(Tokenizer):
    """The tokens of texts on behalf of another preprocessor, which messages name."""

    def __init__(self, columns: list[str], tokenization_fn: Tokenization, who: str) -> None:
        self.who = who
        super().__init__(columns, tokenization_fn)

    def transform_columns(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        return {
            name: tokens(self.who, name, column, self.tokenization_fn)
            for name, column in columns.items()
        }


def tokens(who: str, name: str, column: Column, tokenization_fn: Tokenization) -> Column:
    """The list of tokens of each text of a column; null for a missing one.

    Raises:
        UnsupportedValue: the column holds something else than text, or the function gives
            something else than a list of texts.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UnsupportedValue(f"{who}: column {name!r} has the type {column.type}, text is needed")
    if tokenization_fn is None:
        return pc.split_pattern(column, " ")
    listed = [None if text is None else tokenization_fn(text) for text in column.to_pylist()]
    for found in listed:
        good = found is None or (
            isinstance(found, (list, tuple)) and all(isinstance(token, str) for token in found)
        )
        if not good:
            raise UnsupportedValue(
                f"{who}: tokenization_fn must give a list of texts, got {found!r:.80} for a text of"
                f" column {name!r}"
            )
    return pa.chunked_array([pa.array(listed, pa.list_(column.type))])


def places(distinct: Sequence[str], count: int) -> np.ndarray:
    """The place from 0 to *count* - 1 that the hash of each text says, as in scikit-learn."""
    hashes = murmur3_32([text.encode("utf-8", "surrogatepass") for text in distinct])
    return np.abs(hashes.astype(np.int64)) % count


def _places_among(known: Mapping[str, int], distinct: Sequence[str]) -> list[int]:
    return [known.get(token, -1) for token in distinct]


def _counts(
    listed: Column, count: int, places_of: Callable[[list[str]], Sequence[int] | np.ndarray]
) -> np.ndarray:
    """How many tokens of each row go to each of *count* places; an array for each place.

    Args:
        places_of: the places of distinct tokens; those at -1 are left out.
    """
    rows = len(listed)
    sizes = pc.list_value_length(listed).fill_null(0).to_numpy()
    encoded = pc.list_flatten(listed).combine_chunks().dictionary_encode()
    place = np.asarray(places_of(encoded.dictionary.to_pylist()), dtype=np.int64)
    place = place[encoded.indices.to_numpy()]
    cells = place * rows + np.repeat(np.arange(rows), sizes)
    counted = np.bincount(cells[place >= 0], minlength=count * rows)
    return counted.astype(np.int64, copy=False).reshape(count, rows)


def _check_text_options(preprocessor: ColumnPreprocessor, columns: object, fn: object) -> None:
    check_columns(preprocessor, columns)
    if fn is not None and not callable(fn):
        raise InvalidOption(
            f"{type(preprocessor).__name__}: tokenization_fn must be a function of a text, got"
            f" {fn!r:.80}"
        )
