from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import pickle
import resource
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import cloudpickle
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
)
from air.data.preprocessors import MinMaxScaler
from air.errors import InvalidOption, SerializationError, TaskError, Unschedulable
from air.train import BaseTrainer, DataParallelTrainer
from air.train.session import Session, StopTraining, install
from air.tune import Tuner


@pytest.fixture
def numbers(air_backend):
    return air.data.from_items([{"x": i} for i in range(10)])


def count_down(config):
    """Reports and checkpoints `steps` times, going on from the checkpoint."""
    checkpoint = train.get_checkpoint()
    done = 0 if checkpoint is None else checkpoint.to_dict()["done"]
    for step in range(done, config["steps"]):
        if step == config.get("fail_at") and checkpoint is None:
            raise LookupError("no such step")
        state = Checkpoint.from_dict({"done": step + 1})
        train.report({"loss": 1 / (step + 1)}, checkpoint=state)


def test_a_training_function_reports_rows_and_checkpoints(air_backend, storage):
    trainer = DataParallelTrainer(
        count_down, train_loop_config={"steps": 3}, run_config=RunConfig(name="run")
    )
    result = trainer.fit()
    assert result.metrics["loss"] == pytest.approx(1 / 3)
    assert result.metrics["training_iteration"] == 3
    assert result.checkpoint.to_dict() == {"done": 3}
    assert result.config == {"train_loop_config": {"steps": 3}}
    assert result.error is None
    assert result.path == str(storage / "run")
    assert result.metrics_dataframe["loss"].tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert json.loads(Path(result.path, "params.json").read_text()) == result.config
    assert Result.from_path(result.path).metrics == result.metrics


def test_a_trainer_can_be_fitted_again(air_backend, storage):
    trainer = DataParallelTrainer(count_down, train_loop_config={"steps": 1})
    assert trainer.fit().path != trainer.fit().path
    named = DataParallelTrainer(
        count_down, train_loop_config={"steps": 1}, run_config=RunConfig(name="run")
    )
    assert [Path(named.fit().path).name for _ in range(2)] == ["run", "run-2"]


def test_the_config_is_optional_and_so_are_reports(air_backend):
    calls = []
    result = DataParallelTrainer(lambda: calls.append(1)).fit()
    assert result.metrics == {}
    assert result.checkpoint is None


def supplies(value):
    """A decorator that gives one more argument than the caller does."""

    def decorate(function):
        @functools.wraps(function)
        def call(*args):
            return function(*args, value)

        return call

    return decorate


def test_decorators_may_supply_arguments(air_backend):
    @supplies(7)
    def with_config(config, value):
        train.report({"x": config["x"] + value})

    result = DataParallelTrainer(with_config, train_loop_config={"x": 1}).fit()
    assert result.metrics["x"] == 8


def test_the_function_sees_its_place_and_its_data(numbers):
    def look():
        shard = train.get_dataset_shard("train")
        train.report(
            {
                "rank": train.get_world_rank(),
                "size": train.get_world_size(),
                "local": (train.get_local_rank(), train.get_local_world_size()),
                "node": train.get_node_rank(),
                "x": [row["x"] for row in shard.iter_rows()],
                "whole": train.get_dataset_shard("other").count(),
                "name": train.get_trial_name(),
                "dir": train.get_trial_dir(),
                "resources": train.get_trial_resources(),
            }
        )

    result = DataParallelTrainer(
        look,
        datasets={"train": numbers, "other": numbers},
        scaling_config=ScalingConfig(num_workers=2),
    ).fit()
    seen = result.metrics
    assert (seen["rank"], seen["node"]) == (0, 0)
    assert seen["x"] == list(range(10 // seen["size"]))
    assert seen["whole"] == 10
    assert seen["name"] == os.path.basename(result.path)
    assert seen["dir"] == result.path
    assert seen["resources"] == [{}, {"CPU": 1}, {"CPU": 1}]


def test_on_one_thread_there_is_one_worker_in_the_calling_thread(air_local, caplog):
    from air.train import start_workers

    start_workers._say_one_worker.cache_clear()

    def note():
        train.report({"thread": threading.get_ident(), "size": train.get_world_size()})

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            trainer = DataParallelTrainer(note, scaling_config=ScalingConfig(num_workers=3))
            seen = trainer.fit().metrics
            assert (seen["thread"], seen["size"]) == (threading.get_ident(), 1)
    assert [r.message for r in caplog.records if "one worker" in r.message] == [
        "The backend 'local' runs everything in this thread: trainers run with one worker here."
    ]


def mutate(config):
    config["seen"].append(1)
    train.report({"seen": len(config["seen"])})


def test_a_fit_leaves_the_trainer_and_what_it_was_given_as_they_were(numbers):
    scaler, config = MinMaxScaler(["x"]), {"seen": []}
    trainer = DataParallelTrainer(
        mutate, train_loop_config=config, datasets={"train": numbers}, preprocessor=scaler
    )
    before = dict(vars(trainer))
    for _ in range(2):
        assert trainer.fit().metrics["seen"] == 1
    assert vars(trainer) == before
    assert config == {"seen": []}
    assert scaler.fit_status() is scaler.FitStatus.NOT_FITTED
    again = pickle.loads(cloudpickle.dumps(trainer))
    assert again.fit().metrics["seen"] == 1


def test_the_users_exception_is_a_task_error_too(air_backend):
    trainer = DataParallelTrainer(count_down, train_loop_config={"steps": 1, "fail_at": 0})
    with pytest.raises(TaskError) as caught:
        trainer.fit()
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value.cause, LookupError)


def test_sys_exit_in_a_training_function_does_not_end_the_program(air_backend):
    with pytest.raises(TaskError, match=r"SystemExit\(3\)"):
        DataParallelTrainer(lambda: sys.exit(3)).fit()


def test_an_error_of_a_stop_function_is_not_the_training_functions(air_backend):
    def stop(trial_id, metrics):
        raise LookupError("in stop")

    def swallow():
        with contextlib.suppress(Exception):
            train.report({"a": 1})

    with pytest.raises(LookupError, match="in stop") as caught:
        DataParallelTrainer(swallow, run_config=RunConfig(stop=stop)).fit()
    assert not isinstance(caught.value, TaskError)


def test_an_interrupted_run_says_where_it_is_kept(air_backend, storage):
    def interrupt(trial_id, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        DataParallelTrainer(
            count_down,
            train_loop_config={"steps": 3},
            run_config=RunConfig(name="run", stop=interrupt),
        ).fit()
    assert str(storage / "run") in caught.value.__notes__[-1]
    kept = Result.from_path(storage / "run")
    assert kept.checkpoint.to_dict() == {"done": 1}
    assert kept.error is None


def test_the_users_exception_arrives_as_itself_and_is_kept(air_backend, storage):
    trainer = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 3, "fail_at": 2},
        run_config=RunConfig(name="run"),
    )
    with pytest.raises(LookupError, match="no such step") as caught:
        trainer.fit()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "count_down"
    assert str(storage / "run") in caught.value.__notes__[-1]
    kept = Result.from_path(storage / "run")
    assert isinstance(kept.error, LookupError)
    assert kept.metrics["training_iteration"] == 2
    assert kept.checkpoint.to_dict() == {"done": 2}


def test_a_failed_run_goes_on_from_its_last_checkpoint(air_backend):
    result = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 4, "fail_at": 2},
        run_config=RunConfig(failure_config=FailureConfig(max_failures=1)),
    ).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4]
    assert result.checkpoint.to_dict() == {"done": 4}
    assert not Path(result.path, "error.txt").exists()


def test_failures_are_used_up(air_backend):
    def fail():
        train.report({"a": 1})
        raise LookupError("again")

    with pytest.raises(LookupError):
        DataParallelTrainer(
            fail, run_config=RunConfig(failure_config=FailureConfig(max_failures=2))
        ).fit()


def test_training_goes_on_from_a_given_checkpoint(air_backend):
    result = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 3},
        resume_from_checkpoint=Checkpoint.from_dict({"done": 2}),
    ).fit()
    assert len(result.metrics_dataframe) == 1


def test_a_stop_criterion_ends_the_run(air_backend):
    ended = []

    def forever():
        try:
            while True:
                train.report({"loss": 1.0})
        finally:
            ended.append(True)

    result = DataParallelTrainer(
        forever, run_config=RunConfig(stop={"training_iteration": 3})
    ).fit()
    assert result.metrics["training_iteration"] == 3
    result = DataParallelTrainer(
        forever, run_config=RunConfig(stop=lambda _, metrics: metrics["training_iteration"] == 2)
    ).fit()
    assert result.metrics["training_iteration"] == 2


@contextlib.contextmanager
def no_file_above(num_bytes):
    """As on a disk that is full: what would make a file of this process larger fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def report_much():
    for step in range(100):
        train.report({"step": step, "text": "x" * 1000})


def test_on_a_full_disk_the_whole_rows_stay(air_backend, storage):
    trainer = DataParallelTrainer(report_much, run_config=RunConfig(name="run"))
    with pytest.raises(OSError, match="File too large") as caught, no_file_above(10_000):
        trainer.fit()
    assert str(storage / "run") in caught.value.__notes__[-1]
    read = Result.from_path(storage / "run")
    assert read.metrics["step"] == len(read.metrics_dataframe) - 1 == 7
    assert (storage / "run" / "result.json").read_bytes().endswith(b"\n")


def test_what_cannot_be_begun_on_a_full_disk_leaves_nothing(air_backend, storage):
    trainer = DataParallelTrainer(report_much, run_config=RunConfig(name="run"))
    for run in (trainer.fit, Tuner(trainer).fit):
        with pytest.raises(OSError, match=r"File too large.*AIR_RESULTS.*run"), no_file_above(0):
            run()
        assert not list(storage.iterdir())


def test_what_a_function_does_after_it_was_stopped_does_not_count(air_backend):
    def stubborn():
        for _ in range(9):
            with contextlib.suppress(BaseException):
                train.report({"loss": 1.0})
        raise LookupError("after the end")

    class Stubborn(BaseTrainer):
        def training_loop(self):
            stubborn()

    config = RunConfig(stop={"training_iteration": 3}, failure_config=FailureConfig(max_failures=1))
    for trainer in (DataParallelTrainer(stubborn, run_config=config), Stubborn(run_config=config)):
        result = trainer.fit()
        assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3]
        grid = Tuner(trainer).fit()
        assert grid[0].metrics_dataframe["training_iteration"].tolist() == [1, 2, 3]
        assert grid.errors == []


def test_checkpoints_are_kept_by_score(air_backend):
    result = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 4},
        run_config=RunConfig(
            checkpoint_config=CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="loss", checkpoint_score_order="max"
            )
        ),
    ).fit()
    assert [c.to_dict()["done"] for c, _ in result.best_checkpoints] == [1, 4]
    assert result.get_best_checkpoint("loss", "max").to_dict() == {"done": 1}


def test_a_directory_that_is_deleted_after_the_report_has_been_copied(air_backend, tmp_path):
    def save():
        import tempfile

        with tempfile.TemporaryDirectory() as path:
            Path(path, "weights").write_text("1 2 3")
            train.report({"a": 1}, checkpoint=Checkpoint.from_directory(path))

    result = DataParallelTrainer(save).fit()
    assert Path(result.checkpoint.path, "weights").read_text() == "1 2 3"


class Squares(BaseTrainer):
    def setup(self):
        self.factor = 2

    def training_loop(self):
        for row in self.datasets["train"].iter_rows():
            train.report({"square": self.factor * row["x"] ** 2})


def test_a_trainer_of_ones_own(numbers):
    result = Squares(datasets={"train": numbers}, run_config=RunConfig(name="squares")).fit()
    assert result.metrics["square"] == 162
    assert result.metrics["training_iteration"] == 10


class Scaled(BaseTrainer):
    def training_loop(self):
        total = sum(row["x"] for row in self.datasets["train"].iter_rows())
        train.report({"total": total})


def test_datasets_are_preprocessed_by_what_was_learnt_from_train(numbers):
    scaler = MinMaxScaler(["x"])
    result = Scaled(datasets={"train": numbers}, preprocessor=scaler).fit()
    assert result.metrics["total"] == pytest.approx(5)
    half = air.data.from_items([{"x": i} for i in range(5)])
    fitted = MinMaxScaler(["x"]).fit(half)
    result = Scaled(datasets={"train": numbers}, preprocessor=fitted).fit()
    assert result.metrics["total"] == pytest.approx(45 / 4)
    with pytest.raises(InvalidOption, match='no dataset "train" to fit it on'):
        Scaled(datasets={"other": numbers}, preprocessor=MinMaxScaler(["x"])).fit()


def test_dataset_configs_say_what_is_done_with_each(numbers):
    def look():
        x = {name: [row["x"] for row in train.get_dataset_shard(name).iter_rows()] for name in "ab"}
        train.report(x)

    result = DataParallelTrainer(
        look,
        datasets={"a": numbers, "b": numbers},
        dataset_config={"a": DatasetConfig(fit=True), "b": DatasetConfig(transform=False)},
        preprocessor=MinMaxScaler(["x"]),
    ).fit()
    assert result.metrics["a"] == pytest.approx([i / 9 for i in range(10)])
    assert result.metrics["b"] == list(range(10))


def test_as_trainable_reports_to_the_session_that_it_is_called_in(air_backend):
    rows = []
    trainable = DataParallelTrainer(count_down, train_loop_config={"steps": 2}).as_trainable()
    with install(Session(lambda metrics, checkpoint: rows.append((metrics, checkpoint)))):
        trainable({"train_loop_config": {"steps": 3}})
    assert [metrics["loss"] for metrics, _ in rows] == pytest.approx([1, 1 / 2, 1 / 3])

    def stop_at_once(metrics, checkpoint):
        rows.append(metrics)
        raise StopTraining

    rows.clear()
    with install(Session(stop_at_once)):
        trainable({})
    assert len(rows) == 1


def test_a_trials_config_changes_parameters_and_the_rest_stays():
    trainer = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 2, "opt": {"lr": 0.1, "momentum": 0.9}},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 2}),
    )
    changed = trainer.variant(
        {"train_loop_config": {"opt": {"lr": 0.5}}, "scaling_config": {"num_workers": 3}}
    )
    assert changed.train_loop_config == {"steps": 2, "opt": {"lr": 0.5, "momentum": 0.9}}
    assert changed.scaling_config == ScalingConfig(num_workers=3, resources_per_worker={"CPU": 2})
    assert trainer.train_loop_config["opt"]["lr"] == 0.1
    one = trainer.variant({"scaling_config": {"num_workers": 1}})
    assert one.scaling_config.bundles == [{}, {"CPU": 2}]
    with pytest.raises(InvalidOption, match=r"no parameter 'train_config'.*'train_loop_config'"):
        trainer.variant({"train_config": {}})
    with pytest.raises(InvalidOption, match="num_workers must be"):
        trainer.variant({"scaling_config": {"num_workers": 0}})


def test_what_is_trained_with_cannot_be_the_run_config(air_backend):
    with pytest.raises(InvalidOption, match=r"no parameter 'run_config'.*Give it to the Tuner"):
        DataParallelTrainer(count_down).variant({"run_config": RunConfig()})


class CountsFits(MinMaxScaler):
    """Leaves a mark each time that it is fitted."""

    def __init__(self, columns, directory):
        super().__init__(columns)
        self.directory = directory

    def _fit(self, ds):
        Path(tempfile.mkdtemp(dir=self.directory))
        super()._fit(ds)


def test_variants_of_a_preprocessed_trainer_share_its_datasets(numbers, tmp_path):
    def total():
        x = [row["x"] for row in train.get_dataset_shard("train").iter_rows()]
        train.report({"total": sum(x)})

    trainer = DataParallelTrainer(
        total, datasets={"train": numbers}, preprocessor=CountsFits(["x"], str(tmp_path))
    )
    ready = trainer.preprocessed()
    assert len(list(tmp_path.iterdir())) == 1
    assert ready.preprocessor.stats_
    assert ready.datasets["train"].is_materialized
    totals = []

    def total_of(config):
        with install(Session(lambda metrics, checkpoint: totals.append(metrics["total"]))):
            ready.as_trainable()(config)
        return totals[-1]

    assert total_of({}) == total_of({"scaling_config": {"num_workers": 1}}) == pytest.approx(5)
    assert len(list(tmp_path.iterdir())) == 1
    half = air.data.from_items([{"x": i} for i in range(5)])
    assert total_of({"datasets": {"train": half}}) == pytest.approx(2.5)
    assert len(list(tmp_path.iterdir())) == 2
    assert total_of({"preprocessor": None}) == 45
    assert ready.fit().metrics["total"] == pytest.approx(5)


def test_a_trainer_that_prepares_in_its_own_way_does_so_in_every_run(numbers):
    ready = Squares(datasets={"train": numbers}).preprocessed()
    assert ready.variant({}).fit().metrics["square"] == 162


def test_fewer_rows_than_workers_is_an_error_that_says_so(air_backend):
    if air_backend == "local":
        pytest.skip("there is one worker")
    one = air.data.from_items([{"x": 1}])
    trainer = DataParallelTrainer(
        count_down, datasets={"train": one}, scaling_config=ScalingConfig(num_workers=2)
    )
    with pytest.raises(InvalidOption, match="1 row for 2 workers"):
        trainer.fit()


def refuse(config):
    train.get_dataset_shard("nowhere")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: DataParallelTrainer(count_down, datasets={"train": air.data.range(0)}),
            InvalidOption,
            "The dataset 'train' has no rows",
        ),
        (
            lambda: DataParallelTrainer(
                count_down, datasets={"train": air.data.range(3), "valid": air.data.range(0)}
            ),
            InvalidOption,
            "The dataset 'valid' has no rows: leave it out",
        ),
        (lambda: DataParallelTrainer(refuse), InvalidOption, "given no datasets"),
        (
            lambda: DataParallelTrainer(_with_a_lock()),
            SerializationError,
            r"the training function: closed.__closure__\['lock'\] is a _thread.lock",
        ),
        (
            lambda: DataParallelTrainer(count_down, train_loop_config={"a": threading.Lock()}),
            SerializationError,
            r"the config of the training function: value\['a'\] is a _thread.lock",
        ),
        (
            lambda: DataParallelTrainer(
                count_down, scaling_config=ScalingConfig(num_workers=2, use_gpu=True)
            ),
            Unschedulable,
            "GPU",
        ),
        (
            lambda: DataParallelTrainer(
                count_down, scaling_config=ScalingConfig(resources_per_worker={"CPU": 1, "tpu": 2})
            ),
            Unschedulable,
            "tpu",
        ),
    ],
)
def test_a_run_that_cannot_be_begun_leaves_nothing(air_backend, storage, make, error, message):
    with pytest.raises(error, match=message) as caught:
        make().fit()
    assert not storage.exists() or not list(storage.iterdir())
    if error is Unschedulable:
        assert "ScalingConfig asks for num_workers=" in caught.value.__notes__[0]


def _with_a_lock():
    lock = threading.Lock()

    def closed(config):
        return lock

    return closed


@pytest.mark.parametrize("holds", [{"CPU": 0}, {"CPU": 0.5, "memory": 1e6}])
def test_workers_may_hold_little_or_nothing(air_backend, holds):
    trainer = DataParallelTrainer(
        count_down,
        train_loop_config={"steps": 1},
        scaling_config=ScalingConfig(num_workers=3, resources_per_worker=holds),
    )
    assert trainer.fit().metrics["loss"] == 1


def test_invalid_options_are_not_tried_again(air_backend, caplog):
    def misuse():
        train.get_dataset_shard("nowhere")

    with pytest.raises(InvalidOption, match="given no datasets"):
        DataParallelTrainer(
            misuse, run_config=RunConfig(failure_config=FailureConfig(max_failures=5))
        ).fit()
    assert not [record for record in caplog.records if "starts again" in record.message]


def yields():
    yield 1


async def awaits(config):
    pass


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"datasets": {"train": [1, 2]}}, InvalidOption, "must be an air.data.Dataset, got list"),
        ({"datasets": [1]}, InvalidOption, "must be a dict"),
        ({"scaling_config": {"num_workers": 1}}, InvalidOption, "must be a ScalingConfig"),
        ({"run_config": "x"}, InvalidOption, "must be a RunConfig"),
        ({"resume_from_checkpoint": "/x"}, InvalidOption, "must be a Checkpoint"),
        ({"preprocessor": "scale"}, InvalidOption, "preprocessor must be"),
        ({"train_loop_config": [1]}, InvalidOption, "train_loop_config must be a dict"),
        ({"backend_config": 1}, InvalidOption, "must be a BackendConfig"),
        ({"train_loop_per_worker": 1}, InvalidOption, "must be a function"),
        ({"train_loop_per_worker": yields}, TypeError, "plain function, and yields is a generator"),
        ({"train_loop_per_worker": awaits}, TypeError, "and awaits is a coroutine function"),
        ({"train_loop_per_worker": lambda a, b: 1}, TypeError, "one argument, its config, or none"),
        ({"train_loop_confg": {}}, InvalidOption, "Did you mean 'train_loop_config'"),
        (
            {"dataset_config": {"train": DatasetConfig(split=False)}},
            InvalidOption,
            "none of the datasets",
        ),
        (
            {"dataset_config": {"train": DatasetConfig(required=True)}},
            InvalidOption,
            "'train' is required",
        ),
        (
            {"run_config": RunConfig(checkpoint_config=CheckpointConfig(checkpoint_frequency=1))},
            InvalidOption,
            "for trainers that make checkpoints themselves",
        ),
    ],
)
def test_bad_arguments_are_refused_at_once(options, error, message, storage):
    arguments = {"train_loop_per_worker": count_down, **options}
    with pytest.raises(error, match=message):
        DataParallelTrainer(**arguments)
    assert not storage.exists()


def test_base_trainer_is_to_be_derived_from():
    with pytest.raises(NotImplementedError, match="DataParallelTrainer"):
        BaseTrainer()
