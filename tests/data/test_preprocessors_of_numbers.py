"""Scalers of rows, powers and bins: the same numbers as scikit-learn, SciPy and pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import preprocessing

from air import data
from air.data.errors import UnsuitableData, UnsupportedValue
from air.data.preprocessors import (
    CustomKBinsDiscretizer,
    MaxAbsScaler,
    Normalizer,
    PowerTransformer,
    RobustScaler,
    UniformKBinsDiscretizer,
)
from air.errors import InvalidOption

few = settings(deadline=None, max_examples=25)
numbers = st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float), st.just(1e200))
holes = st.one_of(numbers, st.just(math.nan))
cuts = st.integers(1, 5)


def frames(values):
    rows = st.lists(st.tuples(values, values), min_size=1, max_size=20)
    return rows.map(lambda found: pd.DataFrame(found, columns=["x", "y"]))


def transformed(preprocessor, frame, blocks):
    return preprocessor.fit_transform(data.from_pandas(frame).repartition(blocks)).to_pandas()


@few
@given(frames(holes), cuts)
def test_largest_absolute_values(frame, blocks):
    found = transformed(MaxAbsScaler(["x", "y"]), frame, blocks)
    if not frame.isna().all().any():
        expected = preprocessing.MaxAbsScaler().fit_transform(frame)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not (found.abs() > 1).any(axis=None)
    np.testing.assert_array_equal(found.isna(), frame.isna())


@few
@given(frames(holes), cuts, st.sampled_from([(0.25, 0.75), (0.1, 1.0), (0.0, 0.5)]))
def test_quantiles(frame, blocks, bounds):
    found = transformed(RobustScaler(["x", "y"], quantile_range=bounds), frame, blocks)
    if not frame.isna().all().any():
        percents = tuple(100 * bound for bound in bounds)
        expected = preprocessing.RobustScaler(quantile_range=percents).fit_transform(frame)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.isna(), frame.isna())


def test_quantiles_are_kept_and_types_stay():
    table = pa.table({"x": pa.array([1, 2, None, 4, 9], pa.float32()), "n": [1, 1, 1, 1, 5]})
    scaler = RobustScaler(["x", "n"]).fit(data.from_arrow(table).repartition(3))
    assert scaler.stats_ == {
        "low_quantile(x)": 1.75,
        "median(x)": 3.0,
        "high_quantile(x)": 5.25,
        "low_quantile(n)": 1.0,
        "median(n)": 1.0,
        "high_quantile(n)": 1.0,
    }
    made = scaler.transform(data.from_arrow(table)).to_arrow()
    assert made["x"].type == pa.float32()
    assert made["n"].to_pylist() == [0.0, 0.0, 0.0, 0.0, 4.0]
    none = data.from_arrow(pa.table({"x": pa.nulls(2)}))
    assert RobustScaler(["x"]).fit_transform(none).to_arrow()["x"].to_pylist() == [None, None]
    with pytest.raises(UnsuitableData, match="column 'x' has infinite values"):
        RobustScaler(["x"]).fit(data.from_items([{"x": math.inf}]))
    with pytest.raises(UnsupportedValue, match="'s' has the type string"):
        RobustScaler(["s"]).fit(data.from_items([{"s": "a"}]))


@pytest.mark.parametrize("bounds", [0.5, (0.5,), (0.75, 0.25), (0, 2), ("a", 1)])
def test_quantiles_that_are_none(bounds):
    with pytest.raises(InvalidOption, match="quantile_range"):
        RobustScaler(["x"], bounds)


@few
@given(frames(numbers.filter(lambda x: abs(x) < 1e100)), cuts, st.sampled_from(["l1", "l2", "max"]))
def test_norms(frame, blocks, norm):
    found = transformed(Normalizer(["x", "y"], norm=norm), frame, blocks)
    expected = preprocessing.Normalizer(norm=norm).fit_transform(frame)
    scale = frame.abs().max(axis=1)
    plain = (scale == 0) | (scale > 1e-100)  # squares of smaller ones vanish there
    np.testing.assert_allclose(found[plain], expected[plain], rtol=1e-12, atol=1e-300)


def test_a_norm_of_large_and_small_numbers_neither_overflows_nor_vanishes():
    for scale in (1e200, 1e-200):
        batch = Normalizer(["x", "y"]).transform_batch({"x": [3 * scale], "y": [4 * scale]})
        assert [batch["x"][0], batch["y"][0]] == pytest.approx([0.6, 0.8])


def test_a_row_with_a_missing_value_has_no_norm():
    table = pa.table({"x": [3.0, None, 0.0], "n": [4, 1, 0], "other": ["a", "b", "c"]})
    made = data.from_arrow(table).repartition(2)
    rows = Normalizer(["x", "n"]).transform(made).take_all()
    assert rows[0] == {"x": 0.6, "n": 0.8, "other": "a"}
    assert rows[1]["x"] is None
    assert math.isnan(rows[1]["n"])
    assert rows[2] == {"x": 0.0, "n": 0.0, "other": "c"}
    with pytest.raises(UnsuitableData, match="column 'x' has infinite values"):
        Normalizer(["x"]).transform_batch({"x": [math.inf]})


@few
@given(frames(holes.filter(lambda x: not abs(x) > 1e6)), cuts, st.floats(-3, 3))
def test_powers_of_any_numbers(frame, blocks, power):
    found = transformed(PowerTransformer(["x"], power=power), frame, blocks)
    # SciPy takes one number for missing, and loses digits where the power is nearly 0 or 2.
    if all(abs(power - edge) > 1e-6 or power == edge for edge in (0, 2)):
        there = frame["x"].notna()
        expected = stats.yeojohnson(frame["x"][there].to_numpy(), power)
        np.testing.assert_allclose(found["x"][there], expected, rtol=1e-9, atol=1e-12)
    assert found["x"].isna().equals(frame["x"].isna())
    assert found["y"].equals(frame["y"])


@few
@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20), st.sampled_from([-2, -0.5, 0, 1]))
def test_powers_of_numbers_above_zero(values, power):
    transformer = PowerTransformer(["x"], power, method="box-cox")
    made = transformer.transform_batch({"x": np.array(values)})["x"]
    np.testing.assert_allclose(made, stats.boxcox(np.array(values), power), rtol=1e-9, atol=1e-12)


def test_powers_say_what_they_cannot_take():
    with pytest.raises(UnsuitableData, match=r"column 'x' has values that are not above 0"):
        PowerTransformer(["x"], 2, method="box-cox").transform_batch({"x": [1.0, 0.0]})
    with pytest.raises(InvalidOption, match=r"unknown method 'boxcox'. Did you mean 'box-cox'"):
        PowerTransformer(["x"], 2, method="boxcox")
    with pytest.raises(InvalidOption, match="PowerTransformer: power"):
        PowerTransformer(["x"], "2")
    with pytest.raises(InvalidOption, match="unknown norm 'l3'"):
        Normalizer(["x"], norm="l3")


@few
@given(
    frames(holes), cuts, st.integers(1, 9), st.booleans(), st.booleans(), st.sampled_from([0, 1])
)
def test_bins_of_one_width(frame, blocks, bins, right, include_lowest, shift):
    discretizer = UniformKBinsDiscretizer(
        ["x"], bins, right=right, include_lowest=include_lowest, duplicates="drop"
    )
    if frame["x"].isna().all():
        with pytest.raises(UnsuitableData, match="column 'x' has no values"):
            transformed(discretizer, frame, blocks)
        return
    found = transformed(discretizer, frame, blocks)
    options = {"right": right, "include_lowest": include_lowest, "labels": False}
    expected = pd.cut(frame["x"], bins, duplicates="drop", **options)
    np.testing.assert_array_equal(found["x"].astype(float), expected.astype(float))
    other = frame["x"] + shift
    again = discretizer.transform_batch(pd.DataFrame({"x": other}))
    expected = pd.cut(other, discretizer.stats_["bins(x)"], **options)
    np.testing.assert_array_equal(again["x"].astype(float), expected.astype(float))


@few
@given(
    frames(holes),
    st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=6, unique=True).map(sorted),
    st.booleans(),
    st.booleans(),
)
def test_bins_that_are_given(frame, bins, right, include_lowest):
    options = {"right": right, "include_lowest": include_lowest}
    found = transformed(CustomKBinsDiscretizer(["x", "y"], bins, **options), frame, 2)
    for name in ("x", "y"):
        expected = pd.cut(frame[name], bins, labels=False, **options)
        np.testing.assert_array_equal(found[name].astype(float), expected.astype(float))


def test_bins_have_the_type_that_is_wanted(placement):
    frame = pd.DataFrame({"x": [0.5, 1.5, 9.0], "y": [0, 1, 2]})
    sizes = pd.CategoricalDtype(["small", "large"], ordered=True)
    made = CustomKBinsDiscretizer(
        ["x", "y"], {"x": [0, 1, 2], "y": [-1, 0, 2]}, dtypes={"x": sizes, "y": np.int8}
    ).transform(data.from_pandas(frame).repartition(2))
    assert made.schema().field("y").type == pa.int8()
    expected = pd.Series(["small", "large", None], name="x").astype(sizes)
    pd.testing.assert_series_equal(made.to_pandas()["x"], expected)
    uniform = UniformKBinsDiscretizer(["x", "y"], {"x": 4, "y": 2}).fit(made_from(frame))
    assert uniform.stats_["bins(y)"] == [-0.002, 1.0, 2.0]
    assert uniform.transform_batch(frame)["x"].tolist() == [0, 0, 3]


def made_from(frame):
    return data.from_pandas(frame).repartition(3)


@pytest.mark.parametrize(
    ("bins", "options", "message"),
    [
        ([1], {}, "must be the edges of the bins, two numbers or more"),
        (3, {}, "must be the edges of the bins"),
        ("ab", {}, "must be the edges of the bins"),
        ([1, 3, 2], {}, "must be in ascending order"),
        ([1, 1, 2], {}, "has an edge twice"),
        ([1, 1], {"duplicates": "drop"}, "one edge only"),
        ([1, 2], {"duplicates": "keep"}, "duplicates must be 'raise' or 'drop', got 'keep'"),
        ([1, 2], {"right": 1}, "right"),
        ({"z": [1, 2]}, {}, "bins names 'z', which is not among its columns"),
        ({}, {}, "bins says nothing of column 'x'"),
        ([1, 2], {"dtypes": {"x": float}}, r"dtypes\['x'\] must be a type of whole numbers"),
        ([1, 2], {"dtypes": {"x": pd.CategoricalDtype(["a", "b"])}}, "2 categories for 1 bins"),
    ],
)
def test_bins_that_cannot_be(bins, options, message):
    with pytest.raises(InvalidOption, match=message):
        CustomKBinsDiscretizer(["x"], bins, **options)


def test_what_cannot_be_divided_equally_is_named():
    for bins in (0, 2.5, {"x": -1}, {"z": 1}, {}):
        with pytest.raises(InvalidOption, match="UniformKBinsDiscretizer: bins"):
            UniformKBinsDiscretizer(["x"], bins)
    for value, problem in (([0.0, math.inf], "infinite"), ([1.0, math.nextafter(1, 2)], "narrow")):
        with pytest.raises(UnsuitableData, match=problem):
            UniformKBinsDiscretizer(["x"], 9).fit(data.from_pandas(pd.DataFrame({"x": value})))
    with pytest.raises(UnsupportedValue, match="column 'x' has the type string"):
        UniformKBinsDiscretizer(["x"], 9).fit(data.from_items([{"x": "a"}]))
