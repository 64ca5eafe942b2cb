from __future__ import annotations

import dataclasses
import os

import pytest

from air.config import (
    CheckpointConfig,
    DatasetConfig,
    FailureConfig,
    RunConfig,
    ScalingConfig,
)
from air.errors import InvalidOption


def test_a_scaling_config_says_what_to_reserve():
    scaling = ScalingConfig(num_workers=2)
    assert scaling.bundles == [{}, {"CPU": 1}, {"CPU": 1}]
    assert scaling.total_resources == {"CPU": 2}

    scaling = ScalingConfig(
        num_workers=2,
        use_gpu=True,
        resources_per_worker={"CPU": 3, "disk": 1},
        trainer_resources={"CPU": 0.5, "GPU": 0},
    )
    assert scaling.bundles == [{"CPU": 0.5}, *[{"CPU": 3, "GPU": 1, "disk": 1}] * 2]
    assert scaling.num_cpus_per_worker == 3
    assert scaling.num_gpus_per_worker == 1
    assert scaling.additional_resources_per_worker == {"disk": 1}
    assert scaling.total_resources == {"CPU": 6.5, "GPU": 2, "disk": 2}


def test_configs_are_values():
    assert ScalingConfig(num_workers=2) == ScalingConfig(num_workers=2)
    assert ScalingConfig(None, 2) == ScalingConfig(num_workers=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        FailureConfig().max_failures = 3  # type: ignore[misc]


def test_storage_is_under_the_home_directory_unless_told(monkeypatch, tmp_path):
    monkeypatch.delenv("AIR_RESULTS", raising=False)
    assert RunConfig().storage_dir == os.path.expanduser("~/air_results")
    monkeypatch.setenv("AIR_RESULTS", str(tmp_path))
    assert RunConfig().storage_dir == str(tmp_path)
    assert RunConfig(storage_path="/data/runs").storage_dir == "/data/runs"
    assert RunConfig(storage_path="~/x").storage_dir == os.path.expanduser("~/x")
    assert RunConfig(storage_path="file:///data/my runs").storage_dir == "/data/my runs"
    assert RunConfig(storage_path=tmp_path / "ü").storage_dir == str(tmp_path / "ü")
    monkeypatch.chdir(tmp_path)
    assert RunConfig(storage_path="runs").storage_dir == str(tmp_path / "runs")


def test_none_means_the_default_for_nested_configs():
    config = RunConfig(failure_config=None, checkpoint_config=None)  # type: ignore[arg-type]
    assert config == RunConfig()
    assert config.failure_config == FailureConfig(0)


def test_dataset_configs_are_laid_over_one_another():
    default = DatasetConfig(fit=False, split=True, required=False, transform=True)
    assert DatasetConfig(split=False).over(default) == DatasetConfig(
        fit=False, split=False, required=False, transform=True
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalingConfig(num_workers=0), r"num_workers must be a whole number >= 1, got 0"),
        (lambda: ScalingConfig(num_workers=True), "got True"),
        (lambda: ScalingConfig(num_worker=2), "Did you mean 'num_workers'"),
        (lambda: ScalingConfig(placement_strategy="PAK"), "Did you mean 'PACK'"),
        (lambda: ScalingConfig(use_gpu=1), "use_gpu must be True or False, got 1"),
        (lambda: ScalingConfig(resources_per_worker={"cpu": 1}), "is spelt 'CPU'"),
        (lambda: ScalingConfig(resources_per_worker={"CPU": -1}), r"\['CPU'\] must be .* >= 0"),
        (lambda: ScalingConfig(resources_per_worker={"GPU": 1}), "set use_gpu=True"),
        (lambda: ScalingConfig(use_gpu=True, resources_per_worker={"GPU": 0}), "contradicts"),
        (lambda: ScalingConfig(trainer_resources=2), "must be a dict"),
        (lambda: FailureConfig(max_failures=-2), ">= -1, got -2"),
        (lambda: FailureConfig(max_failure=1), "Did you mean 'max_failures'"),
        (lambda: CheckpointConfig(num_to_keep=0), "num_to_keep must be a whole number >= 1"),
        (lambda: CheckpointConfig(checkpoint_score_order="maximum"), "one of 'max', 'min'"),
        (lambda: CheckpointConfig(checkpoint_frequency=1.5), "must be a whole number"),
        (lambda: CheckpointConfig(checkpoint_at_end="yes"), "True or False"),
        (lambda: RunConfig(name="a/b"), "name of one directory"),
        (lambda: RunConfig(name=""), "non-empty"),
        (lambda: RunConfig(name="a\0b"), "name of one directory"),
        (lambda: RunConfig(storage_path="s3://bucket/x"), "directory on this machine"),
        (lambda: RunConfig(storage_path=3), "must be a directory's path, got 3"),
        (lambda: RunConfig(storage_path="a\0b"), "must be a directory's path"),
        (lambda: RunConfig(storage_path="file://"), "like 'file:///data/runs', got 'file://'"),
        (lambda: RunConfig(storage_path="file://data/runs"), "like 'file:///data/runs'"),
        (lambda: RunConfig(storage_path="file://elsewhere/data"), "directory on this machine"),
        (lambda: RunConfig(storage_path="~nobody-of-that-name/x"), "'~nobody-of-that-name' here"),
        (lambda: RunConfig(storage_path=b"/data"), "must be a directory's path, got b'/data'"),
        (lambda: RunConfig(stop=10), "must be a dict"),
        (lambda: RunConfig(stop=lambda metrics: True), "two arguments, the trial's id and its"),
        (lambda: RunConfig(stop={"loss": "low"}), r"stop\['loss'\] must be a number"),
        (
            lambda: RunConfig(failure_config={"max_failures": 1}),
            "must be a FailureConfig",
        ),
        (lambda: RunConfig(chekpoint_config=None), "Did you mean 'checkpoint_config'"),
        (lambda: DatasetConfig(split="yes"), "True or False"),
        (lambda: DatasetConfig(fit=True, transform=False), "leave one of the two out"),
    ],
)
def test_what_no_run_could_use_is_refused_when_it_is_written(make, message):
    with pytest.raises(InvalidOption, match=message):
        make()
