"""Load a table, train, tune, and predict: the whole path on one small real data set.

Run it with ``python examples/quickstart.py``. It starts a cluster on this machine and trains on
two processes. With ``AIR_BACKEND=local`` in the environment everything runs in this one process,
where a debugger can stop anywhere; the numbers are the same.

The data are 569 biopsies of breast tumours: 30 measurements each, and whether the tumour turned
out to be benign (``target`` 1) or malignant (0).
"""

from __future__ import annotations

from pathlib import Path

import air.data
from air import ScalingConfig, tune
from air.data.preprocessors import StandardScaler
from air.train import BatchPredictor
from air.train.xgboost import XGBoostPredictor, XGBoostTrainer
from air.tune import TuneConfig, Tuner
from air.tune.search import BasicVariantGenerator

CSV = Path(__file__).parent / "data" / "breast_cancer.csv"


def without_target(batch):
    """A batch (a pandas DataFrame) as it would be measured on a new patient."""
    return batch.drop(columns="target")


def main() -> None:
    """Run the four steps and print what comes out of each."""
    # 1. Load, and keep 30 % of the rows to judge the model by.
    dataset = air.data.read_csv(str(CSV))
    train, valid = dataset.train_test_split(test_size=0.3)
    test = valid.map_batches(without_target, batch_format="pandas")
    print(f"loaded {dataset.count()} rows: {train.count()} to train, {valid.count()} held out")

    # 2. Train on two workers. The scaler learns from the training rows only, and goes into the
    #    checkpoint with the model.
    trainer = XGBoostTrainer(
        scaling_config=ScalingConfig(num_workers=2),
        label_column="target",
        num_boost_round=20,
        params={"objective": "binary:logistic", "eval_metric": ["logloss", "error"]},
        datasets={"train": train, "valid": valid},
        preprocessor=StandardScaler(columns=["mean radius", "mean texture"]),
    )
    result = trainer.fit()
    for name in ("train-logloss", "train-error", "valid-logloss", "valid-error"):
        print(f"trained: {name} = {result.metrics[name]:.4f}")

    # 3. Try five depths of the trees, each a training run like the one above.
    tuner = Tuner(
        trainer,
        param_space={"params": {"max_depth": tune.randint(1, 9)}},
        tune_config=TuneConfig(
            num_samples=5,
            metric="train-logloss",
            mode="min",
            search_alg=BasicVariantGenerator(random_state=0),  # the same five in every run
        ),
    )
    best = tuner.fit().get_best_result()
    print(f"tuned: the best max_depth is {best.config['params']['max_depth']}")

    # 4. Predict for rows without a target; the checkpoint's scaler is applied to them first.
    predictor = BatchPredictor.from_checkpoint(best.checkpoint, XGBoostPredictor)
    predictions = predictor.predict(test)
    predictions.show(3)

    is_benign = predictions.to_pandas()["predictions"] > 0.5
    accuracy = (is_benign == valid.to_pandas()["target"]).mean()
    print(f"accuracy on the {len(is_benign)} held-out rows: {accuracy:.4f}")


if __name__ == "__main__":
    main()
