"""The same answers as pandas and scikit-learn, whatever the data and however it is divided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import preprocessing
from sklearn.impute import SimpleImputer as SklearnImputer

from air import data
from air.data.preprocessors import (
    LabelEncoder,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SimpleImputer,
    StandardScaler,
)

settings.register_profile("data", deadline=None, max_examples=25)
settings.load_profile("data")

numbers = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False), st.integers(-1000, 1000).map(float), st.just(1e9)
)
holes = st.one_of(numbers, st.none())
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4)
words = st.sampled_from(["a", "b", "ü", "", "ab"])
cuts = st.integers(1, 5)


def frames(min_rows=0):
    row = st.fixed_dictionaries(
        {"x": holes, "n": st.integers(-5, 5), "s": st.one_of(words, st.none())}
    )
    return st.lists(row, min_size=min_rows, max_size=20).map(
        lambda rows: pd.DataFrame(rows, columns=["x", "n", "s"]).astype(
            {"x": "float64", "n": "int64", "s": "str"}
        )
    )


def dataset(frame, blocks):
    return data.from_pandas(frame).repartition(blocks)


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected.reset_index(drop=True))


# pandas ---------------------------------------------------------------------------------------


@given(frames(), cuts)
def test_rows_come_back(frame, blocks):
    assert_same(dataset(frame, blocks).to_pandas(), frame)
    rows = dataset(frame, blocks).take_all()
    assert len(rows) == len(frame)
    assert [row["n"] for row in rows] == frame["n"].tolist()


@given(frames(1), cuts, st.integers(0, 25))
def test_operators(frame, blocks, count):
    ds = dataset(frame, blocks)
    assert_same(ds.limit(count).to_pandas(), frame.head(count))
    assert_same(ds.filter(lambda row: row["n"] > 0).to_pandas(), frame[frame["n"] > 0])
    assert_same(ds.select_columns(["s", "n"]).to_pandas(), frame[["s", "n"]])
    assert_same(ds.drop_columns("x").to_pandas(), frame.drop(columns="x"))
    assert_same(ds.rename_columns({"x": "y"}).to_pandas(), frame.rename(columns={"x": "y"}))
    assert_same(ds.union(ds).to_pandas(), pd.concat([frame, frame]))
    doubled = ds.map_batches(lambda f: f.assign(n=f["n"] * 2), batch_format="pandas", batch_size=3)
    assert_same(doubled.to_pandas(), frame.assign(n=frame["n"] * 2))
    added = ds.add_column("m", lambda f: f["n"] + 1)
    assert_same(added.to_pandas(), frame.assign(m=frame["n"] + 1))


@given(frames(1), cuts)
def test_aggregates(frame, blocks):
    ds = dataset(frame, blocks)
    for what in ("sum", "min", "max", "mean", "std"):
        for column in ("x", "n"):
            expected = getattr(frame[column], what)()
            found = getattr(ds, what)(column)
            if pd.isna(expected) or (what == "sum" and not frame[column].count()):
                assert found is None
            else:
                scale = frame[column].abs().max() * 1e-9
                assert found == pytest.approx(expected, rel=1e-9, abs=scale)
    assert [v for v in ds.unique("s") if v is not None] == list(frame["s"].dropna().unique())
    assert ds.unique("n") == frame["n"].unique().tolist()


@given(frames(1), cuts, st.integers(1, 6))
def test_splits_lose_nothing(frame, blocks, parts):
    shards = dataset(frame, blocks).split(parts)
    assert_same(pd.concat([shard.to_pandas() for shard in shards]), frame)
    assert max(s.count() for s in shards) - min(s.count() for s in shards) <= 1


@given(frames(1), cuts, st.integers(0, 5))
def test_shuffles_lose_nothing(frame, blocks, seed):
    shuffled = dataset(frame, blocks).random_shuffle(seed=seed)
    once = data.from_pandas(frame).random_shuffle(seed=seed)
    assert_same(shuffled.to_pandas(), once.to_pandas())
    key = ["n", "s", "x"]
    assert_same(shuffled.to_pandas().sort_values(key), frame.sort_values(key))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(frames(1), cuts)
def test_files_give_what_was_written(tmp_path_factory, frame, blocks):
    path = tmp_path_factory.mktemp("files")
    dataset(frame, blocks).write_parquet(path / "parquet")
    assert_same(data.read_parquet(path / "parquet").to_pandas(), frame)
    csv_frame = frame[["x", "n"]]
    dataset(csv_frame, blocks).write_csv(path / "csv")
    found = data.read_csv(path / "csv").to_pandas()
    assert_same(found.astype({"x": float}), csv_frame)


@given(st.lists(st.fixed_dictionaries({"t": texts, "b": st.binary(max_size=3)}), max_size=10))
def test_any_text_and_bytes(rows):
    assert data.from_items(rows).map(lambda row: row).take_all() == rows


# scikit-learn ---------------------------------------------------------------------------------


columns_of_numbers = st.lists(st.tuples(holes, numbers), min_size=1, max_size=30).map(
    lambda rows: pd.DataFrame(rows, columns=["x", "y"], dtype="float64")
)


def assert_close(found, expected, scale=1.0):
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * scale, equal_nan=True)


@given(columns_of_numbers, cuts)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:sklearn")
@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
def test_standard_scaler(frame, blocks):
    ours = StandardScaler(["x", "y"]).fit(dataset(frame, blocks))
    theirs = preprocessing.StandardScaler().fit(frame)
    for column, mean, variance in zip(frame, theirs.mean_, theirs.var_, strict=True):
        size = frame[column].abs().max()
        assert_close(ours.stats_[f"mean({column})"], mean, size)
        # scikit-learn's own sums lose digits when the mean is large beside the deviation.
        np.testing.assert_allclose(
            ours.stats_[f"std({column})"] ** 2, variance, rtol=1e-6, atol=1e-14 * (size**2 + 1)
        )
    spread = [theirs.scale_[i] > 1e-3 * (1 + frame[c].abs().max()) for i, c in enumerate(frame)]
    found = ours.transform_batch(frame).to_numpy()[:, spread]
    assert_close(found, theirs.transform(frame)[:, spread])


@given(columns_of_numbers, cuts)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_min_max_scaler(frame, blocks):
    found = MinMaxScaler(["x", "y"]).fit_transform(dataset(frame, blocks)).to_pandas()
    expected = preprocessing.MinMaxScaler().fit_transform(frame)
    # scikit-learn computes x * scale + shift, which loses digits where the range is narrow.
    span = (frame.max() - frame.min()).to_numpy()
    wide = (span > 1e-3 * (1 + frame.abs().max())) | (span == 0)
    assert_close(found.to_numpy()[:, wide], expected[:, wide], 1e3)


@given(st.lists(st.tuples(words, st.integers(-3, 3)), min_size=1, max_size=20), cuts)
def test_encoders(rows, blocks):
    frame = pd.DataFrame(rows, columns=["s", "n"])
    ds = dataset(frame, blocks)
    one_hot = OneHotEncoder(["s", "n"]).fit_transform(ds).to_pandas()
    theirs = preprocessing.OneHotEncoder(sparse_output=False)
    np.testing.assert_array_equal(one_hot.to_numpy(), theirs.fit_transform(frame))
    assert list(one_hot) == list(theirs.get_feature_names_out())
    ordinal = OrdinalEncoder(["s", "n"]).fit_transform(ds).to_pandas()
    np.testing.assert_array_equal(
        ordinal.to_numpy(), preprocessing.OrdinalEncoder().fit_transform(frame)
    )
    labels = LabelEncoder("s").fit_transform(ds).to_pandas()["s"]
    np.testing.assert_array_equal(labels, preprocessing.LabelEncoder().fit_transform(frame["s"]))


@given(st.lists(holes, min_size=1, max_size=20).filter(lambda v: any(x is not None for x in v)))
def test_imputer(values):
    frame = pd.DataFrame({"x": values}, dtype="float64")
    for strategy in ("mean", "most_frequent"):
        ours = SimpleImputer(["x"], strategy=strategy).fit_transform(dataset(frame, 3))
        theirs = SklearnImputer(strategy=strategy).fit_transform(frame)
        assert_close(ours.to_pandas().to_numpy(), theirs, 1e6)
