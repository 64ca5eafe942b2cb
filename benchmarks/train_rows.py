"""One side of ``train.py``: trains in this process, or has it done, and prints what it took.

A line ``figure [name, seconds, answer]`` for each part, which ``train.py`` reads.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 50
PARAMS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "eval_metric": "logloss",
}
BATCH_ROWS = 65_536


def figure(name: str, seconds: float, answer: float) -> None:
    """Say what was found."""
    print("figure", json.dumps([name, seconds, answer]), flush=True)


def tables_of(files: list[Path]) -> list[Any]:
    """The files as tables of Arrow."""
    from pyarrow import parquet

    return [parquet.read_table(file) for file in files]


def matrix_of(tables: list[Any], nthread: int) -> Any:
    """A quantized matrix of tables, which XGBoost takes one after the other."""
    import xgboost

    class Tables(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self.next_table = 0

        def reset(self) -> None:
            self.next_table = 0

        def next(self, input_data: Any) -> bool:
            if self.next_table == len(tables):
                return False
            table = tables[self.next_table]
            self.next_table += 1
            label = table["label"].to_numpy()
            input_data(data=table.drop_columns(["label"]), label=label)
            return True

    return xgboost.QuantileDMatrix(Tables(), nthread=nthread)


def trained(files: list[Path], nthread: int, path: Path | None) -> tuple[Any, float]:
    """A booster trained on files, written to *path*, and its last loss."""
    import xgboost

    matrix = matrix_of(tables_of(files), nthread)
    log: dict[str, Any] = {}
    booster = xgboost.train(
        {**PARAMS, "nthread": nthread},
        matrix,
        ROUNDS,
        evals=[(matrix, "train")],
        evals_result=log,
        verbose_eval=False,
    )
    if path is not None:
        booster.save_model(path)
    return booster, log["train"]["logloss"][-1]


def one_process(directory: Path) -> None:
    """XGBoost alone, with two threads; and predictions of all rows."""
    import xgboost  # noqa: F401  # what imports take is none of this

    files = sorted(directory.glob("*.parquet"))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as kept:
        booster, loss = trained(files, 2, Path(kept) / "model.ubj")
    figure("1 worker, 2 threads", time.perf_counter() - begin, loss)
    begin = time.perf_counter()
    total = 0.0
    for table in tables_of(files):
        total += float(booster.inplace_predict(table.drop_columns(["label"])).sum())
    figure("predict", time.perf_counter() - begin, total)


def _rank(rank: int, arguments: dict[str, Any], files: list[Path], barrier: Any, out: Any) -> None:
    import xgboost  # noqa: F401
    from xgboost import collective

    barrier.wait()
    begin = time.perf_counter()
    with collective.CommunicatorContext(**arguments), tempfile.TemporaryDirectory() as kept:
        path = Path(kept) / "model.ubj" if rank == 0 else None
        _, loss = trained(files[rank::2], 1, path)
    if rank == 0:
        out.put((time.perf_counter() - begin, loss))


def two_processes(directory: Path) -> None:
    """Two processes of one thread each, joined by hand."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=2, host_ip="127.0.0.1")
    tracker.start()
    arguments = tracker.worker_args()
    spawn = multiprocessing.get_context("spawn")
    barrier, out = spawn.Barrier(2), spawn.Queue()
    files = sorted(directory.glob("*.parquet"))
    ranks = [
        spawn.Process(target=_rank, args=(rank, arguments, files, barrier, out)) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    seconds, loss = out.get()
    for process in ranks:
        process.join()
    figure("2 workers, 1 thread each", seconds, loss)


def with_air(directory: Path) -> None:
    """The trainer on one worker and on two, and predictions of all rows."""
    import air
    from air import RunConfig, ScalingConfig, data
    from air.train import BatchPredictor
    from air.train.xgboost import XGBoostPredictor, XGBoostTrainer

    air.init(num_cpus=2, log_to_driver=False)
    with tempfile.TemporaryDirectory() as kept:

        def fitted(rows: Any, scaling: ScalingConfig, rounds: int) -> Any:
            return XGBoostTrainer(
                datasets={"train": rows},
                label_column="label",
                params=PARAMS,
                num_boost_round=rounds,
                scaling_config=scaling,
                run_config=RunConfig(storage_path=kept),
            ).fit()

        few = data.from_items([{"f0": 0.0, "label": 0}, {"f0": 1.0, "label": 1}])
        fitted(few, ScalingConfig(num_workers=2), 1)  # what imports take is none of this
        plans = {
            "1 worker, 2 threads": ScalingConfig(resources_per_worker={"CPU": 2}),
            "2 workers, 1 thread each": ScalingConfig(num_workers=2),
        }
        for name, scaling in plans.items():
            begin = time.perf_counter()
            result = fitted(data.read_parquet(str(directory)), scaling, ROUNDS)
            seconds = time.perf_counter() - begin
            figure(name, seconds, result.metrics["train-logloss"])
            frame = result.metrics_dataframe
            figure(f"{name}: first round", float(frame["time_total_s"].iloc[0]), 0.0)
        predictor = BatchPredictor.from_checkpoint(result.checkpoint, XGBoostPredictor)
        begin = time.perf_counter()
        scored = predictor.predict(
            data.read_parquet(str(directory)).drop_columns(["label"]), batch_size=BATCH_ROWS
        )
        total = scored.sum("predictions")
        figure("predict", time.perf_counter() - begin, float(total))


SIDES = {"air": with_air, "one": one_process, "two": two_processes}

if __name__ == "__main__":
    SIDES[sys.argv[1]](Path(sys.argv[2]))
