"""The same rows to XGBoost and to LightGBM: trained on two workers, stopped early, and compared.

Run it with ``python examples/train_trees.py``. It needs the extras ``xgboost`` and ``lightgbm``,
and starts a cluster on this machine; with ``AIR_BACKEND=local`` in the environment everything runs
in this one process, on one worker.

The rows are 569 tumours, 30 measures of each, and whether it is benign.
"""

from __future__ import annotations

from air import ScalingConfig, data
from air.train import BatchPredictor
from air.train.lightgbm import LightGBMPredictor, LightGBMTrainer
from air.train.xgboost import XGBoostPredictor, XGBoostTrainer

PLANS = {
    "XGBoost": (
        XGBoostTrainer,
        XGBoostPredictor,
        {"objective": "binary:logistic", "eval_metric": "logloss", "max_depth": 3, "eta": 0.2},
        "valid-logloss",
    ),
    "LightGBM": (
        LightGBMTrainer,
        LightGBMPredictor,
        {"objective": "binary", "metric": "binary_logloss", "num_leaves": 7, "learning_rate": 0.2},
        "valid-binary_logloss",
    ),
}


def main() -> None:
    rows = data.read_csv("example://breast_cancer.csv").random_shuffle(seed=1)
    train, valid, test = rows.split_proportionately([0.6, 0.2])
    for name, (trainer_cls, predictor_cls, params, loss) in PLANS.items():
        result = trainer_cls(
            datasets={"train": train, "valid": valid},
            label_column="target",
            params=params,
            num_boost_round=200,
            early_stopping_rounds=5,
            scaling_config=ScalingConfig(num_workers=2),
        ).fit()
        losses = result.metrics_dataframe[loss]
        best = losses.idxmin() + 1
        print(f"{name}: the best of {len(losses)} rounds is {best}: {losses.min():.2f}")

        predictor = BatchPredictor.from_checkpoint(result.checkpoint, predictor_cls)
        scored = predictor.predict(test, keep_columns=["target"]).to_pandas()
        right = ((scored["predictions"] > 0.5) == scored["target"]).sum()
        print(f"{name}: right in {right} of {len(scored)} new rows")


if __name__ == "__main__":
    main()
