from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost  # before a backend starts: it opens files that stay open

import air.data
from air import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig
from air.data.preprocessors import BatchMapper, LabelEncoder, OneHotEncoder, StandardScaler
from air.errors import InvalidOption
from air.train import BatchPredictor
from air.train.session import Session, StopTraining, install
from air.train.xgboost import XGBoostCheckpoint, XGBoostPredictor, XGBoostTrainer
from air.train.xgboost.matrix import batches
from air.tune import Tuner

PARAMS = {"objective": "binary:logistic", "eval_metric": ["logloss", "error"]}


@pytest.fixture
def new_trainer(breast_cancer):
    training, validation = breast_cancer

    def new(**options):
        arguments = {
            "datasets": {"train": training, "valid": validation},
            "label_column": "target",
            "params": PARAMS,
            "num_boost_round": 5,
            "scaling_config": ScalingConfig(num_workers=2),
        }
        return XGBoostTrainer(**arguments | options)

    return new


def native_metrics(training, validation, rounds, **params):
    """What XGBoost itself says, on all rows in one process."""
    frames = {"train": training.to_pandas(), "valid": validation.to_pandas()}
    matrices = {}
    for name, frame in frames.items():
        matrices[name] = xgboost.QuantileDMatrix(
            frame.drop(columns="target"), frame["target"], ref=matrices.get("train")
        )
    found = {}
    xgboost.train(
        {**PARAMS, **params},
        matrices["train"],
        rounds,
        evals=[(matrix, name) for name, matrix in matrices.items()],
        evals_result=found,
        verbose_eval=False,
    )
    return {
        f"{name}-{metric}": values for name, log in found.items() for metric, values in log.items()
    }


def test_metrics_of_every_round_are_those_of_xgboost_alone(new_trainer, breast_cancer):
    result = new_trainer(num_boost_round=8).fit()
    expected = native_metrics(*breast_cancer, rounds=8)
    frame = result.metrics_dataframe
    assert frame["training_iteration"].tolist() == list(range(1, 9))
    for name, values in expected.items():
        assert frame[name].tolist() == pytest.approx(values, abs=1e-6), name
    assert set(expected) == {"train-logloss", "train-error", "valid-logloss", "valid-error"}
    assert result.metrics["valid-error"] <= 0.06


def test_the_last_round_has_a_checkpoint_and_others_when_due(new_trainer):
    result = new_trainer().fit()
    assert isinstance(result.checkpoint, XGBoostCheckpoint)
    assert result.checkpoint.get_model().num_boosted_rounds() == 5
    assert [m["training_iteration"] for _, m in result.best_checkpoints] == [5]

    every_second = RunConfig(checkpoint_config=CheckpointConfig(checkpoint_frequency=2))
    result = new_trainer(run_config=every_second).fit()
    rounds = [c.get_model().num_boosted_rounds() for c, _ in result.best_checkpoints]
    assert rounds == [2, 4, 5]
    assert len(result.metrics_dataframe) == 5

    none = RunConfig(checkpoint_config=CheckpointConfig(checkpoint_at_end=False))
    result = new_trainer(run_config=none).fit()
    assert result.checkpoint is None
    assert len(result.metrics_dataframe) == 5


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(new_trainer):
    whole = new_trainer(num_boost_round=6).fit()
    half = new_trainer(num_boost_round=3).fit()
    rest = new_trainer(num_boost_round=6, resume_from_checkpoint=half.checkpoint).fit()
    assert rest.metrics_dataframe["training_iteration"].tolist() == [4, 5, 6]
    assert rest.metrics["train-logloss"] == pytest.approx(whole.metrics["train-logloss"], abs=1e-6)
    assert rest.checkpoint.get_model().num_boosted_rounds() == 6
    with pytest.raises(InvalidOption, match=r"has 3 rounds.*nothing to train"):
        new_trainer(num_boost_round=3, resume_from_checkpoint=half.checkpoint).fit()


def test_training_goes_on_with_the_preprocessor_of_the_model(new_trainer, breast_cancer):
    training, validation = breast_cancer
    features = [name for name in training.columns() if name != "target"]
    scaler = StandardScaler(columns=features)
    whole = new_trainer(num_boost_round=6, preprocessor=scaler).fit()
    half = new_trainer(num_boost_round=3, preprocessor=scaler).fit().checkpoint
    # What the scaler learnt is taken over too: from the rows before, not from those of today.
    today = {"train": training.limit(100), "valid": validation}
    for trainer in (
        new_trainer(num_boost_round=6, resume_from_checkpoint=half, datasets=today),
        new_trainer(num_boost_round=6, datasets=today).variant({"resume_from_checkpoint": half}),
        new_trainer(num_boost_round=6, datasets=today)
        .preprocessed()
        .variant({"resume_from_checkpoint": half}),
    ):
        carried = trainer.fit().checkpoint.get_preprocessor()
        assert carried.stats_ == half.get_preprocessor().stats_
    rest = new_trainer(num_boost_round=6, resume_from_checkpoint=half).fit()
    assert rest.metrics["valid-logloss"] == pytest.approx(whole.metrics["valid-logloss"], abs=1e-6)
    other = new_trainer(num_boost_round=6, resume_from_checkpoint=half, preprocessor=scaler)
    other.datasets = today
    assert other.fit().checkpoint.get_preprocessor().stats_ != half.get_preprocessor().stats_


def test_the_preprocessor_of_the_checkpoint_may_make_the_label(new_trainer, breast_cancer):
    training, _ = breast_cancer
    renamed = BatchMapper(_with_label, batch_format="pandas")
    unlabelled = {"train": training.rename_columns({"target": "benign"})}
    half = new_trainer(num_boost_round=2, datasets=unlabelled, preprocessor=renamed).fit()
    again = {"datasets": unlabelled, "resume_from_checkpoint": half.checkpoint}
    assert new_trainer(num_boost_round=3, **again).fit().metrics["training_iteration"] == 3


def _with_label(frame):
    return frame.rename(columns={"benign": "target"})


def test_training_goes_on_with_the_features_of_the_model(new_trainer, breast_cancer):
    training, validation = breast_cancer
    half = new_trainer(num_boost_round=3).fit().checkpoint
    expected = new_trainer(num_boost_round=6).fit().metrics["valid-logloss"]
    backwards = training.select_columns(training.columns()[::-1])
    datasets = {"train": backwards, "valid": validation}
    rest = new_trainer(num_boost_round=6, resume_from_checkpoint=half, datasets=datasets).fit()
    assert rest.metrics["valid-logloss"] == pytest.approx(expected, abs=1e-6)
    other = {"train": training.rename_columns({"mean area": "area"})}
    with pytest.raises(InvalidOption, match="lacks its features 'mean area' and has others, 'area"):
        new_trainer(num_boost_round=6, resume_from_checkpoint=half, datasets=other).fit()


def test_early_stopping_ends_with_a_checkpoint(new_trainer):
    result = new_trainer(num_boost_round=100, early_stopping_rounds=2).fit()
    rounds = result.metrics["training_iteration"]
    assert rounds < 100
    assert result.checkpoint.get_model().num_boosted_rounds() == rounds
    assert result.checkpoint.get_model().best_iteration == rounds - 3


def test_a_stop_criterion_ends_with_a_checkpoint_of_that_round(new_trainer):
    result = new_trainer(
        num_boost_round=100, run_config=RunConfig(stop={"training_iteration": 3})
    ).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3]
    assert result.checkpoint.get_model().num_boosted_rounds() == 3


def test_as_trainable_sets_params_and_reports_to_its_session(new_trainer):
    rows = []

    def sink(metrics, checkpoint):
        rows.append((metrics["training_iteration"], checkpoint))
        if metrics["training_iteration"] == 2:
            raise StopTraining

    with install(Session(sink)):
        new_trainer().as_trainable()({"params": {"max_depth": 1}, "num_boost_round": 4})
    assert [iteration for iteration, _ in rows] == [1, 2, 2]
    trees = rows[-1][1].get_model().get_dump()
    assert len(trees) == 2
    assert all(len(tree.splitlines()) == 3 for tree in trees)


class FailsOnce(xgboost.callback.TrainingCallback):
    """Fails in round 3 of the first attempt."""

    def __init__(self, marker):
        super().__init__()
        self.marker = marker

    def after_iteration(self, model, epoch, evals_log):
        if epoch == 2 and not Path(self.marker).exists():
            Path(self.marker).touch()
            raise LookupError("round 3")
        return False


def test_a_failed_run_goes_on_from_its_last_checkpoint(new_trainer, tmp_path):
    result = new_trainer(
        callbacks=[FailsOnce(str(tmp_path / "marker"))],
        run_config=RunConfig(
            failure_config=FailureConfig(max_failures=1),
            checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
        ),
    ).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4, 5]
    assert result.checkpoint.get_model().num_boosted_rounds() == 5


def test_methods_that_need_the_values_themselves(new_trainer):
    for method in ("approx", "exact"):
        result = new_trainer(
            params={**PARAMS, "tree_method": method}, scaling_config=ScalingConfig(num_workers=1)
        ).fit()
        assert result.metrics["valid-error"] < 0.1


def test_weights_are_no_feature_and_count(breast_cancer, new_trainer):
    training, validation = breast_cancer
    weighted = training.map_batches(_add_weight, batch_format="pandas")
    unweighted = new_trainer().fit()
    result = new_trainer(
        datasets={"train": weighted, "valid": validation},
        dmatrix_params={"train": {"weight": "w"}},
    ).fit()
    assert "w" not in result.checkpoint.get_model().feature_names
    assert result.metrics["train-logloss"] != unweighted.metrics["train-logloss"]


def _add_weight(frame):
    frame["w"] = np.where(frame["target"] == 1, 5.0, 1.0)
    return frame


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (("my metric", 1.0), r"metric cannot be called 'my metric'.*Call it 'my_metric'"),
        ([("fine", 1.0), ("a:b", 1.0)], "Call it 'a_b'"),
        (1.0, r"returns the metric as \(name, value\), or several in a list, got 1.0"),
        ((1.0, "name"), r"\(name, value\)"),
    ],
)
def test_what_a_custom_metric_gives_is_looked_at(new_trainer, result, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(custom_metric=lambda predictions, matrix: result).fit()


def test_a_label_that_is_text_is_needed_for_training_only(new_trainer, breast_cancer):
    training, validation = breast_cancer
    named = {"train": training.map_batches(_named), "valid": validation.map_batches(_named)}
    result = new_trainer(datasets=named, preprocessor=LabelEncoder("target")).fit()
    expected = new_trainer().fit()
    assert result.metrics["valid-logloss"] == pytest.approx(expected.metrics["valid-logloss"])
    unlabelled = validation.drop_columns(["target"])
    predictions = [
        BatchPredictor.from_checkpoint(each.checkpoint, XGBoostPredictor)
        .predict(unlabelled)
        .take_all()
        for each in (result, expected)
    ]
    assert predictions[0] == predictions[1]


def _named(batch):
    return batch | {"target": np.array(["malignant", "very benign"])[batch["target"]]}


def test_a_custom_metric_and_objective(new_trainer):
    result = new_trainer(
        params={"disable_default_eval_metric": True}, custom_metric=_rms, obj=_squared_error
    ).fit()
    assert {"train-rms", "valid-rms"} <= set(result.metrics)


def _rms(predictions, matrix):
    return "rms", float(np.sqrt(np.mean((predictions - matrix.get_label()) ** 2)))


def _squared_error(predictions, matrix):
    return predictions - matrix.get_label(), np.ones_like(predictions)


def test_columns_of_other_datasets_are_found_by_name(breast_cancer, new_trainer):
    training, validation = breast_cancer
    names = validation.columns()
    shuffled = validation.select_columns(names[::-1]).add_column("extra", _texts)
    expected = new_trainer().fit().metrics["valid-logloss"]
    result = new_trainer(datasets={"train": training, "valid": shuffled}).fit()
    assert result.metrics["valid-logloss"] == pytest.approx(expected, abs=1e-6)


def _texts(frame):
    return ["text"] * len(frame)


def test_one_row_to_validate_with_is_enough_for_two_workers(breast_cancer, new_trainer):
    training, validation = breast_cancer
    result = new_trainer(datasets={"train": training, "valid": validation.limit(1)}).fit()
    assert 0 < result.metrics["valid-logloss"] < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_boost_rounds": 3}, "no option 'num_boost_rounds'. Did you mean 'num_boost_round'"),
        ({"early_stoping_rounds": 3}, "Did you mean 'early_stopping_rounds'"),
        ({"early_stopping_rounds": 0}, "early_stopping_rounds must be a whole number >= 1"),
        ({"num_boost_round": 0}, "num_boost_round must be a whole number >= 1, got 0"),
        ({"params": {3: 4}}, "names in params are text, got 3"),
        ({"params": {"n_estimators": 9}}, r"an argument of the trainer.*num_boost_round=9"),
        ({"params": {"early_stopping_rounds": 2}}, "early_stopping_rounds=2"),
        ({"evals": []}, "no option 'evals'. Give what is to be evaluated as further datasets"),
        ({"verbose_eval": False}, r"no option 'verbose_eval'.*Result\.metrics_dataframe"),
        ({"callbacks": [3]}, "callbacks must be objects of .*TrainingCallback, got 3"),
        ({"callbacks": [xgboost.callback.EvaluationMonitor]}, "Give an instance"),
        ({"callbacks": xgboost.callback.EvaluationMonitor()}, "callbacks must be a list"),
        ({"obj": "squared"}, "obj must be a function, got 'squared'"),
        ({"custom_metric": 1}, "custom_metric must be a function"),
        ({"maximize": "yes"}, "maximize must be True or False"),
        ({"dmatrix_params": {"train": {"weight": 3}}}, "weight is the name of a column, got 3"),
        ({"dmatrix_params": {"train": {"missing": "none"}}}, "missing must be a number"),
        ({"dmatrix_params": {"train": {"qid": "a", "weight": "b"}}}, "weighs whole groups"),
        ({"label_column": 3}, "label_column must be a column's name"),
        ({"params": "max_depth=3"}, "params must be a dict"),
        ({"datasets": {}}, 'the one to train on as "train"'),
        ({"dmatrix_params": {"valdi": {}}}, "Did you mean 'valid'"),
        ({"dmatrix_params": {"train": {"weigth": "w"}}}, "Did you mean 'weight'"),
        ({"dmatrix_params": {"train": 3}}, "must be a dict, got 3"),
        (
            {"params": {"tree_method": "exact"}, "scaling_config": ScalingConfig(num_workers=2)},
            "one worker only",
        ),
    ],
)
def test_bad_arguments_are_refused_when_the_trainer_is_made(new_trainer, options, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_column": "tagret"}, "label_column is 'tagret'.*Did you mean 'target'"),
        ({"dmatrix_params": {"train": {"weight": "w"}}}, "weight is 'w'.*no such column"),
    ],
)
def test_columns_are_checked_before_anything_starts(new_trainer, options, message, storage):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(**options).fit()
    assert not storage.exists()


def test_datasets_that_cannot_be_trained_on(breast_cancer, new_trainer, storage):
    training, validation = breast_cancer
    for datasets, message in (
        ({"train": training.map_batches(_with_text, batch_format="pandas")}, r"text \(.*string"),
        ({"train": training.select_columns(["target"])}, "no features"),
        ({"train": training, "valid": validation.drop_columns(["mean area"])}, "lacks features"),
        ({"train": air.data.from_items([1, 2, 3])}, "no columns: its rows are int"),
        ({"train": training.limit(0)}, "no rows|0 rows"),
        ({"train": training, "held-out": validation}, "Call it 'held_out'"),
        ({"train": training, "held out: b": validation}, "Call it 'held_out__b'"),
        ({"trian": training}, r"got \['trian'\]. Did you mean 'train'"),
        (
            {"train": training.rename_columns({"mean area": "mean <area>"})},
            "takes no feature with .* in its name, and the dataset 'train' has 'mean <area>'",
        ),
    ):
        with pytest.raises(InvalidOption, match=message):
            new_trainer(datasets=datasets).fit()


def _with_text(frame):
    frame["text"] = "a"
    return frame


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_dept": 3}, "XGBoost has no parameter 'max_dept'. Did you mean 'max_depth'"),
        ({"objective": "binary:logistc"}, "no objective.*Did you mean 'binary:logistic'"),
        ({"eval_metric": "loglos"}, "Unknown metric function loglos. Did you mean 'logloss'"),
        ({"eval_metrics": "logloss"}, "no parameter 'eval_metrics'. Did you mean 'eval_metric'"),
        ({"max_depth": "three"}, "refuses the params.*max_depth"),
        # How much is to be said must not hide what is to be said.
        ({"max_dept": 3, "verbosity": 0}, "Did you mean 'max_depth'"),
    ],
)
def test_params_are_judged_by_xgboost(new_trainer, params, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(params=params).fit()


@pytest.mark.parametrize(
    "of_no_use",
    [{"booster": "gblinear", "max_depth": 3}, {"rate_drop": 0.1}, {"feature_selector": "cyclic"}],
)
def test_params_of_no_use_with_a_booster_are_not_refused(new_trainer, of_no_use):
    params = {**PARAMS, **of_no_use}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # XGBoost's own, in the worker's process
        result = new_trainer(params=params).fit()
    assert result.metrics["training_iteration"] == 5


def test_a_checkpoint_holds_a_model_or_says_what_is_missing(new_trainer, tmp_path):
    model = new_trainer().fit().checkpoint.get_model()
    checkpoint = XGBoostCheckpoint.from_model(model)
    path = checkpoint.to_directory(tmp_path / "model")
    assert XGBoostCheckpoint.from_directory(path).get_model().get_dump() == model.get_dump()
    with pytest.raises(InvalidOption, match=r"no model\.ubj"):
        XGBoostCheckpoint.from_dict({"weights": 1}).get_model()


def test_a_run_can_be_read_back(new_trainer):
    rows = air.data.from_items([{"x": float(i), "target": i % 2} for i in range(8)])
    scaler = StandardScaler(columns=["x"])
    result = new_trainer(datasets={"train": rows}, preprocessor=scaler).fit()
    read = Result.from_path(result.path)
    assert read.metrics == result.metrics
    assert read.config == {
        "label_column": "target",
        "params": PARAMS,
        "dmatrix_params": {},
        "num_boost_round": 5,
    }
    assert read.checkpoint.get_model().num_boosted_rounds() == 5
    predictions = [
        BatchPredictor.from_checkpoint(each.checkpoint, XGBoostPredictor).predict(rows).take_all()
        for each in (result, read)
    ]
    assert predictions[0] == predictions[1]
    assert read.checkpoint.get_preprocessor().stats_ == result.checkpoint.get_preprocessor().stats_


def test_params_that_are_settings_of_the_process_end_with_the_run(new_trainer):
    before = xgboost.get_config()["verbosity"]
    new_trainer(params={**PARAMS, "verbosity": 0}).fit()
    assert xgboost.get_config()["verbosity"] == before


def test_workers_that_hold_gpus_train_on_them(new_trainer):
    job = new_trainer(scaling_config=ScalingConfig(use_gpu=True))._train_config()["job"]
    assert job.all_params == {**PARAMS, "nthread": 1, "device": "cuda"}
    given = new_trainer(
        scaling_config=ScalingConfig(use_gpu=True, resources_per_worker={"CPU": 3}),
        params={"device": "cpu", "n_jobs": 2},
    )
    assert given._train_config()["job"].all_params == {"device": "cpu", "n_jobs": 2}


def test_modules_to_load_in_advance_exist(new_trainer):
    modules = new_trainer().required_modules()
    assert {"xgboost", "air.data.dataset", "air.train.xgboost.worker"} <= set(modules)
    for name in modules:
        importlib.import_module(name)


def test_a_tuner_can_change_what_is_passed_on(new_trainer):
    trainer = new_trainer(early_stopping_rounds=2)
    variant = trainer.variant({"early_stopping_rounds": 5, "params": {"max_depth": 2}})
    assert variant.train_kwargs == {"early_stopping_rounds": 5}
    assert variant.params == {**PARAMS, "max_depth": 2}
    assert trainer.train_kwargs == {"early_stopping_rounds": 2}
    with pytest.raises(InvalidOption, match="early_stopping_rounds must be"):
        trainer.variant({"early_stopping_rounds": 0})


def test_the_program_that_trains_elsewhere_does_not_import_xgboost():
    code = (
        "import sys; from air.train.xgboost import XGBoostTrainer, XGBoostPredictor;"
        "assert 'xgboost' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_where_xgboost_is_missing_the_error_names_the_extra(new_trainer, monkeypatch, air_backend):
    if air_backend != "local":
        pytest.skip("it is there in the workers")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r'pip install "airloom\[xgboost\]"'):
        new_trainer().fit()


def test_boolean_columns_and_labels_are_numbers(air_backend):
    random = np.random.default_rng(0)
    flag = random.random(200) < 0.5
    table = pa.table({"flag": flag, "noise": random.random(200), "label": flag})
    result = XGBoostTrainer(
        datasets={"train": air.data.from_arrow(table)}, label_column="label", params=PARAMS
    ).fit()
    assert result.metrics["train-error"] == 0


def test_columns_of_any_kind_of_number_are_features(air_backend):
    numbers = np.arange(20)
    table = pa.table(
        {
            "half": numbers.astype(np.float16),
            "decimal": pa.array(numbers).cast(pa.decimal128(21, 1)),
            "integer": pa.array([None, *range(19)]),
            "empty": pa.nulls(20),
            "label": numbers % 3 == 0,
        }
    )
    frame = table.to_pandas().astype(float)
    matrix = xgboost.QuantileDMatrix(frame.drop(columns="label"), frame["label"])
    expected = {}
    xgboost.train(PARAMS, matrix, 3, evals=[(matrix, "train")], evals_result=expected)
    # As in a file of which only a part has any value: the type of the column is "null" there.
    valid = table.slice(0, 5).set_column(0, "half", pa.nulls(5))
    result = XGBoostTrainer(
        datasets={"train": air.data.from_arrow(table), "valid": air.data.from_arrow(valid)},
        label_column="label",
        params=PARAMS,
        num_boost_round=3,
    ).fit()
    found = result.metrics_dataframe
    assert found["train-logloss"].tolist() == expected["train"]["logloss"]
    assert found["valid-logloss"].notna().all()


def test_small_blocks_make_no_small_batches():
    tables = [pa.table({"x": range(start, start + 2)}) for start in range(0, 10, 2)]
    assert [t["x"].to_pylist() for t in batches(tables, 32)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert [t.num_rows for t in batches(tables, None)] == [10]
    assert [t.num_rows for t in batches(tables, 1)] == [2] * 5


@pytest.mark.parametrize("preprocessor", [None, StandardScaler(["mean radius"])])
def test_label_that_is_not_there_is_found_at_the_call(new_trainer, preprocessor):
    message = "label_column is 'tarjet', but the dataset 'train' has no such column. Did you mean"
    with pytest.raises(InvalidOption, match=message):
        new_trainer(label_column="tarjet", preprocessor=preprocessor)


def test_label_that_a_preprocessor_makes(new_trainer):
    rows = air.data.from_items([{"x": float(i), "kind": "ab"[i % 2]} for i in range(8)])
    trainer = new_trainer(
        datasets={"train": rows},
        label_column="kind_b",
        preprocessor=OneHotEncoder(["kind"]),
        num_boost_round=1,
    )
    assert "train-logloss" in trainer.fit().metrics


def test_dataset_without_rows_is_refused(new_trainer, breast_cancer):
    training, validation = breast_cancer
    trainer = new_trainer(datasets={"train": training, "valid": validation.limit(0)})
    with pytest.raises(InvalidOption, match="The dataset 'valid' has no rows"):
        trainer.fit()


def test_missing_labels_are_refused(new_trainer):
    rows = air.data.from_items([{"x": 1.0, "target": None if i == 3 else i % 2} for i in range(8)])
    trainer = new_trainer(datasets={"train": rows})
    with pytest.raises(InvalidOption, match="'target', which has missing values in the"):
        trainer.fit()


def test_what_xgboost_refuses_comes_without_its_stack(new_trainer):
    rows = air.data.from_items([{"x": float(i), "target": 5.0} for i in range(8)])
    with pytest.raises(xgboost.core.XGBoostError) as caught:
        new_trainer(datasets={"train": rows}).fit()
    message = str(caught.value)
    assert message.startswith("XGBoost cannot train on this data: base_score must be in (0,1)")
    with pytest.raises(xgboost.core.XGBoostError, match=r"Check failed: info\.labels_lower_bound_"):
        new_trainer(datasets={"train": rows}, params={"objective": "survival:aft"}).fit()
    assert "Stack trace" not in message
    assert "label_column is 'target'" in message


def test_storage_is_looked_at_before_anything_is_done(new_trainer, tmp_path):
    def fail(batch):
        raise AssertionError("the data were looked at")

    (tmp_path / "file").write_text("")
    rows = air.data.from_items([{"x": 1.0, "target": 0}]).map_batches(fail)
    config = RunConfig(storage_path=tmp_path / "file" / "below")
    trainer = new_trainer(datasets={"train": rows}, run_config=config)
    for run in (trainer.fit, Tuner(trainer).fit):
        with pytest.raises(NotADirectoryError, match=r"file is no directory.*AIR_RESULTS"):
            run()
