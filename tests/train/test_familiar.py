"""Programs of other toolkits move over: the same names, arguments, kinds and defaults.

What is not offered is refused by name, with what to do instead.
"""

from __future__ import annotations

import inspect
import re

import pytest

import air.data
from air import (
    Checkpoint,
    CheckpointConfig,
    DatasetConfig,
    FailureConfig,
    Result,
    RunConfig,
    ScalingConfig,
    train,
    tune,
)
from air.errors import InvalidOption
from air.train import BatchPredictor, Predictor
from air.train.xgboost import XGBoostCheckpoint, XGBoostPredictor, XGBoostTrainer
from air.tune import ResultGrid, TuneConfig, Tuner
from air.tune.search import BasicVariantGenerator

NEEDED = inspect.Parameter.empty
TRAINER = {
    "scaling_config": None,
    "run_config": None,
    "datasets": None,
    "preprocessor": None,
    "resume_from_checkpoint": None,
}
SCORING = {
    "feature_columns": None,
    "keep_columns": None,
    "batch_size": 4096,
    "min_scoring_workers": 1,
    "max_scoring_workers": None,
    "num_cpus_per_worker": None,
    "num_gpus_per_worker": None,
}


@pytest.mark.parametrize(
    ("function", "positional", "by_name"),
    [
        (Checkpoint, {"local_path": None, "data_dict": None, "uri": None}, {}),
        (Checkpoint.from_bytes, {"data": NEEDED}, {}),
        (Checkpoint.from_checkpoint, {"other": NEEDED}, {}),
        (Checkpoint.from_dict, {"data": NEEDED}, {}),
        (Checkpoint.from_directory, {"path": NEEDED}, {}),
        (Checkpoint.from_uri, {"uri": NEEDED}, {}),
        (Checkpoint.set_preprocessor, {"preprocessor": NEEDED}, {}),
        (Checkpoint.to_directory, {"path": None}, {}),
        (Checkpoint.to_uri, {"uri": NEEDED}, {}),
        (
            CheckpointConfig,
            {
                "num_to_keep": None,
                "checkpoint_score_attribute": None,
                "checkpoint_score_order": "max",
                "checkpoint_frequency": 0,
                "checkpoint_at_end": None,
            },
            {},
        ),
        (
            DatasetConfig,
            {"fit": None, "split": None, "required": None, "transform": None},
            {},
        ),
        (FailureConfig, {"max_failures": 0, "fail_fast": False}, {}),
        (Result.from_path, {"path": NEEDED}, {}),
        (Result.get_best_checkpoint, {"metric": NEEDED, "mode": NEEDED}, {}),
        (RunConfig, {"name": None, "storage_path": None}, {"stop": None}),
        (
            ScalingConfig,
            {
                "trainer_resources": None,
                "num_workers": None,
                "use_gpu": False,
                "resources_per_worker": None,
                "placement_strategy": "PACK",
            },
            {},
        ),
        (train.report, {"metrics": NEEDED}, {"checkpoint": None}),
        (train.get_dataset_shard, {"dataset_name": None}, {}),
        (train.BaseTrainer, {}, TRAINER),
        (
            train.DataParallelTrainer,
            {"train_loop_per_worker": NEEDED},
            {
                **TRAINER,
                "train_loop_config": None,
                "backend_config": None,
                "dataset_config": None,
            },
        ),
        (
            XGBoostTrainer,
            {},
            {
                **TRAINER,
                "datasets": NEEDED,
                "label_column": NEEDED,
                "params": NEEDED,
                "dmatrix_params": None,
                "num_boost_round": 10,
            },
        ),
        (XGBoostCheckpoint.from_model, {"booster": NEEDED}, {"preprocessor": None}),
        (Predictor, {"preprocessor": None}, {}),
        (Predictor.from_pandas_udf, {"pandas_udf": NEEDED}, {}),
        (XGBoostPredictor, {"model": NEEDED, "preprocessor": None}, {}),
        (XGBoostPredictor.from_checkpoint, {"checkpoint": NEEDED}, {}),
        (
            XGBoostPredictor.predict,
            {"data": NEEDED, "feature_columns": None, "dmatrix_kwargs": None},
            {},
        ),
        (BatchPredictor, {"checkpoint": NEEDED, "predictor_cls": NEEDED}, {}),
        (BatchPredictor.from_checkpoint, {"checkpoint": NEEDED, "predictor_cls": NEEDED}, {}),
        (BatchPredictor.predict, {"data": NEEDED}, SCORING),
        (
            Tuner,
            {"trainable": NEEDED},
            {"param_space": None, "tune_config": None, "run_config": None},
        ),
        (
            Tuner.restore,
            {
                "path": NEEDED,
                "trainable": NEEDED,
                "resume_unfinished": True,
                "resume_errored": False,
                "restart_errored": False,
                "param_space": None,
            },
            {},
        ),
        (
            TuneConfig,
            {
                "mode": None,
                "metric": None,
                "search_alg": None,
                "scheduler": None,
                "num_samples": 1,
                "max_concurrent_trials": None,
                "time_budget_s": None,
                "reuse_actors": None,
                "trial_name_creator": None,
            },
            {},
        ),
        (
            ResultGrid.get_best_result,
            {"metric": None, "mode": None, "scope": "last", "filter_nan_and_inf": True},
            {},
        ),
        (ResultGrid.get_dataframe, {"filter_metric": None, "filter_mode": None}, {}),
        (
            BasicVariantGenerator,
            {
                "points_to_evaluate": None,
                "max_concurrent": 0,
                "constant_grid_search": False,
                "random_state": None,
            },
            {},
        ),
        (tune.choice, {"categories": NEEDED}, {}),
        (tune.grid_search, {"values": NEEDED}, {}),
        (tune.lograndint, {"lower": NEEDED, "upper": NEEDED, "base": 10}, {}),
        (tune.loguniform, {"lower": NEEDED, "upper": NEEDED, "base": 10}, {}),
        (tune.qlograndint, {"lower": NEEDED, "upper": NEEDED, "q": NEEDED, "base": 10}, {}),
        (tune.qloguniform, {"lower": NEEDED, "upper": NEEDED, "q": NEEDED, "base": 10}, {}),
        (tune.qrandint, {"lower": NEEDED, "upper": NEEDED, "q": 1}, {}),
        (tune.qrandn, {"mean": NEEDED, "sd": NEEDED, "q": NEEDED}, {}),
        (tune.quniform, {"lower": NEEDED, "upper": NEEDED, "q": NEEDED}, {}),
        (tune.randint, {"lower": NEEDED, "upper": NEEDED}, {}),
        (tune.randn, {"mean": 0.0, "sd": 1.0}, {}),
        (tune.sample_from, {"func": NEEDED}, {}),
        (tune.uniform, {"lower": NEEDED, "upper": NEEDED}, {}),
        (tune.with_resources, {"trainable": NEEDED, "resources": NEEDED}, {}),
    ],
)
def test_arguments_have_their_usual_names_kinds_and_defaults(function, positional, by_name):
    parameters = [
        each for name, each in inspect.signature(function).parameters.items() if name != "self"
    ]
    by_position = {
        each.name: each.default
        for each in parameters
        if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    keywords = {
        each.name: each.default
        for each in parameters
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert list(by_position.items()) == list(positional.items())
    assert {name: keywords.get(name, "not there") for name in by_name} == by_name


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (
            Result,
            "metrics metrics_dataframe checkpoint best_checkpoints error path config log_dir",
        ),
        (ResultGrid, "errors experiment_path num_errors num_terminated"),
        (ScalingConfig, "additional_resources_per_worker total_resources"),
        (ScalingConfig, "num_cpus_per_worker num_gpus_per_worker"),
        (Checkpoint, "path uri"),
    ],
)
def test_results_are_found_under_their_usual_names(cls, names):
    fields = getattr(cls, "__dataclass_fields__", {})
    assert [name for name in names.split() if not (hasattr(cls, name) or name in fields)] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RunConfig(local_dir="x"), "'local_dir': it is called storage_path"),
        (lambda: RunConfig(verbose=0), "'verbose': progress goes to the standard error stream"),
        (lambda: RunConfig(callbacks=[]), "'callbacks': a function given as stop sees every"),
        (lambda: RunConfig(sync_config=None), "'sync_config': runs are kept on this machine"),
        (lambda: RunConfig(log_to_file=True), "'log_to_file': what workers print comes out"),
        (lambda: TuneConfig(chdir_to_trial_dir=False), "belong into air.train.get_trial_dir()"),
        (lambda: TuneConfig(trial_dirname_creator=str), "use trial_name_creator"),
        (lambda: DatasetConfig(global_shuffle=True), "shuffle the dataset before"),
        (lambda: DatasetConfig(use_stream_api=True), "read batch by batch in any case"),
        (lambda: RunConfig(sotrage_path="x"), "Did you mean 'storage_path'?"),
        (lambda: score(separate_gpu_stage=False), "'separate_gpu_stage': each scoring process"),
        (lambda: score(ray_remote_args={}), "'ray_remote_args': use num_cpus_per_worker"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_to_do_instead(call, message):
    with pytest.raises(InvalidOption, match=re.escape(message)):
        call()


def score(**options):
    predictor = BatchPredictor.from_pandas_udf(lambda frame: frame)
    return predictor.predict(air.data.from_items([{"a": 1}]), **options)
