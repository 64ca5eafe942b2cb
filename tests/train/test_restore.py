"""Going on with a run that failed, or whose program was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import xgboost

import air.data
from air import Checkpoint, CheckpointConfig, Result, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.train import DataParallelTrainer, get_checkpoint, get_dataset_shard, report
from air.train.restoring import TRAINER_FILE
from air.train.xgboost import XGBoostTrainer


class Broken(Exception):
    pass


def count(config):
    """Six steps, each with what the rows come to; a checkpoint after every second one."""
    checkpoint = get_checkpoint()
    begin = checkpoint.to_dict()["step"] if checkpoint else 0
    rows = get_dataset_shard("train").count()
    for step in range(begin + 1, 7):
        if step == config["fails_at"]:
            raise Broken(f"at {step}")
        kept = Checkpoint.from_dict({"step": step}) if step % 2 == 0 else None
        report({"step": step, "rows": rows, "began at": begin}, checkpoint=kept)


@pytest.fixture
def rows(air_backend):
    return air.data.range(10)


def failed_run(rows, storage, fails_at, **options):
    trainer = DataParallelTrainer(
        count,
        train_loop_config={"fails_at": fails_at},
        datasets={"train": rows},
        run_config=RunConfig(name="counts"),
        **options,
    )
    with pytest.raises(Broken, match=f"at {fails_at}"):
        trainer.fit()
    return storage / "counts"


def test_a_run_goes_on_from_its_last_checkpoint(rows, storage):
    path = failed_run(rows, storage, fails_at=4)
    assert DataParallelTrainer.can_restore(path)
    assert Result.from_path(path).error is not None
    trainer = DataParallelTrainer.restore(
        path, datasets={"train": rows}, train_loop_config={"fails_at": None}
    )
    result = trainer.fit()
    frame = result.metrics_dataframe
    assert result.path == str(path)
    assert frame["step"].tolist() == frame["training_iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["began at"].tolist() == [0, 0, 2, 2, 2, 2]
    assert frame["trial_id"].nunique() == 1
    assert frame["time_total_s"].is_monotonic_increasing
    assert result.checkpoint.to_dict()["step"] == 6
    assert [row["step"] for _, row in result.best_checkpoints] == [2, 4, 6]
    assert Result.from_path(path).error is None
    assert not DataParallelTrainer.can_restore(path)
    assert sorted(os.listdir(storage)) == ["counts"]


def test_a_run_without_a_checkpoint_begins_again(rows, storage):
    path = failed_run(rows, storage, fails_at=2)
    trainer = DataParallelTrainer.restore(
        str(path), {"train": rows}, train_loop_config={"fails_at": 4}
    )
    with pytest.raises(Broken, match="at 4"):
        trainer.fit()
    assert [row["step"] for row in Result.from_path(path).metrics_dataframe.to_dict("records")] == [
        1,
        2,
        3,
    ]
    again = DataParallelTrainer.restore(path, {"train": rows}, train_loop_per_worker=lambda: None)
    assert [row["step"] for row in again.fit().metrics_dataframe.to_dict("records")] == [1, 2]


def test_what_cannot_be_gone_on_with_is_told(rows, storage):
    path = failed_run(rows, storage, fails_at=4)
    with pytest.raises(InvalidOption, match=r"use DataParallelTrainer\.restore"):
        XGBoostTrainer.restore(path, {"train": rows})
    with pytest.raises(InvalidOption, match="was given the dataset 'train'"):
        DataParallelTrainer.restore(path)
    with pytest.raises(InvalidOption, match=r"no dataset 'tain'.*'train'"):
        DataParallelTrainer.restore(path, {"train": rows, "tain": rows})
    with pytest.raises(InvalidOption, match="scaling_config must be a ScalingConfig"):
        DataParallelTrainer.restore(path, {"train": rows}, scaling_config=2)
    nothing = storage / "nothing"
    assert not DataParallelTrainer.can_restore(nothing)
    with pytest.raises(FileNotFoundError, match="until it is finished"):
        DataParallelTrainer.restore(nothing, {"train": rows})


def test_a_refused_run_leaves_nothing(rows, storage):
    trainer = DataParallelTrainer(
        lambda: None, datasets={"train": rows}, scaling_config=ScalingConfig(num_workers=11)
    )
    if air.cluster_resources().get("CPU") == 4:
        pytest.skip("there is one worker")
    with pytest.raises(InvalidOption, match="each needs at least one"):
        trainer.fit()
    assert not storage.exists()


def test_a_trainer_that_cannot_be_kept_trains_all_the_same(rows, storage):
    def fails():
        raise Broken

    trainer = DataParallelTrainer(fails, run_config=RunConfig(name="odd"))
    trainer.odd = (line for line in ())  # no generator can be pickled
    with pytest.raises(Broken):
        trainer.fit()
    assert (storage / "odd").exists()
    assert not DataParallelTrainer.can_restore(storage / "odd")


KILLED = """
import os, signal, sys
import air, air.data
from air import CheckpointConfig, RunConfig
from air.train.xgboost import XGBoostTrainer
import xgboost

class Dies(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    air.init(backend="local")
    XGBoostTrainer(
        datasets={"train": air.data.read_csv(sys.argv[1])},
        label_column="target",
        params={"objective": "binary:logistic", "nthread": 1},
        num_boost_round=6,
        callbacks=[Dies()],
        run_config=RunConfig(
            name="killed", checkpoint_config=CheckpointConfig(checkpoint_frequency=2)
        ),
    ).fit()
"""


def test_a_program_that_was_killed_is_gone_on_with_by_another(
    air_backend, storage, breast_cancer_csv
):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, breast_cancer_csv],
        env={**os.environ, "AIR_RESULTS": str(storage)},
        check=False,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL
    path = storage / "killed"
    assert [row["training_iteration"] for _, row in Result.from_path(path).best_checkpoints] == [2]
    data = air.data.read_csv(breast_cancer_csv)
    trainer = XGBoostTrainer.restore(path, {"train": data})
    trainer.train_kwargs = {}  # without what killed it
    result = trainer.fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    frame = data.to_pandas()
    matrix = xgboost.QuantileDMatrix(frame.drop(columns="target"), frame["target"])
    alone = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 6)
    rows = frame.drop(columns="target")
    found = result.checkpoint.get_model().inplace_predict(rows)
    assert found.tolist() == pytest.approx(alone.inplace_predict(rows).tolist(), abs=1e-6)
    assert not (path / TRAINER_FILE).exists()
    assert CheckpointConfig(checkpoint_frequency=2) == trainer.run_config.checkpoint_config
