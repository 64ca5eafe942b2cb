"""Workers that are processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

import air
import air.data
from air import Checkpoint, FailureConfig, RunConfig, ScalingConfig, train
from air.errors import ActorDied, Unschedulable
from air.train import DataParallelTrainer, actor_workers

pytestmark = pytest.mark.usefixtures("air_cluster")

TWO = ScalingConfig(num_workers=2)


def wait_until_gone(*pids):
    """Wait for processes to end; fails if they do not."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(timeout=10)


@air.remote(num_cpus=2)
def hold_everything():
    """Runs as soon as nothing else holds a CPU."""
    return True


def note(directory, **seen):
    """Leave what a worker saw where the test finds it, by its rank."""
    lines = [f"{name}={value}" for name, value in seen.items()]
    Path(directory, str(train.get_world_rank())).write_text("\n".join(lines))


def read_notes(directory):
    notes = {}
    for path in Path(directory).iterdir():
        notes[int(path.name)] = dict(line.split("=", 1) for line in path.read_text().splitlines())
    return notes


@pytest.fixture
def notes(tmp_path):
    directory = tmp_path / "notes"
    directory.mkdir()
    return directory


def look(config):
    rows = [row["x"] for row in train.get_dataset_shard("train").iter_rows()]
    note(
        config["notes"],
        pid=os.getpid(),
        rows=rows,
        place=(train.get_local_rank(), train.get_local_world_size(), train.get_node_rank()),
    )
    train.report({"rank": train.get_world_rank()})


def test_every_worker_is_a_process_with_its_part_of_the_rows(notes):
    data = air.data.from_items([{"x": i} for i in range(5)])
    result = DataParallelTrainer(
        look,
        train_loop_config={"notes": str(notes)},
        datasets={"train": data},
        scaling_config=TWO,
    ).fit()
    seen = read_notes(notes)
    assert [seen[rank]["rows"] for rank in (0, 1)] == ["[0, 1]", "[2, 3, 4]"]
    assert [seen[rank]["place"] for rank in (0, 1)] == ["(0, 2, 0)", "(1, 2, 0)"]
    assert len({seen[0]["pid"], seen[1]["pid"], str(os.getpid())}) == 3
    assert len(result.metrics_dataframe) == 1
    assert result.metrics["rank"] == 0


class SecondWorkerError(Exception):
    pass


def fail_in_the_second(config):
    note(config["notes"], pid=os.getpid())
    if train.get_world_rank() == 1:
        raise SecondWorkerError("rank 1 has enough")
    while True:
        train.report({"a": 1})


def test_one_workers_failure_ends_the_others_and_arrives_as_itself(notes):
    trainer = DataParallelTrainer(
        fail_in_the_second, train_loop_config={"notes": str(notes)}, scaling_config=TWO
    )
    with pytest.raises(SecondWorkerError, match="has enough") as caught:
        trainer.fit()
    assert "(raised in training worker 1 of 2)" in caught.value.__notes__
    wait_until_gone(*(int(seen["pid"]) for seen in read_notes(notes).values()))
    assert air.get(hold_everything.remote(), timeout=20)


def kill_the_second(config):
    """Unless it goes on from a checkpoint, rank 1 dies once rank 0 has reported twice."""
    checkpoint = train.get_checkpoint()
    done = 0 if checkpoint is None else checkpoint.to_dict()["done"]
    if train.get_world_rank() == 1:
        if checkpoint is None:
            Path(config["fifo"]).read_text()  # waits for what rank 0 writes
            os.kill(os.getpid(), signal.SIGKILL)
        return
    for step in range(done, 4):
        if step == 2 and checkpoint is None:
            Path(config["fifo"]).write_text("now")
            signal.pause()
        train.report({"step": step}, checkpoint=Checkpoint.from_dict({"done": step + 1}))


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


def test_a_worker_that_is_killed_fails_the_run(fifo):
    trainer = DataParallelTrainer(
        kill_the_second, train_loop_config={"fifo": fifo}, scaling_config=TWO
    )
    with pytest.raises(ActorDied) as caught:
        trainer.fit()
    assert "(raised in training worker 1 of 2)" in caught.value.__notes__


def test_after_a_worker_was_killed_training_goes_on_from_the_last_checkpoint(fifo):
    result = DataParallelTrainer(
        kill_the_second,
        train_loop_config={"fifo": fifo},
        scaling_config=TWO,
        run_config=RunConfig(failure_config=FailureConfig(max_failures=1)),
    ).fit()
    assert result.metrics_dataframe["step"].tolist() == [0, 1, 2, 3]
    assert result.checkpoint.to_dict() == {"done": 4}


def report_for_ever():
    while True:
        train.report({"a": 1})


def test_a_stop_criterion_ends_all_workers():
    result = DataParallelTrainer(
        report_for_ever,
        scaling_config=TWO,
        run_config=RunConfig(stop={"training_iteration": 3}),
    ).fit()
    assert result.metrics["training_iteration"] == 3
    assert air.get(hold_everything.remote(), timeout=20)


def never_stop():
    while True:
        with contextlib.suppress(BaseException):
            train.report({"a": 1})


def test_workers_that_cannot_be_told_to_stop_are_ended(monkeypatch):
    monkeypatch.setattr(actor_workers, "STOP_GRACE_S", 0.1)
    result = DataParallelTrainer(
        never_stop, scaling_config=TWO, run_config=RunConfig(stop={"training_iteration": 2})
    ).fit()
    assert result.metrics["training_iteration"] == 2
    assert air.get(hold_everything.remote(), timeout=20)


def save_a_directory():
    import tempfile

    with tempfile.TemporaryDirectory() as path:
        Path(path, "weights").write_text("1 2 3")
        train.report({"a": 1}, checkpoint=Checkpoint.from_directory(path))


def test_a_workers_checkpoint_directory_is_copied_before_the_report_returns():
    result = DataParallelTrainer(save_a_directory, scaling_config=TWO).fit()
    assert Path(result.checkpoint.path, "weights").read_text() == "1 2 3"


def test_more_workers_than_the_cluster_can_hold_is_an_error_at_once():
    with pytest.raises(Unschedulable):
        DataParallelTrainer(report_for_ever, scaling_config=ScalingConfig(num_workers=99)).fit()
