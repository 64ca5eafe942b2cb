"""The trainer, checkpoint and predictor for scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import air.data
from air import CheckpointConfig, RunConfig, ScalingConfig
from air.data.preprocessors import Chain, Concatenator
from air.data.preprocessors import StandardScaler as Scaler
from air.errors import InvalidOption
from air.train import BatchPredictor
from air.train.sklearn import SklearnCheckpoint, SklearnPredictor, SklearnTrainer
from air.train.sklearn.estimators import cpu_parameters
from air.tune import Tuner, grid_search

FOREST = RandomForestClassifier(n_estimators=5, random_state=0)


@pytest.fixture
def new_trainer(breast_cancer):
    training, validation = breast_cancer

    def new(**options):
        arguments = {
            "estimator": FOREST,
            "datasets": {"train": training, "valid": validation},
            "label_column": "target",
        }
        return SklearnTrainer(**arguments | options)

    return new


def parts(dataset):
    frame = dataset.to_pandas()
    return frame.drop(columns="target"), frame["target"]


def test_it_fits_what_scikit_learn_fits(new_trainer, breast_cancer):
    training, validation = breast_cancer
    result = new_trainer().fit()
    alone = RandomForestClassifier(n_estimators=5, random_state=0).fit(*parts(training))
    assert result.metrics["valid"]["test_score"] == alone.score(*parts(validation))
    assert set(result.metrics["valid"]) == {"test_score", "score_time"}
    assert result.metrics["fit_time"] > 0
    assert list(result.metrics_dataframe["valid/test_score"]) == [
        result.metrics["valid"]["test_score"]
    ]
    assert isinstance(result.checkpoint, SklearnCheckpoint)
    kept = result.checkpoint.get_estimator()
    rows, _ = parts(validation)
    assert kept.predict(rows).tolist() == alone.predict(rows).tolist()
    assert kept.feature_names_in_.tolist() == rows.columns.tolist()
    assert not hasattr(FOREST, "estimators_")  # a clone was fitted


@pytest.mark.parametrize("parallel", [None, True, False])
def test_cross_validation_gives_the_same_scores_in_parallel(new_trainer, breast_cancer, parallel):
    cv = new_trainer(cv=3, parallelize_cv=parallel).fit().metrics["cv"]
    expected = cross_val_score(FOREST, *parts(breast_cancer[0]), cv=3)
    assert cv["test_score"] == expected.tolist()
    assert cv["test_score_mean"] == pytest.approx(expected.mean())
    assert cv["test_score_std"] == pytest.approx(expected.std())
    assert "train_score" not in cv


def test_several_measures_and_a_splitter(new_trainer, breast_cancer):
    scoring = {"f1": make_scorer(f1_score), "accuracy": "accuracy"}
    splitter = KFold(4, shuffle=True, random_state=0)
    metrics = new_trainer(scoring=scoring, cv=splitter, return_train_score_cv=True).fit().metrics
    assert len(metrics["cv"]["test_f1"]) == len(metrics["cv"]["train_accuracy"]) == 4
    assert set(metrics["valid"]) == {"test_f1", "test_accuracy", "score_time"}
    named = new_trainer(scoring=["f1", "accuracy"]).fit().metrics["valid"]
    assert named["test_f1"] == metrics["valid"]["test_f1"]


def test_params_and_cpus_reach_the_estimator(new_trainer):
    pipeline = make_pipeline(StandardScaler(), FOREST)
    params = {"randomforestclassifier__max_depth": 2}
    scaling = ScalingConfig(trainer_resources={"CPU": 2})
    trainer = new_trainer(estimator=pipeline, params=params, scaling_config=scaling)
    forest = trainer.fit().checkpoint.get_estimator()[-1]
    assert (forest.max_depth, forest.n_jobs) == (2, 2)
    left = new_trainer(set_estimator_cpus=False).fit().checkpoint.get_estimator()
    assert left.n_jobs is None
    assert cpu_parameters(pipeline) == ["randomforestclassifier__n_jobs"]
    assert FOREST.n_jobs is None


def test_without_a_label(breast_cancer):
    training = breast_cancer[0].drop_columns(["target"])
    estimator = KMeans(n_clusters=2, n_init=1, random_state=0)
    trainer = SklearnTrainer(estimator=estimator, datasets={"train": training, "again": training})
    result = trainer.fit()
    assert result.metrics["again"]["test_score"] < 0
    assert len(result.checkpoint.get_estimator().cluster_centers_) == 2


def test_columns_of_arrays_become_one_array(breast_cancer):
    training, validation = breast_cancer
    preprocessor = Chain(Scaler(["mean radius", "mean area"]), Concatenator(exclude=["target"]))
    result = SklearnTrainer(
        estimator=LogisticRegression(max_iter=2000),
        datasets={"train": training, "valid": validation},
        label_column="target",
        preprocessor=preprocessor,
    ).fit()
    assert result.checkpoint.get_estimator().n_features_in_ == 30
    assert result.metrics["valid"]["test_score"] > 0.9
    scored = BatchPredictor.from_checkpoint(result.checkpoint, SklearnPredictor).predict(
        validation, keep_columns=["target"]
    )
    frame = scored.to_pandas()
    score = (frame["predictions"] == frame["target"]).mean()
    assert score == pytest.approx(result.metrics["valid"]["test_score"])


def test_fit_params_are_for_the_estimators_fit(new_trainer, breast_cancer):
    weights = np.ones(breast_cancer[0].count())
    weights[::2] = 0
    result = new_trainer(sample_weight=weights).fit()
    alone = RandomForestClassifier(n_estimators=5, random_state=0)
    alone.fit(*parts(breast_cancer[0]), sample_weight=weights)
    assert result.metrics["valid"]["test_score"] == alone.score(*parts(breast_cancer[1]))


def test_a_tuner_changes_the_params(new_trainer):
    trainer = new_trainer(run_config=RunConfig(name="forests"))
    grid = Tuner(trainer, param_space={"params": {"max_depth": grid_search([1, 8])}}).fit()
    shallow, deep = (result.checkpoint.get_estimator() for result in grid)
    assert (shallow.max_depth, deep.max_depth) == (1, 8)
    assert deep.estimators_[0].get_n_leaves() > 2


class Broken(ClassifierMixin, BaseEstimator):
    """An estimator of a user that fails."""

    def fit(self, rows, target):
        raise ZeroDivisionError(f"{len(rows)} rows")


def test_an_error_of_the_estimator_is_raised_as_it_is(new_trainer, breast_cancer):
    rows = breast_cancer[0].count()
    with pytest.raises(ZeroDivisionError, match=f"{rows} rows"):
        new_trainer(estimator=Broken()).fit()
    with pytest.raises(ZeroDivisionError, match="rows"):
        new_trainer(estimator=Broken(), cv=3, parallelize_cv=True).fit()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": RandomForestClassifier}, "estimator must be .* Give an instance"),
        ({"estimator": "forest"}, "estimator must be a scikit-learn estimator"),
        ({"params": {"max_dept": 3}}, "no parameter of RandomForestClassifier.*'max_depth'"),
        ({"params": 3}, "params must be a dict"),
        ({"label_column": "targt"}, "'targt'.*'target'"),
        ({"label_colum": "target"}, "no option 'label_colum'.*'label_column'"),
        ({"cv": 1}, "cv must be"),
        ({"parallelize_cv": 1}, "parallelize_cv must be True or False"),
        ({"scaling_config": ScalingConfig(num_workers=2)}, "fitted by one worker"),
        (
            {
                "scaling_config": ScalingConfig(
                    trainer_resources={"CPU": 1}, resources_per_worker={"CPU": 1}
                )
            },
            "leave one of the two out",
        ),
        (
            {"run_config": RunConfig(checkpoint_config=CheckpointConfig(checkpoint_frequency=2))},
            "checkpoint_frequency",
        ),
        ({"datasets": {}}, "datasets must hold"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(new_trainer, options, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(**options)


def test_bad_data_is_refused(new_trainer, breast_cancer):
    training, validation = breast_cancer
    holes = training.map_batches(
        lambda frame: frame.assign(target=frame["target"].where(frame["target"] == 0)),
        batch_format="pandas",
    )
    with pytest.raises(InvalidOption, match="'target', which has missing values"):
        new_trainer(datasets={"train": holes}).fit()
    fewer = validation.drop_columns(["mean radius"])
    with pytest.raises(InvalidOption, match=r"'valid' lacks columns .*mean radius"):
        new_trainer(datasets={"train": training, "valid": fewer}).fit()
    with pytest.raises(InvalidOption, match="cannot be called 'cv'"):
        new_trainer(datasets={"train": training, "cv": validation})


# -- Prediction


@pytest.fixture(scope="module")
def line():
    """Of y = 2 a - b."""
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 5.0, 2.0]})
    return LinearRegression().fit(frame, 2 * frame["a"] - frame["b"])


def test_predictions_are_of_the_kind_of_the_data(line):
    predictor = SklearnPredictor(line)
    frame = pd.DataFrame({"other": ["x", "y"], "b": [1.0, 2.0], "a": [5.0, 6.0]}, index=[7, 8])
    found = predictor.predict(frame)
    assert found.index.tolist() == [7, 8]
    assert found["predictions"].tolist() == pytest.approx([9, 10])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    assert predictor.predict(table)["predictions"].to_pylist() == pytest.approx([9, 10])
    found = predictor.predict(pl.from_arrow(table))["predictions"]
    assert found.to_list() == pytest.approx([9, 10])
    assert predictor.predict({"a": np.array([1.0]), "b": np.array([2.0])})["predictions"] == (
        pytest.approx([0])
    )
    assert predictor.predict(np.array([[1.0, 2.0], [0.0, 1.0]])).tolist() == pytest.approx([0, -1])
    renamed = frame.rename(columns={"a": "first", "b": "second"})
    found = predictor.predict(renamed, feature_columns=["first", "second"])
    assert found["predictions"].tolist() == pytest.approx([9, 10])


def test_other_methods_give_arrays(breast_cancer):
    rows, target = parts(breast_cancer[0])
    predictor = SklearnPredictor(RandomForestClassifier(5, random_state=0).fit(rows, target))
    found = predictor.predict(rows, method="predict_proba", num_estimator_cpus=None)
    assert np.stack(found["predictions"]).shape == (len(rows), 2)
    with pytest.raises(InvalidOption, match="no method 'predict_probe'"):
        predictor.predict(rows, method="predict_probe")


def test_labels_may_be_text():
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    model = LogisticRegression().fit(frame, ["low", "low", "high", "high"])
    assert SklearnPredictor(model).predict(frame)["predictions"].tolist()[::3] == ["low", "high"]


def test_what_cannot_be_predicted_from_is_refused(line):
    predictor = SklearnPredictor(line)
    with pytest.raises(InvalidOption, match="lacks the features 'b'"):
        predictor.predict(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(InvalidOption, match=r"shape \(rows, 2\)"):
        predictor.predict(np.zeros((3, 4)))
    with pytest.raises(InvalidOption, match="no option 'return_std'"):
        predictor.predict(np.zeros((3, 2)), return_std=True)
    with pytest.raises(InvalidOption, match=r"use SklearnPredictor\.from_checkpoint"):
        SklearnPredictor(SklearnCheckpoint.from_estimator(line))
    with pytest.raises(InvalidOption, match="holds no scikit-learn estimator"):
        SklearnPredictor.from_checkpoint(air.Checkpoint.from_dict({"x": 1}))


def test_a_checkpoint_keeps_its_preprocessor(tmp_path, air_backend):
    rows = air.data.from_items([{"a": float(i), "y": 2.0 * i} for i in range(10)])
    scaler = Scaler(["a"]).fit(rows)
    model = Ridge(alpha=1e-9).fit(scaler.transform(rows).to_pandas()[["a"]], np.arange(10) * 2.0)
    SklearnCheckpoint.from_estimator(model, preprocessor=scaler).to_directory(tmp_path / "kept")
    predictor = SklearnPredictor.from_checkpoint(air.Checkpoint.from_directory(tmp_path / "kept"))
    assert predictor.predict(pd.DataFrame({"a": [3.0]}))["predictions"].tolist() == (
        pytest.approx([6])
    )
