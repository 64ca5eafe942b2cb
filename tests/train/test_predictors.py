from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost

import air.data
from air import Checkpoint, ScalingConfig
from air.data.preprocessors import StandardScaler
from air.errors import InvalidOption
from air.train import BatchPredictor, Predictor
from air.train.xgboost import XGBoostCheckpoint, XGBoostPredictor, XGBoostTrainer


class Sum(Predictor):
    """Adds up the columns, and a number from its checkpoint."""

    def __init__(self, plus, preprocessor=None):
        super().__init__(preprocessor)
        self.plus = plus

    @classmethod
    def from_checkpoint(cls, checkpoint, times=1):
        return cls(checkpoint.to_dict()["plus"] * times, checkpoint.get_preprocessor())

    def _predict_pandas(self, frame, minus=0):
        return pd.DataFrame({"predictions": frame.sum(axis=1) + self.plus - minus})


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [10.0, 20.0]})


def test_predictions_are_of_the_kind_that_was_given():
    predictor = Sum(plus=100)
    assert predictor.predict(FRAME)["predictions"].tolist() == [111, 122]
    table = predictor.predict(pa.Table.from_pandas(FRAME))
    assert table.column("predictions").to_pylist() == [111, 122]
    columns = predictor.predict({"a": np.array([1.0]), "b": np.array([2.0])})
    assert columns["predictions"].tolist() == [103]
    with pytest.raises(TypeError, match="named columns"):
        predictor.predict(np.zeros((2, 2)))
    with pytest.raises(TypeError, match="got list"):
        predictor.predict([[1, 2]])


def test_the_preprocessor_comes_first(air_local):
    scaler = StandardScaler(["a"]).fit(air.data.from_pandas(FRAME))
    checkpoint = Checkpoint.from_dict({"plus": 0})
    checkpoint.set_preprocessor(scaler)
    predictor = Sum.from_checkpoint(checkpoint)
    assert predictor.get_preprocessor() is scaler
    assert predictor.predict(FRAME)["predictions"].tolist() == pytest.approx([9, 21])
    assert FRAME["a"].tolist() == [1, 2]
    predictor.set_preprocessor(None)
    assert predictor.predict(FRAME)["predictions"].tolist() == [11, 22]


def test_a_function_is_a_predictor():
    predictor = Predictor.from_pandas_udf(lambda frame: frame[["a"]] * 2)
    assert predictor.predict(FRAME)["a"].tolist() == [2, 4]
    with pytest.raises(InvalidOption, match="takes a function"):
        Predictor.from_pandas_udf("double")


def test_what_a_predictor_does_not_define_is_named():
    class Incomplete(Predictor):
        pass

    with pytest.raises(NotImplementedError, match="Incomplete defines none of _predict_arrow"):
        Incomplete().predict(FRAME)
    with pytest.raises(NotImplementedError, match="from_checkpoint"):
        Incomplete.from_checkpoint(Checkpoint.from_dict({}))


# XGBoost ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def booster():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.random((100, 3)), columns=["x", "y", "z"])
    matrix = xgboost.DMatrix(frame, (frame["x"] > frame["y"]).astype(int))
    return xgboost.train({"objective": "binary:logistic"}, matrix, 5)


@pytest.fixture
def rows():
    return pd.DataFrame(np.random.default_rng(1).random((7, 3)), columns=["x", "y", "z"])


def test_xgboost_predicts_the_same_from_everything(booster, rows):
    predictor = XGBoostPredictor(booster)
    expected = booster.predict(xgboost.DMatrix(rows))
    columns = {name: rows[name].to_numpy() for name in rows}
    mixed = rows.assign(other="text")[["other", "z", "x", "y"]]
    for given in (rows, mixed, pa.Table.from_pandas(rows), columns):
        predicted = predictor.predict(given)
        assert type(predicted) is type(given)
        assert np.asarray(predicted["predictions"]) == pytest.approx(expected)
    assert predictor.predict(rows.to_numpy()) == pytest.approx(expected)
    named = rows.rename(columns={"x": "u"})
    assert predictor.predict(named, feature_columns=["u", "y", "z"])["predictions"].tolist() == (
        pytest.approx(expected)
    )


def test_predictions_have_the_index_of_their_rows(booster, rows):
    chosen = rows[rows["x"] > rows["y"]]
    predictor = XGBoostPredictor(booster)
    predicted = predictor.predict(chosen)
    assert predicted.index.tolist() == chosen.index.tolist() != list(range(len(chosen)))
    assert predicted["predictions"].to_numpy() == pytest.approx(
        booster.predict(xgboost.DMatrix(chosen))
    )
    own = pd.DataFrame({"predictions": [1.0, 2.0]})
    frames = Predictor.from_pandas_udf(lambda frame: own)
    assert frames.predict(FRAME.set_index("b")) is own  # a predictor's own frame is as it made it


def test_linear_models_predict_too(rows):
    matrix = xgboost.DMatrix(rows, np.arange(len(rows)) % 2)
    linear = xgboost.train({"booster": "gblinear"}, matrix, 3)
    predictor = XGBoostPredictor(linear)
    expected = linear.predict(matrix)
    for given in (rows, rows[["z", "x", "y"]], pa.Table.from_pandas(rows)):
        assert np.asarray(predictor.predict(given)["predictions"]) == pytest.approx(expected)
    assert predictor.predict(rows.to_numpy()) == pytest.approx(expected)
    margin = predictor.predict(rows, output_margin=True)["predictions"]
    assert margin.to_numpy() == pytest.approx(linear.predict(matrix, output_margin=True))
    with pytest.raises(InvalidOption, match="from a DMatrix has no option 'predict_type'"):
        predictor.predict(rows, predict_type="margin")


def test_xgboost_options_reach_the_model(booster, rows):
    predictor = XGBoostPredictor(booster)
    matrix = xgboost.DMatrix(rows)
    margin = predictor.predict(rows, predict_type="margin")["predictions"]
    assert margin.to_numpy() == pytest.approx(booster.predict(matrix, output_margin=True))
    first = predictor.predict(rows.to_numpy(), iteration_range=(0, 1))
    assert first == pytest.approx(booster.predict(matrix, iteration_range=(0, 1)))
    contributions = predictor.predict(pa.Table.from_pandas(rows), pred_contribs=True)
    assert np.stack(contributions.to_pandas()["predictions"]) == pytest.approx(
        booster.predict(matrix, pred_contribs=True)
    )
    on_matrix = predictor.predict(rows, dmatrix_kwargs={"nthread": 1})["predictions"]
    assert on_matrix.tolist() == pytest.approx(booster.predict(matrix))


def test_xgboost_says_what_is_wrong(booster, rows):
    predictor = XGBoostPredictor(booster)
    with pytest.raises(InvalidOption, match=r"lacks the features 'x'.*Did you mean 'xx'"):
        predictor.predict(rows.rename(columns={"x": "xx"}))
    with pytest.raises(InvalidOption, match="Did you mean 'output_margin'"):
        predictor.predict(rows, output_margn=True)
    with pytest.raises(InvalidOption, match="no XGBoost model"):
        XGBoostPredictor.from_checkpoint(Checkpoint.from_dict({"a": 1}))


# BatchPredictor ---------------------------------------------------------------------------


def test_batch_predictions_keep_the_order_and_the_columns_asked_for(air_backend, booster):
    random = np.random.default_rng(2)
    frame = pd.DataFrame(random.random((50, 3)), columns=["x", "y", "z"])
    frame["id"] = range(50)
    dataset = air.data.from_pandas(frame).repartition(4)
    predictor = BatchPredictor(XGBoostCheckpoint.from_model(booster), XGBoostPredictor)
    expected = booster.predict(xgboost.DMatrix(frame[["x", "y", "z"]]))
    scored = predictor.predict(dataset, keep_columns=["id"], batch_size=8).to_pandas()
    assert scored.columns.tolist() == ["predictions", "id"]
    assert scored["id"].tolist() == list(range(50))
    assert scored["predictions"].to_numpy() == pytest.approx(expected)
    pool = predictor.predict(
        dataset,
        feature_columns=["x", "y", "z"],
        min_scoring_workers=2,
        max_scoring_workers=2,
        num_cpus_per_worker=0.5,
        predict_type="margin",
    ).to_pandas()
    assert pool.columns.tolist() == ["predictions"]
    assert (pool["predictions"] > 0).tolist() == (expected > 0.5).tolist()


def test_the_preprocessor_can_be_replaced(air_local):
    data = air.data.from_pandas(FRAME)
    checkpoint = Checkpoint.from_dict({"plus": 100})
    checkpoint.set_preprocessor(StandardScaler(["a", "b"]).fit(data))
    predictor = BatchPredictor.from_checkpoint(checkpoint, Sum, times=2)
    assert predictor.get_preprocessor() is checkpoint.get_preprocessor()
    assert [row["predictions"] for row in predictor.predict(data).take()] == [198, 202]
    predictor.set_preprocessor(None)
    assert predictor.get_preprocessor() is None
    assert [row["predictions"] for row in predictor.predict(data, minus=1).take()] == [210, 221]


def test_a_function_predicts_for_datasets(air_local):
    predictor = BatchPredictor.from_pandas_udf(lambda frame: frame[["a"]] * 2)
    assert predictor.predict(air.data.from_pandas(FRAME)).to_pandas()["a"].tolist() == [2, 4]


def test_bad_arguments_are_refused_at_once(air_local, booster):
    data = air.data.from_pandas(FRAME)
    checkpoint = Checkpoint.from_dict({"plus": 1})
    predictor = BatchPredictor(checkpoint, Sum)
    for call, message in (
        (lambda: BatchPredictor(None, Sum), "takes a Checkpoint, got NoneType.*has none"),
        (lambda: BatchPredictor(checkpoint, "Sum"), "must be a class of Predictor, got 'Sum'"),
        (lambda: predictor.predict(FRAME), "takes an air.data.Dataset, got DataFrame"),
        (lambda: predictor.set_preprocessor(3), "must be one of air.data.preprocessors, or None"),
        (lambda: predictor.set_preprocessor(StandardScaler), "got <class"),
        (lambda: BatchPredictor(checkpoint, Sum, tims=2), "Did you mean 'times'.*takes 'times'"),
        (lambda: BatchPredictor(checkpoint, XGBoostPredictor, times=2), "it takes none"),
        (lambda: predictor.predict(data, batch_size=0), "batch_size must be .* >= 1, got 0"),
        (lambda: predictor.predict(data, min_scoring_workers=0), "min_scoring_workers must be"),
        (
            lambda: predictor.predict(data, min_scoring_workers=3, max_scoring_workers=2),
            "max_scoring_workers must be a whole number >= 3",
        ),
        (lambda: predictor.predict(data, keep_columns=["aa"]), "keep_columns names 'aa'"),
        (lambda: predictor.predict(data, feature_columns="a"), "must be a list"),
        (
            lambda: predictor.predict(data.map_batches(_same), keep_columns=["aa"]).take_all(),
            "keep_columns names 'aa'.*Did you mean 'a'",
        ),
        (
            lambda: predictor.predict(data.map_batches(_same), feature_columns=["bb"]).take_all(),
            "feature_columns names 'bb'.*Did you mean 'b'",
        ),
    ):
        with pytest.raises(InvalidOption, match=message):
            call()


def _same(batch):
    return batch


# The main path ----------------------------------------------------------------------------


def test_from_a_table_to_predictions(breast_cancer):
    training, validation = breast_cancer
    result = XGBoostTrainer(
        datasets={"train": training, "valid": validation},
        label_column="target",
        params={"objective": "binary:logistic", "eval_metric": ["logloss", "error"]},
        num_boost_round=20,
        scaling_config=ScalingConfig(num_workers=2),
        preprocessor=StandardScaler(["mean radius", "mean texture"]),
    ).fit()
    fitted = result.checkpoint.get_preprocessor()
    assert fitted.transform_batch(training.to_pandas())["mean radius"].mean() == pytest.approx(
        0, abs=1e-9
    )
    test = validation.drop_columns(["target"])
    predictor = BatchPredictor.from_checkpoint(result.checkpoint, XGBoostPredictor)
    scores = predictor.predict(test).to_pandas()["predictions"]
    accuracy = ((scores > 0.5) == validation.to_pandas()["target"]).mean()
    assert accuracy >= 0.94
    assert 1 - accuracy == pytest.approx(result.metrics["valid-error"])


@pytest.fixture
def small_model():
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    matrix = xgboost.DMatrix(frame, [0, 0, 1, 1])
    return frame, xgboost.train({"objective": "binary:logistic"}, matrix, 2)


def test_options_of_predict_are_checked_at_the_call(small_model, air_local):
    frame, model = small_model
    with pytest.raises(InvalidOption, match=r"'feature_column'\. Did you mean 'feature_columns'"):
        XGBoostPredictor(model).predict(frame, feature_column=["a"])
    for options, message in (
        ({"feature_columns": "a"}, "feature_columns must be a list of columns' names, got 'a'"),
        ({"feature_columns": [0, 1]}, r"a list of columns' names, got \[0, 1\]"),
        ({"dmatrix_kwargs": 3}, "dmatrix_kwargs must be a dict, got 3"),
        ({"dmatrix_kwargs": {"mising": 0.0}}, "no option 'mising'. Did you mean 'missing'"),
    ):
        with pytest.raises(InvalidOption, match=message):
            XGBoostPredictor(model).predict(frame, **options)
    batch = BatchPredictor(XGBoostCheckpoint.from_model(model), XGBoostPredictor)
    rows = air.data.from_pandas(frame)
    with pytest.raises(InvalidOption, match=r"'batchsize'\. Did you mean 'batch_size'"):
        batch.predict(rows, batchsize=3)
    assert batch.predict(rows, output_margin=True).count() == 4
    own = BatchPredictor(Checkpoint.from_dict({"plus": 1}), Sum)
    with pytest.raises(InvalidOption, match=r"'minnus'\. Did you mean 'minus'"):
        own.predict(rows, minnus=3)
    assert own.predict(rows, minus=1).take(1) == [{"predictions": 1.0}]


def test_columns_of_text_are_named(small_model):
    frame, model = small_model
    with pytest.raises(InvalidOption, match=r"these columns are not: b \(\w*string\)"):
        XGBoostPredictor(model).predict(frame.assign(b="x"))


def test_column_without_a_value_is_missing(small_model):
    frame, model = small_model
    expected = XGBoostPredictor(model).predict(frame.assign(b=np.nan))
    found = XGBoostPredictor(model).predict(frame.assign(b=None))
    pd.testing.assert_frame_equal(found, expected)


def test_feature_columns_never_take_one_feature_for_another(booster, rows):
    predictor = XGBoostPredictor(booster)
    expected = predictor.predict(rows)["predictions"].tolist()
    in_another_order = predictor.predict(rows, feature_columns=["z", "x", "y"])
    assert in_another_order["predictions"].tolist() == expected
    renamed = rows.rename(columns={"z": "w"})
    assert predictor.predict(renamed, feature_columns=["x", "y", "w"])["predictions"].tolist() == (
        expected
    )
    with pytest.raises(InvalidOption, match="the column 'y' in the place of the feature 'x'"):
        predictor.predict(renamed, feature_columns=["y", "x", "w"])
    with pytest.raises(InvalidOption, match="names 2 columns, and the model has 3 features"):
        predictor.predict(rows, feature_columns=["x", "y"])


@pytest.mark.parametrize("shape", [(7, 2), (3,), (2, 3, 1)])
def test_an_array_of_another_shape_is_refused(booster, shape):
    with pytest.raises(InvalidOption, match=r"of shape \(rows, 3\), got one of shape \("):
        XGBoostPredictor(booster).predict(np.zeros(shape))


def test_numbers_of_any_kind_are_predicted_from(booster, rows):
    halves = pa.table({name: rows[name].to_numpy().astype(np.float16) for name in rows})
    decimals = pa.table({name: rows[name].round(3) for name in rows}).cast(
        pa.schema([(name, pa.decimal128(5, 3)) for name in rows])
    )
    for table in (halves, decimals):
        frame = table.to_pandas().astype(float)
        expected = booster.predict(xgboost.DMatrix(frame))
        scores = XGBoostPredictor(booster).predict(table).column("predictions").to_numpy()
        assert scores == pytest.approx(expected)


def test_predictor_of_what_is_no_model(small_model):
    with pytest.raises(InvalidOption, match=r"XGBoostCheckpoint\.from_model takes an xgboost\.B"):
        XGBoostCheckpoint.from_model("model")
    with pytest.raises(InvalidOption, match=r"give model\.get_booster\(\)"):
        XGBoostCheckpoint.from_model(xgboost.XGBClassifier())
    with pytest.raises(InvalidOption, match=r"use XGBoostPredictor\.from_checkpoint"):
        XGBoostPredictor(XGBoostCheckpoint.from_model(small_model[1]))
    with pytest.raises(InvalidOption, match=r"takes an xgboost\.Booster, got 5"):
        XGBoostPredictor(5)
    with pytest.raises(InvalidOption, match="Did you mean 'model'"):
        XGBoostPredictor(modell=small_model[1])
