from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air import data
from air.data.blocks import tensor
from air.data.errors import ColumnNotFound, UnsuitableData, UnsupportedValue
from air.data.preprocessor import Preprocessor, PreprocessorNotFittedException
from air.data.preprocessors import (
    BatchMapper,
    Chain,
    Concatenator,
    CustomKBinsDiscretizer,
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    SimpleImputer,
    StandardScaler,
    UniformKBinsDiscretizer,
)
from air.errors import AirError, InvalidOption
from air.executor.serialization import dumps, loads

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, 4.0, 5.0],
        "n": [10, 20, 30, 40, 50],
        "k": [7, 7, 7, 7, 7],
        "color": ["red", "blue", "red", "green", "red"],
        "other": pd.Categorical(["a", "b", "a", "b", "a"]),
    }
)
READY = Preprocessor.FitStatus


def dataset(frame=FRAME, blocks=3):
    return data.from_pandas(frame).repartition(blocks)


def all_kinds(frame):
    """The same batch in the three kinds."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return [frame, table, {name: frame[name].to_numpy() for name in frame}]


def as_frame(batch):
    if isinstance(batch, pa.Table):
        return batch.to_pandas()
    return pd.DataFrame(batch)


# What all have in common ----------------------------------------------------------------------


def test_fitting_stores_what_it_learns_and_nothing_else():
    scaler = StandardScaler(columns=["x", "n"])
    assert vars(scaler) == {"columns": ["x", "n"]}
    assert scaler.fit_status() is READY.NOT_FITTED
    assert scaler.fit(dataset()) is scaler
    assert scaler.fit_status() is READY.FITTED
    assert set(vars(scaler)) == {"columns", "stats_"}
    assert scaler.stats_ == {
        "mean(x)": 3.0,
        "std(x)": pytest.approx(math.sqrt(2)),
        "mean(n)": 30.0,
        "std(n)": pytest.approx(10 * math.sqrt(2)),
    }


def test_fitting_again_forgets():
    scaler = StandardScaler(["x"]).fit(dataset())
    scaler.fit(dataset(FRAME.assign(x=0.0)))
    assert scaler.stats_ == {"mean(x)": 0.0, "std(x)": 0.0}


def test_fitting_is_one_pass_however_many_columns():
    passes = []

    def note(frame: pd.DataFrame) -> pd.DataFrame:
        passes.append(len(frame))
        return frame

    ds = data.from_pandas(FRAME).map_batches(note, batch_size=None)
    StandardScaler(["x", "n", "k"]).fit(ds)
    assert passes == [5]


@pytest.mark.parametrize(
    "preprocessor",
    [
        StandardScaler(["x", "n"]),
        MinMaxScaler(["x", "k"]),
        MaxAbsScaler(["x", "k"]),
        RobustScaler(["x", "k"]),
        Normalizer(["x", "n"]),
        PowerTransformer(["x", "n"], power=0.5),
        CustomKBinsDiscretizer(["x"], [0, 2, 9]),
        UniformKBinsDiscretizer(["x", "n"], 3),
        OneHotEncoder(["color", "other"]),
        OrdinalEncoder(["color"]),
        LabelEncoder("color"),
        SimpleImputer(["x"]),
        Concatenator(include=["n", "k"]),
        BatchMapper(lambda frame: frame.assign(y=1), batch_format="pandas"),
        Chain(StandardScaler(["x"]), MinMaxScaler(["x"]), OneHotEncoder(["color"])),
    ],
    ids=lambda preprocessor: type(preprocessor).__name__,
)
def test_every_kind_of_batch_gives_the_same(preprocessor, placement):
    expected = preprocessor.fit_transform(dataset()).to_pandas()
    for batch in all_kinds(FRAME):
        before = as_frame(batch).copy()
        made = preprocessor.transform_batch(batch)
        assert type(made) is type(batch)
        pd.testing.assert_frame_equal(as_frame(batch), before)
        if "concat_out" in expected:
            continue
        pd.testing.assert_frame_equal(
            as_frame(made).astype(object), expected.astype(object), check_dtype=False
        )


@pytest.mark.parametrize("cls", [StandardScaler, MinMaxScaler, OneHotEncoder, SimpleImputer])
def test_nothing_is_transformed_before_fitting(cls):
    preprocessor = cls(["x"])
    for use in (preprocessor.transform, lambda _: preprocessor.transform_batch(FRAME)):
        with pytest.raises(PreprocessorNotFittedException, match="has not been fitted"):
            use(dataset())
    assert issubclass(PreprocessorNotFittedException, AirError)


@pytest.mark.parametrize(
    "preprocessor", [StandardScaler(["X"]), OneHotEncoder(["X"]), SimpleImputer(["X"])]
)
def test_a_column_that_is_not_there_is_named(preprocessor):
    frame = FRAME.rename(columns={"x": "x1"})
    with pytest.raises(ColumnNotFound, match=r"no column 'X'\..*Columns are: 'x1', 'n'"):
        preprocessor.fit(dataset(frame))
    with pytest.raises(ColumnNotFound, match=r"no column 'X'"):
        preprocessor.fit(dataset(frame).map_batches(lambda batch: batch))


def test_a_missing_column_is_named_when_transforming_too():
    scaler = StandardScaler(["x"]).fit(dataset())
    with pytest.raises(ColumnNotFound, match="StandardScaler: no column 'x'"):
        scaler.transform(dataset().drop_columns("x"))
    with pytest.raises(ColumnNotFound, match="StandardScaler: no column 'x'"):
        scaler.transform_batch(FRAME.drop(columns="x"))


def test_only_its_columns_are_touched():
    index = pd.Index(list("abcde"))
    frame = FRAME.set_index(index)
    made = StandardScaler(["n"]).fit(dataset()).transform_batch(frame)
    assert made.index.equals(index)
    pd.testing.assert_frame_equal(made.drop(columns="n"), frame.drop(columns="n"))
    table = data.from_pandas(FRAME).to_arrow()
    scaled = StandardScaler(["n"]).fit(dataset()).transform_batch(table)
    assert scaled.schema.field("other") == table.schema.field("other")


def test_datasets_transformed_earlier_keep_what_was_learnt_then():
    scaler = MinMaxScaler(["x"]).fit(dataset())
    transformed = scaler.transform(dataset())
    scaler.fit(dataset(FRAME.assign(x=FRAME["x"] * 100)))
    assert transformed.max("x") == 1.0


def test_fitted_preprocessors_travel():
    scaler = StandardScaler(["x"]).fit(dataset())
    serialized = dumps(scaler)
    copy = loads(serialized.stream, serialized.buffers)
    assert copy.stats_ == scaler.stats_
    assert copy.fit_status() is READY.FITTED


def test_they_say_how_they_were_made():
    assert repr(StandardScaler(["x"])) == "StandardScaler(columns=['x'])"
    chain = Chain(SimpleImputer(["x"]), MinMaxScaler(["x"]))
    assert repr(chain) == (
        "Chain(SimpleImputer(columns=['x'], strategy='mean', fill_value=None),"
        " MinMaxScaler(columns=['x']))"
    )


@pytest.mark.parametrize("columns", [[], "x", [3], ["x", "x"], None])
def test_columns_must_be_names(columns):
    with pytest.raises(InvalidOption, match="StandardScaler"):
        StandardScaler(columns).fit(dataset())


def test_only_datasets_are_fitted_and_transformed():
    with pytest.raises(TypeError, match=r"StandardScaler works on an air\.data\.Dataset"):
        StandardScaler(["x"]).fit(FRAME)
    with pytest.raises(TypeError, match="for a batch use transform_batch"):
        StandardScaler(["x"]).fit(dataset()).transform(FRAME)
    with pytest.raises(TypeError, match=r"a batch must be a pandas\.DataFrame"):
        StandardScaler(["x"]).fit(dataset()).transform_batch([1])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": 1.0}, "column 'x' must be an array or a list with one value a row, got float"),
        ({"x": [1.0, 2.0], "n": [1]}, r"equally long, got {'x': 2, 'n': 1}"),
        ({"x": np.ones(2), 3: np.ones(2)}, "columns must be named by text, got 3"),
        ({"x": np.ones((2, 2))}, "numbers are needed"),
    ],
)
def test_what_is_no_batch_is_named(batch, message):
    with pytest.raises(UnsupportedValue, match=message):
        StandardScaler(["x"]).fit(dataset()).transform_batch(batch)


def test_there_must_be_rows_to_learn_from():
    with pytest.raises(ValueError, match="StandardScaler cannot be fitted on a dataset without"):
        StandardScaler(["x"]).fit(data.from_pandas(FRAME.iloc[:0]))


def test_numbers_are_needed():
    for cls in (StandardScaler, MinMaxScaler, SimpleImputer):
        with pytest.raises(UnsupportedValue, match="column 'color' has the type string"):
            cls(["color"]).fit(dataset())
    scaler = StandardScaler(["x"]).fit(dataset())
    with pytest.raises(
        UnsupportedValue, match="StandardScaler: column 'x' has the type large_string"
    ):
        scaler.transform_batch(pd.DataFrame({"x": ["a"]}))


# Scalers --------------------------------------------------------------------------------------


def test_missing_values_stay_missing():
    frame = pd.DataFrame({"x": [1.0, None, 3.0], "n": pd.array([1, None, 5], "Int64")})
    for cls, expected in ((StandardScaler, [-1.0, None, 1.0]), (MinMaxScaler, [0.0, None, 1.0])):
        table = cls(["x", "n"]).fit_transform(dataset(frame)).to_arrow()
        assert table.to_pydict() == {"x": expected, "n": expected}


def test_constant_columns_become_zero():
    for cls in (StandardScaler, MinMaxScaler):
        assert cls(["k"]).fit_transform(dataset()).unique("k") == [0.0]


def test_single_precision_stays_single():
    frame = FRAME.astype({"x": np.float32})
    for cls in (StandardScaler, MinMaxScaler):
        assert cls(["x"]).fit_transform(dataset(frame)).schema().field("x").type == pa.float32()


def test_far_from_zero_nothing_cancels():
    frame = pd.DataFrame({"x": 1e9 + np.arange(1000) / 1000})
    scaler = StandardScaler(["x"]).fit(dataset(frame, blocks=10))
    assert scaler.stats_["std(x)"] == pytest.approx((np.arange(1000) / 1000).std(), rel=1e-6)


# Encoders -------------------------------------------------------------------------------------


def test_one_hot():
    encoder = OneHotEncoder(["color"])
    ds = encoder.fit_transform(dataset().select_columns(["n", "color"]))
    assert ds.columns() == ["n", "color_blue", "color_green", "color_red"]
    assert encoder.stats_ == {"unique_values(color)": {"blue": 0, "green": 1, "red": 2}}
    assert ds.take(2)[1] == {"n": 20, "color_blue": 1, "color_green": 0, "color_red": 0}
    unseen = encoder.transform_batch(pd.DataFrame({"color": ["pink", None]}))
    assert unseen.to_numpy().sum() == 0


def test_one_hot_keeps_the_most_frequent():
    encoder = OneHotEncoder(["color"], max_categories={"color": 2}).fit(dataset())
    assert list(encoder.stats_["unique_values(color)"]) == ["blue", "red"]
    with pytest.raises(InvalidOption, match="names 'colour', which is not among its columns"):
        OneHotEncoder(["color"], max_categories={"colour": 2}).fit(dataset())


def test_ordinal():
    encoder = OrdinalEncoder(["color", "other"])
    ds = encoder.fit_transform(dataset())
    assert [row["color"] for row in ds.take_all()] == [2, 0, 2, 1, 2]
    assert [row["other"] for row in ds.take_all()] == [0, 1, 0, 1, 0]
    unseen = encoder.transform_batch(pd.DataFrame({"color": ["pink", "red"], "other": ["a", "a"]}))
    assert math.isnan(unseen["color"][0])


def test_ordinal_of_lists():
    ds = data.from_items(
        [{"tags": ["b", "a"]}, {"tags": []}, {"tags": ["c"]}, {"tags": ["a", "b"]}]
    )
    inside = OrdinalEncoder(["tags"]).fit_transform(ds)
    assert [row["tags"] for row in inside.take_all()] == [[1, 0], [], [2], [0, 1]]
    whole = OrdinalEncoder(["tags"], encode_lists=False).fit_transform(ds)
    assert [row["tags"] for row in whole.take_all()] == [2, 0, 3, 1]
    one_hot = OneHotEncoder(["tags"]).fit(ds)
    assert list(one_hot.stats_["unique_values(tags)"]) == [(), ("a", "b"), ("b", "a"), ("c",)]


def test_labels_there_and_back():
    encoder = LabelEncoder("color")
    ds = encoder.fit_transform(dataset())
    assert ds.schema().field("color").type == pa.int64()
    back = encoder.inverse_transform(ds)
    pd.testing.assert_series_equal(back.to_pandas()["color"], FRAME["color"])
    batch = encoder.inverse_transform_batch({"color": np.array([2, 0])})
    assert batch["color"].tolist() == ["red", "blue"]


def test_rows_without_a_label_are_left_as_they_are():
    encoder = LabelEncoder("color").fit(dataset())
    unlabelled = FRAME.drop(columns="color")
    for batch in all_kinds(unlabelled):
        pd.testing.assert_frame_equal(as_frame(encoder.transform_batch(batch)), as_frame(batch))
    ds = data.from_pandas(unlabelled)
    for rows in (ds, ds.map_batches(lambda batch: batch)):
        assert encoder.transform(rows).take_all() == ds.take_all()
    with pytest.raises(ValueError, match=r"LabelEncoder.fit: no column 'colour'"):
        LabelEncoder("colour").fit(dataset())
    with pytest.raises(ValueError, match=r"no column 'color'"):
        encoder.inverse_transform(ds)


def test_labels_that_were_not_seen_are_named():
    encoder = LabelEncoder("color").fit(dataset())
    with pytest.raises(ValueError, match=r"holds 'pink', which was not seen.*'blue', 'green'"):
        encoder.transform_batch(pd.DataFrame({"color": ["red", "pink"]}))
    with pytest.raises(ValueError, match="must hold positions from 0 to 2"):
        encoder.inverse_transform_batch(pd.DataFrame({"color": [7]}))


@pytest.mark.parametrize("cls", [OneHotEncoder, OrdinalEncoder, lambda c: LabelEncoder(c[0])])
def test_missing_values_are_no_category(cls):
    frame = pd.DataFrame({"color": ["red", None]})
    with pytest.raises(ValueError, match=r"column 'color' has 1 missing values.*SimpleImputer"):
        cls(["color"]).fit(dataset(frame))


def test_categories_may_come_in_another_type():
    encoder = OrdinalEncoder(["n"]).fit(data.from_items([{"n": 1}, {"n": 2}]))
    assert encoder.transform_batch(pd.DataFrame({"n": [2.0, 1.0]}))["n"].tolist() == [1, 0]
    text = encoder.transform_batch(pd.DataFrame({"n": ["x", "1"]}))
    assert text["n"].isna().all() or text["n"].tolist()[0] != 0
    flags = OrdinalEncoder(["f"]).fit(data.from_items([{"f": True}, {"f": False}]))
    assert flags.transform_batch({"f": np.array([False, True])})["f"].tolist() == [0, 1]


# The others -----------------------------------------------------------------------------------


def test_imputer():
    frame = pd.DataFrame(
        {"x": [1.0, None, 4.0], "s": ["b", "a", None], "n": pd.array([1, None, 3], "Int64")}
    )
    mean = SimpleImputer(["x", "n"]).fit_transform(dataset(frame)).to_pandas()
    assert mean["x"].tolist() == [1.0, 2.5, 4.0]
    assert mean["n"].tolist() == [1.0, 2.0, 3.0]
    frequent = SimpleImputer(["s", "n"], strategy="most_frequent").fit(dataset(frame))
    assert frequent.stats_ == {"most_frequent(s)": "a", "most_frequent(n)": 1}
    constant = SimpleImputer(["s"], strategy="constant", fill_value="?")
    assert constant.fit_status() is READY.NOT_FITTABLE
    assert constant.transform_batch(frame)["s"].tolist() == ["b", "a", "?"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "meen"}, "unknown strategy 'meen'. Did you mean 'mean'"),
        ({"strategy": "constant"}, "fill_value go together"),
        ({"fill_value": 1}, "fill_value go together"),
    ],
)
def test_imputers_that_cannot_work_say_why(options, message):
    with pytest.raises(InvalidOption, match=message):
        SimpleImputer(["x"], **options)


def test_a_filler_keeps_what_is_behind_its_point():
    table = pa.table({"n": pa.array([1, None], pa.int64())})
    imputer = SimpleImputer(["n"], strategy="constant", fill_value=1.5)
    assert imputer.transform_batch(table)["n"].to_pylist() == [1.0, 1.5]
    whole = SimpleImputer(["n"], strategy="constant", fill_value=2)
    assert whole.transform_batch(table)["n"].to_pylist() == [1, 2]


def test_imputer_of_nothing():
    frame = pd.DataFrame({"void": [float("nan")]})
    with pytest.raises(ValueError, match="column 'void' has no values to learn from"):
        SimpleImputer(["void"]).fit(dataset(frame))


def test_a_filler_must_fit_its_column():
    imputer = SimpleImputer(["x"], strategy="constant", fill_value="?")
    with pytest.raises(ValueError, match="fill_value='\\?' does not fit column 'x'"):
        imputer.transform_batch(pd.DataFrame({"x": [None, 1.0]}))


def test_concatenator():
    ds = Concatenator("v", include=["n", "x"], dtype=np.float32).transform(dataset())
    assert ds.columns() == ["k", "color", "other", "v"]
    batch = ds.take_batch(2)["v"]
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, [[10, 1], [20, 2]])
    rest = Concatenator(exclude=["color", "other"]).transform_batch(FRAME)
    assert list(rest) == ["color", "other", "concat_out"]
    np.testing.assert_array_equal(rest["concat_out"][0], [1, 10, 7])
    assert isinstance(rest["concat_out"][0], tensor.TensorElement)


def test_means_are_of_numbers_and_vectors_may_be_none():
    filled = SimpleImputer(["x"]).fit(data.from_arrow(pa.table({"x": [1.0, None]})))
    for values in ([[1], [2]], pa.array([1, 2], pa.timestamp("us"))):
        with pytest.raises(UnsupportedValue, match=r"column 'x' has the type .* numbers"):
            filled.transform_batch(pa.table({"x": values}))
    vectors = {"v": np.zeros((0, 2, 2)), "x": np.zeros(0)}
    assert Concatenator().transform_batch(vectors)["concat_out"].shape == (0, 5)


def test_concatenator_takes_vectors_and_forgives_or_not():
    ds = data.range_tensor(3, shape=(2,), parallelism=1).add_column("x", lambda frame: [5, 6, 7])
    made = Concatenator(include=["data", "x", "nope"]).transform(ds)
    np.testing.assert_array_equal(
        made.take_batch()["concat_out"], [[0, 0, 5], [1, 1, 6], [2, 2, 7]]
    )
    strict = Concatenator(include=["x", "nope"], raise_if_missing=True)
    with pytest.raises(ColumnNotFound, match="Concatenator: no column 'nope'"):
        strict.transform(ds)
    with pytest.raises(UnsupportedValue, match="column 'color' has the type large_string"):
        Concatenator().transform_batch(FRAME)
    with pytest.raises(InvalidOption, match="finds none of its columns"):
        Concatenator(include="zzz").transform_batch(FRAME)


def test_batch_mapper():
    def double(batch):
        return {name: values * 2 for name, values in batch.items()}

    mapper = BatchMapper(double, batch_format="numpy", batch_size=2)
    assert mapper.fit_status() is READY.NOT_FITTABLE
    ds = data.from_items([{"a": i} for i in range(4)])
    assert mapper.fit_transform(ds).sum("a") == 12
    assert mapper.transform_batch(pd.DataFrame({"a": [1, 2]}))["a"].tolist() == [2, 4]
    with pytest.raises(InvalidOption, match="Did you mean 'numpy'"):
        BatchMapper(double, batch_format="nunpy").transform(ds)


def test_a_chain_fits_each_on_what_the_ones_before_give():
    chain = Chain(StandardScaler(["x"]), MinMaxScaler(["x"]), BatchMapper(lambda b: b, "numpy"))
    assert chain.fit_status() is READY.NOT_FITTED
    ds = chain.fit_transform(dataset())
    assert chain.fit_status() is READY.FITTED
    assert ds.min("x") == 0.0
    assert ds.max("x") == 1.0
    assert chain.preprocessors[1].stats_["min(x)"] == pytest.approx(-math.sqrt(2))


def test_a_chain_knows_what_is_missing():
    fitted = StandardScaler(["x"]).fit(dataset())
    chain = Chain(fitted, MinMaxScaler(["x"]))
    assert chain.fit_status() is READY.PARTIALLY_FITTED
    with pytest.raises(PreprocessorNotFittedException):
        chain.transform(dataset())
    mapper = BatchMapper(lambda batch: batch, "numpy")
    assert Chain(mapper, mapper).fit_status() is READY.NOT_FITTABLE
    assert Chain(mapper, mapper).fit_transform(dataset()).count() == 5


class AddMean(Preprocessor):
    def __init__(self, column):
        self.column = column

    def _fit(self, ds):
        self.mean_ = ds.mean(self.column)

    def _transform_pandas(self, df):
        df[self.column] += self.mean_
        return df


class Negate(Preprocessor):
    _is_fittable = False

    def _transform_numpy(self, np_data):
        return {name: -values for name, values in np_data.items()}


def test_ones_own_preprocessor(placement):
    ds = data.from_items([{"a": 1.0}, {"a": 3.0}], parallelism=2)
    adder = AddMean("a")
    assert adder.fit_status() is READY.NOT_FITTED
    assert adder.fit_transform(ds).take_all() == [{"a": 3.0}, {"a": 5.0}]
    assert "AddMean" in repr(adder.transform(ds))
    for batch in all_kinds(pd.DataFrame({"a": [1.0]})):
        assert as_frame(adder.transform_batch(batch))["a"].tolist() == [3.0]
    assert Negate().preferred_batch_format() == "numpy"
    assert Negate().fit_transform(ds).sum("a") == -4.0


def test_ones_own_preprocessor_must_do_something():
    class Nothing(Preprocessor):
        pass

    with pytest.raises(NotImplementedError, match="Nothing defines no _fit"):
        Nothing().fit(dataset())
    Nothing._is_fittable = False
    with pytest.raises(NotImplementedError, match="defines neither _transform_pandas"):
        Nothing().transform_batch(FRAME)


# Checked at the call --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StandardScaler(column=["x"]), InvalidOption, "Did you mean 'columns'"),
        (lambda: OrdinalEncoder(["x"], encode_list=True), InvalidOption, "'encode_lists'"),
        (lambda: Concatenator(output_column="v"), InvalidOption, "'output_column_name'"),
        (lambda: BatchMapper(len, batch_fmt="pandas"), InvalidOption, "'batch_format'"),
        (lambda: StandardScaler("x"), InvalidOption, "columns must be a list of names"),
        (lambda: MinMaxScaler([]), InvalidOption, "columns must be a list of names"),
        (lambda: OneHotEncoder(["x"], max_categories=2), InvalidOption, "must be a dict"),
        (lambda: OneHotEncoder(["x"], max_categories={"x": 0}), InvalidOption, ">= 1, got 0"),
        (lambda: LabelEncoder(["x"]), InvalidOption, "label_column must be a column's name"),
        (lambda: Concatenator(dtype="flot32"), InvalidOption, "dtype must be one of numpy's"),
        (lambda: Concatenator(include=3), InvalidOption, "include must be names of columns"),
        (lambda: BatchMapper(5, "pandas"), TypeError, "fn must be a function"),
        (lambda: BatchMapper(len, "pands"), InvalidOption, "Did you mean 'pandas'"),
        (lambda: BatchMapper(len, "pandas", batch_size=0), InvalidOption, ">= 1, got 0"),
        (lambda: Chain(), InvalidOption, "at least one preprocessor"),
        (lambda: Chain([StandardScaler(["x"])]), TypeError, "an argument of its own"),
    ],
)
def test_constructors_look_at_their_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_options_of_a_preprocessor_of_ones_own_are_checked():
    class Shift(Preprocessor):
        _is_fittable = False

        def __init__(self, amount):
            self.amount = amount

    assert repr(Shift(amount=2)) == "Shift(amount=2)"
    with pytest.raises(InvalidOption, match=r"Shift has no option 'amont'\. Did you mean 'amount'"):
        Shift(amont=2)


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
def test_scalers_refuse_infinite_values(scaler):
    frame = pd.DataFrame({"x": [1.0, float("inf")], "y": [float("-inf"), float("inf")]})
    for name in frame:
        with pytest.raises(ValueError, match=f"column '{name}' has infinite values"):
            scaler([name]).fit(dataset(frame))


def test_no_column_is_overwritten_by_a_new_one():
    frame = pd.DataFrame({"s": ["a", "b"], "s_a": [5, 6], "x": [1.0, 2.0]})
    encoder = OneHotEncoder(["s"]).fit(dataset(frame))
    for use in (encoder.transform_batch, lambda batch: encoder.transform(dataset(batch)).take()):
        with pytest.raises(InvalidOption, match=r"makes a column 's_a'.*rename"):
            use(frame)
    taken = Concatenator("s", include=["x"])
    # Where the columns are known, nothing has to run for that.
    for call in (lambda: taken.transform_batch(frame), lambda: taken.transform(dataset(frame))):
        with pytest.raises(InvalidOption, match=r"makes a column 's', and there is another one"):
            call()
    clash = pd.DataFrame({"a": ["x_y"], "a_x": ["y"]})
    with pytest.raises(InvalidOption, match="OneHotEncoder makes a column 'a_x_y', and there"):
        OneHotEncoder(["a", "a_x"]).fit_transform(dataset(clash, 1))


# What was found by trying things out ----------------------------------------------------------


@pytest.mark.parametrize(
    ("preprocessor", "column"),
    [
        (StandardScaler(["x", "bad"]), [1.0, math.inf]),
        (MinMaxScaler(["x", "bad"]), [1.0, math.inf]),
        (SimpleImputer(["x", "bad"]), [1.0, math.inf]),
        (SimpleImputer(["x", "bad"], "most_frequent"), [None, None]),
        (OneHotEncoder(["x", "bad"]), ["a", None]),
        (OrdinalEncoder(["x", "bad"]), ["a", None]),
    ],
)
def test_a_fit_that_fails_changes_nothing(preprocessor, column):
    frame = pd.DataFrame({"x": [1.0, 2.0], "bad": column})
    with pytest.raises(UnsuitableData, match="column 'bad'"):
        preprocessor.fit(dataset(frame, 1))
    assert preprocessor.fit_status() is READY.NOT_FITTED
    good = dataset(frame.assign(bad=[1.0, 2.0]), 1)
    stats = preprocessor.fit(good).stats_
    with pytest.raises(UnsuitableData):
        preprocessor.fit(dataset(frame, 1))
    assert preprocessor.stats_ == stats


def test_values_too_large_to_calculate_with_are_named():
    for scaler in (StandardScaler, MinMaxScaler):
        frame = pd.DataFrame({"x": [-1.7e308, 1.7e308]})
        with pytest.raises(UnsuitableData, match="column 'x' has infinite values, or values too"):
            scaler(["x"]).fit(dataset(frame, 2))
    with pytest.raises(UnsuitableData, match="values too large"):
        StandardScaler(["x"]).fit(dataset(pd.DataFrame({"x": [1e200, 2e200]}), 2))


def test_half_precision_is_scaled():
    frame = pd.DataFrame({"x": np.array([1, 2, 3], dtype="f2")})
    assert MinMaxScaler(["x"]).fit_transform(dataset(frame)).to_pandas()["x"].tolist() == [
        *(0.0, 0.5, 1.0)
    ]


def codes(learnt, met):
    """What an encoder that learnt one column makes of another."""
    encoder = OrdinalEncoder(["x"]).fit(data.from_arrow(pa.table({"x": learnt})))
    return encoder.transform_batch(pa.table({"x": met}))["x"].to_pylist()


@pytest.mark.parametrize(
    ("learnt", "met", "expected"),
    [
        ([1, 300], pa.array([1, 2], pa.int8()), [0, None]),
        ([1.0, 2.5], [1, 2], [0, None]),
        ([1, 2], [1.0, 1.5], [0, None]),
        ([1, 2], ["1", "x"], [None, None]),
        (["1"], [1], [None]),
        ([False, True], [0, 1, 2], [0, 1, None]),
        ([0, 1, 2], [True, False], [1, 0]),
        ([-0.0, 1.0], [0.0, -0.0], [0, 0]),
        ([0.1], pa.array([0.1], pa.float32()), [None]),
        ([0.5], pa.array([0.5], pa.float16()), [0]),
        ([2**53 + 1], [float(2**53)], [None]),
        (pa.array([2**64 - 1, 5], pa.uint64()), [5], [0]),
        (["x"], pa.array(["x", None]).dictionary_encode(), [0, None]),
        (["x"], pa.array(["x"], pa.large_string()), [0]),
        ([dt.date(2020, 1, 1)], [dt.datetime(2020, 1, 1)], [None]),
    ],
)
def test_categories_are_what_is_equal_to_them(learnt, met, expected):
    assert codes(learnt, met) == expected


def test_large_labels_come_back():
    labels = data.from_arrow(pa.table({"x": pa.array([2**64 - 1, 1], pa.uint64())}))
    encoder = LabelEncoder("x")
    assert encoder.inverse_transform(encoder.fit_transform(labels)).take() == labels.take()


def test_structs_are_no_categories():
    ds = data.from_items([{"x": {"y": 1}, "l": [{"y": 1}]}])
    for name in ("x", "l"):
        with pytest.raises(UnsupportedValue, match=f"column '{name}' has the type"):
            OneHotEncoder([name]).fit(ds)


def test_plain_objects_have_no_columns_to_learn_from():
    with pytest.raises(UnsupportedValue, match="works on columns, but the rows are plain"):
        StandardScaler(["value"]).fit(data.range(3))
    scaler = StandardScaler(["value"]).fit(data.range_table(3))
    with pytest.raises(UnsupportedValue, match="works on columns, but the rows are plain"):
        scaler.transform(data.range(3))


def test_a_batch_with_a_name_twice():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])
    with pytest.raises(UnsupportedValue, match="a batch has several columns named 'x'"):
        StandardScaler(["x"]).fit(dataset()).transform_batch(frame)


def test_a_type_for_vectors_that_cannot_hold_them():
    frame = pd.DataFrame({"x": [1.0, None]})
    with pytest.raises(UnsuitableData, match=r"dtype='int64' cannot hold the columns 'x'.*missing"):
        Concatenator(include=["x"], dtype="int64").transform(dataset(frame, 1)).take()


def test_vectors_of_different_blocks_go_together():
    tables = [pa.table({"x": [1]}), pa.table({"x": pa.array([None], pa.int64())})]
    vectors = Concatenator(include=["x"]).transform(data.from_arrow(tables)).take_batch(2)
    np.testing.assert_array_equal(vectors["concat_out"], [[1.0], [np.nan]])


def test_one_preprocessor_cannot_learn_two_things():
    scaler = StandardScaler(["x"])
    with pytest.raises(InvalidOption, match="Chain was given one preprocessor twice"):
        Chain(scaler, scaler)
