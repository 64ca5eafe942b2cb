"""A random forest of scikit-learn: cross-validated in parallel, fitted, judged, and used.

Run it with ``python examples/train_sklearn.py``. It needs the extra ``sklearn``, and starts a
cluster on this machine; with ``AIR_BACKEND=local`` in the environment everything runs in this one
process, with the same results.

The rows are 569 tumours, 30 measures of each, and whether it is benign.
"""

from __future__ import annotations

from sklearn.ensemble import RandomForestClassifier

from air import data
from air.train import BatchPredictor
from air.train.sklearn import SklearnPredictor, SklearnTrainer


def main() -> None:
    train, valid = data.read_csv("example://breast_cancer.csv").train_test_split(
        test_size=0.3, shuffle=True, seed=1
    )
    trainer = SklearnTrainer(
        estimator=RandomForestClassifier(n_estimators=50, random_state=0),
        datasets={"train": train, "valid": valid},
        label_column="target",
        scoring=["accuracy", "roc_auc"],
        cv=5,
        parallelize_cv=True,  # a task for each fold
    )
    result = trainer.fit()
    folds, judged = result.metrics["cv"], result.metrics["valid"]
    print(
        f"accuracy of {len(folds['test_accuracy'])} folds: {folds['test_accuracy_mean']:.3f}"
        f" +- {folds['test_accuracy_std']:.3f}"
    )
    print(f"of new rows: {judged['test_accuracy']:.3f}, area {judged['test_roc_auc']:.3f}")

    predictor = BatchPredictor.from_checkpoint(result.checkpoint, SklearnPredictor)
    scored = predictor.predict(valid, method="predict_proba", keep_columns=["target"])
    sure = scored.filter(lambda row: row["predictions"].max() >= 0.9)
    right = sure.filter(lambda row: row["predictions"].argmax() == row["target"])
    print(f"sure of {sure.count()} of {scored.count()} rows, and right in {right.count()} of these")


if __name__ == "__main__":
    main()
