"""Tokens, their counts and their hashes: the same numbers as scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import feature_extraction
from sklearn.feature_extraction import text as sklearn_text

from air import data
from air.data.errors import ColumnNotFound, UnsuitableData, UnsupportedValue
from air.data.preprocessors import CountVectorizer, FeatureHasher, HashingVectorizer, Tokenizer
from air.data.preprocessors.hashing import murmur3_32
from air.errors import InvalidOption
from air.executor.serialization import dumps, loads

few = settings(deadline=None, max_examples=25)
words = st.one_of(st.sampled_from(["a", "b", "ü", "word", "日本", ""]), st.text("abü", max_size=9))
texts = st.lists(st.lists(words, max_size=6).map(" ".join), min_size=1, max_size=12)
cuts = st.integers(1, 4)
TEXTS = ["b a b", None, "", "a  c"]


def dataset(values, blocks=2):
    return data.from_arrow(pa.table({"t": pa.array(values, pa.string())})).repartition(blocks)


def split(text):
    return text.split(" ")


@few
@given(texts, cuts)
def test_tokens(values, blocks):
    rows = Tokenizer(["t"]).transform(dataset(values, blocks)).take_all()
    assert [row["t"] for row in rows] == [value.split(" ") for value in values]
    upper = Tokenizer(["t"], lambda text: [text.upper()]).transform(dataset(values, blocks))
    assert [row["t"] for row in upper.take_all()] == [[value.upper()] for value in values]


@few
@given(texts, cuts)
def test_counts(values, blocks):
    vectorizer = CountVectorizer(["t"])
    found = vectorizer.fit_transform(dataset(values, blocks)).to_pandas()
    theirs = sklearn_text.CountVectorizer(tokenizer=split, token_pattern=None, lowercase=False)
    counts = theirs.fit_transform(values).toarray()
    names = [f"t_{token}" for token in theirs.get_feature_names_out()]
    assert sorted(found.columns) == sorted(names)
    np.testing.assert_array_equal(found[names], counts)
    totals = list(found.sum())
    assert totals == sorted(totals, reverse=True)
    assert list(vectorizer.stats_["token_counts(t)"].values()) == totals


@few
@given(texts, cuts, st.integers(1, 9))
def test_hashed_counts(values, blocks, count):
    found = HashingVectorizer(["t"], count).transform(dataset(values, blocks)).to_pandas()
    theirs = sklearn_text.HashingVectorizer(
        n_features=count,
        tokenizer=split,
        token_pattern=None,
        lowercase=False,
        alternate_sign=False,
        norm=None,
    )
    assert list(found.columns) == [f"hash_t_{place}" for place in range(count)]
    np.testing.assert_array_equal(found, theirs.transform(values).toarray())


@few
@given(
    st.lists(words, min_size=1, max_size=5, unique=True),
    st.lists(st.integers(-9, 9), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_hashed_features(names, values, count):
    table = pa.table({f"x{name}": values for name in names})
    hasher = FeatureHasher(table.column_names, count)
    found = hasher.transform(data.from_arrow(table)).to_pandas()
    theirs = feature_extraction.FeatureHasher(count, alternate_sign=False)
    np.testing.assert_array_equal(found, theirs.transform(table.to_pylist()).toarray())


def test_hashes_are_those_that_are_published():
    # Vectors of the reference implementation with seed 0.
    published = {b"": 0, b"hello": 0x248BFA47, b"hello, world": 0x149BBB7F}
    published[b"The quick brown fox jumps over the lazy dog"] = 0x2E4FF723
    found = murmur3_32(list(published)).view(np.uint32)
    assert found.tolist() == list(published.values())
    assert len(murmur3_32([])) == 0


def test_missing_texts(placement):
    assert [row["t"] for row in Tokenizer(["t"]).transform(dataset(TEXTS)).take_all()] == [
        ["b", "a", "b"],
        None,
        [""],
        ["a", "", "c"],
    ]
    counted = CountVectorizer(["t"]).fit_transform(dataset(TEXTS)).to_pandas()
    assert counted.columns.tolist() == ["t_", "t_a", "t_b", "t_c"]
    assert counted.to_numpy().tolist() == [[0, 1, 2, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 1]]
    hashed = HashingVectorizer(["t"], 3).transform(dataset(TEXTS)).to_pandas()
    assert hashed.sum(axis=1).tolist() == [3, 0, 1, 3]
    nothing = HashingVectorizer(["t"], 2).transform(dataset([None, None])).to_pandas()
    assert nothing.to_numpy().tolist() == [[0, 0], [0, 0]]


def test_only_the_most_frequent_tokens_are_counted():
    vectorizer = CountVectorizer(["t"], max_features=2).fit(dataset(["c b", "b a", "a z"]))
    assert vectorizer.stats_ == {"token_counts(t)": {"a": 2, "b": 2}}
    batch = vectorizer.transform_batch(pd.DataFrame({"n": [1], "t": ["z a a"]}))
    assert batch.to_dict("list") == {"n": [1], "t_a": [2], "t_b": [0]}


def test_counting_is_one_pass_however_many_columns():
    passes = []

    def note(table: pa.Table) -> pa.Table:
        passes.append(len(table))
        return table

    table = pa.table({"s": ["a b", "b"], "t": ["c", "d"]})
    ds = data.from_arrow(table).map_batches(note, batch_size=None, batch_format="pyarrow")
    CountVectorizer(["s", "t"]).fit(ds)
    assert passes == [2]


@pytest.mark.parametrize(
    "preprocessor",
    [Tokenizer(["t"]), CountVectorizer(["t"]), HashingVectorizer(["t"], 3)],
    ids=lambda preprocessor: type(preprocessor).__name__,
)
def test_every_kind_of_batch_gives_the_same_and_they_travel(preprocessor):
    frame = pd.DataFrame({"n": [1, 2], "t": ["b a b", "a"]})
    expected = preprocessor.fit_transform(data.from_pandas(frame)).take_all()
    serialized = dumps(preprocessor)
    for batch in (frame, pa.table({"n": [1, 2], "t": ["b a b", "a"]})):
        made = loads(serialized.stream, serialized.buffers).transform_batch(batch)
        table = made if isinstance(made, pa.Table) else data.from_pandas(made).to_arrow()
        assert table.to_pylist() == expected
    arrays = preprocessor.transform_batch({"n": np.array([1, 2]), "t": np.array(["b a b", "a"])})
    assert list(arrays) == list(expected[0])
    for name, values in arrays.items():
        assert [each if np.isscalar(each) else list(each) for each in values] == [
            row[name] for row in expected
        ]


def test_what_is_no_text_is_named():
    numbers = data.from_items([{"t": 1}])
    for preprocessor in (Tokenizer(["t"]), CountVectorizer(["t"]), HashingVectorizer(["t"], 2)):
        name = type(preprocessor).__name__
        message = f"{name}: column 't' has the type int64, text is needed"
        with pytest.raises(UnsupportedValue, match=message):
            preprocessor.fit_transform(numbers).take_all()
        with pytest.raises(ColumnNotFound, match=f"{name}.*no column 't'"):
            preprocessor.fit_transform(numbers.rename_columns({"t": "u"})).take_all()
    with pytest.raises(UnsupportedValue, match="must give a list of texts, got 3 for a text"):
        Tokenizer(["t"], len).transform_batch({"t": ["abc"]})
    with pytest.raises(InvalidOption, match="tokenization_fn must be a function of a text"):
        Tokenizer(["t"], " ")
    with pytest.raises(InvalidOption, match="max_features"):
        CountVectorizer(["t"], max_features=0)
    with pytest.raises(InvalidOption, match="num_features"):
        HashingVectorizer(["t"], 0)
    with pytest.raises(UnsuitableData, match=r"FeatureHasher: column 'x' has missing values"):
        FeatureHasher(["x"], 2).transform_batch({"x": [None, 1.0]})
    taken = data.from_items([{"x": 1, "hash_0": 2}])
    with pytest.raises(InvalidOption, match="makes a column 'hash_0', and there is another"):
        FeatureHasher(["x"], 2).transform(taken)
