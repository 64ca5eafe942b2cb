"""Lists of categories as vectors, and categorical types: as scikit-learn and pandas have them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing

from air import data
from air.data.errors import UnsuitableData
from air.data.preprocessors import Categorizer, MultiHotEncoder
from air.errors import InvalidOption
from air.executor.serialization import dumps, loads

few = settings(deadline=None, max_examples=25)
words = st.sampled_from(["a", "b", "ü", "", "ab"])
cuts = st.integers(1, 4)
TAGS = pa.table({"n": [1, 2, 3], "tags": [["b", "a", "b"], [], ["c", "b"]]})


@few
@given(st.lists(st.lists(words, max_size=4), min_size=1, max_size=12), cuts)
def test_lists_as_vectors(lists, blocks):
    table = pa.table({"tags": pa.array(lists, pa.list_(pa.string()))})
    encoder = MultiHotEncoder(["tags"])
    found = encoder.fit_transform(data.from_arrow(table).repartition(blocks))
    theirs = preprocessing.MultiLabelBinarizer()
    expected = theirs.fit_transform(lists)
    assert list(encoder.stats_["unique_values(tags)"]) == list(theirs.classes_)
    rows = [list(row["tags"]) for row in found.take_all()]
    assert rows == expected.tolist()


def test_vectors_of_every_kind_of_batch(placement):
    encoder = MultiHotEncoder(["tags"]).fit(data.from_arrow(TAGS).repartition(2))
    assert encoder.stats_ == {"unique_values(tags)": {"a": 0, "b": 1, "c": 2}}
    expected = [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    arrays = {"n": np.arange(3), "tags": TAGS["tags"].to_numpy()}
    for batch in (TAGS, TAGS.to_pandas(), arrays):
        serialized = dumps(encoder)
        made = loads(serialized.stream, serialized.buffers).transform_batch(batch)["tags"]
        values = made.to_pylist() if isinstance(made, pa.ChunkedArray) else made
        assert [list(value) for value in values] == expected
    table = encoder.transform(data.from_arrow(TAGS).repartition(2)).to_arrow()
    assert isinstance(table.schema.field("tags").type, pa.FixedShapeTensorType)
    new = pa.table({"tags": pa.array([["z", "c"], None])})
    assert encoder.transform_batch(new)["tags"].to_pylist() == [[0, 0, 1], [0, 0, 0]]
    sliced = TAGS.slice(2)
    assert encoder.transform_batch(sliced)["tags"].to_pylist() == [[0, 1, 1]]


def test_vectors_of_the_most_frequent_and_of_single_values():
    ds = data.from_arrow(TAGS)
    encoder = MultiHotEncoder(["tags", "n"], max_categories={"tags": 2}).fit(ds)
    assert encoder.stats_["unique_values(tags)"] == {"a": 0, "b": 1}
    assert [list(row["n"]) for row in encoder.transform(ds).take(2)] == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(InvalidOption, match="MultiHotEncoder: max_categories names 'tag'"):
        MultiHotEncoder(["tags"], max_categories={"tag": 2})
    with pytest.raises(UnsuitableData, match="column 'tags' has 1 missing values"):
        MultiHotEncoder(["tags"]).fit(data.from_items([{"tags": ["a"]}, {"tags": None}]))


@few
@given(st.lists(st.one_of(words, st.none()), min_size=1, max_size=12), cuts)
def test_categorical_types(values, blocks):
    frame = pd.DataFrame({"s": pd.Series(values, dtype="str")})
    made = Categorizer(["s"]).fit_transform(data.from_pandas(frame).repartition(blocks))
    expected = frame["s"].astype("category")
    found = made.to_pandas()["s"]
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert list(found.cat.categories) == list(expected.cat.categories)
    assert found.cat.codes.tolist() == expected.cat.codes.tolist()


def test_categorical_types_that_are_given(placement):
    frame = pd.DataFrame({"size": ["s", "l", "x", None], "n": [3, 1, 2, 1]})
    sizes = pd.CategoricalDtype(["s", "m", "l"], ordered=True)
    dtypes = {"size": sizes, "n": pd.CategoricalDtype(ordered=True)}
    categorizer = Categorizer(["size", "n"], dtypes).fit(data.from_pandas(frame).repartition(2))
    found = categorizer.transform(data.from_pandas(frame).repartition(3)).to_pandas()
    assert found["size"].dtype == sizes
    assert found["size"].isna().tolist() == [False, False, True, True]
    assert found["n"].dtype == pd.CategoricalDtype([1, 2, 3], ordered=True)
    serialized = dumps(categorizer)
    batch = loads(serialized.stream, serialized.buffers).transform_batch(frame)
    pd.testing.assert_frame_equal(batch, found)


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        ({"t": pd.CategoricalDtype()}, "dtypes names 't', which is not among its columns"),
        ({"s": str}, r"dtypes\['s'\] must be a pandas.CategoricalDtype"),
        ([str], "dtypes must be a dict by column"),
    ],
)
def test_categorical_types_that_cannot_be(dtypes, message):
    with pytest.raises(InvalidOption, match=message):
        Categorizer(["s"], dtypes)


def test_lists_are_no_categories():
    with pytest.raises(UnsuitableData, match=r"column 'tags' holds lists.*MultiHotEncoder"):
        Categorizer(["tags"]).fit(data.from_arrow(TAGS))
