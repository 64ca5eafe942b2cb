"""Ranking: rows that are ranked against one another stay together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost

import air.data
from air import ScalingConfig
from air.errors import InvalidOption
from air.train.ranking import cuts
from air.train.xgboost import XGBoostTrainer

PARAMS = {"objective": "rank:ndcg", "eval_metric": ["ndcg", "ndcg@3"]}
QID = {"qid": "query"}


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(120, 3)), columns=["x", "y", "z"])
    frame["query"] = np.repeat(np.arange(16), [5, 10] * 8)
    frame["relevance"] = (frame["x"] > 0).astype(int) + (frame["y"] > 1)
    return frame


def rank(frame, num_workers, **options):
    arguments = {
        "datasets": {
            "train": air.data.from_pandas(frame[:90]),
            "valid": air.data.from_pandas(frame[90:]),
        },
        "label_column": "relevance",
        "params": PARAMS,
        "dmatrix_params": {"train": QID, "valid": QID},
        "num_boost_round": 5,
        "scaling_config": ScalingConfig(num_workers=num_workers),
    }
    return XGBoostTrainer(**arguments | options).fit()


@pytest.mark.parametrize("num_workers", [1, 2])
def test_rows_are_ranked_as_xgboost_alone_ranks_them(air_backend, frame, num_workers):
    matrices = []
    for part in (frame[:90], frame[90:]):
        features = part.drop(columns=["query", "relevance"])
        matrices.append(
            xgboost.QuantileDMatrix(
                features,
                part["relevance"],
                qid=part["query"],
                ref=matrices[0] if matrices else None,
            )
        )
    expected = {}
    xgboost.train(
        PARAMS,
        matrices[0],
        5,
        evals=list(zip(matrices, ("train", "valid"), strict=True)),
        evals_result=expected,
        verbose_eval=False,
    )
    found = rank(frame, num_workers).metrics_dataframe
    for name in ("train", "valid"):
        for metric, values in expected[name].items():
            assert found[f"{name}-{metric}"].tolist() == pytest.approx(values, abs=1e-6)


def test_a_group_of_rows_for_fewer_than_all_workers_is_enough_to_validate_with(air_backend, frame):
    datasets = {"train": air.data.from_pandas(frame), "valid": air.data.from_pandas(frame[:5])}
    assert 0 < rank(frame, 2, datasets=datasets).metrics["valid-ndcg"] <= 1


@pytest.mark.parametrize(
    ("change", "num_workers", "message"),
    [
        ({"query": range(120, 0, -1)}, 1, "'train' are not in the order of 'query'"),
        ({"query": [None, *range(119)]}, 1, "no column of whole numbers|missing values"),
        ({"query": 0.5}, 1, "no column of whole numbers in the dataset 'train'"),
        ({"query": "a"}, 1, r"these columns are not: query \(\w*string\)"),
        ({"query": 1}, 2, r"has 1 groups of rows \(qid is 'query'\) for 2 workers"),
    ],
)
def test_rows_that_cannot_be_ranked_are_refused(air_backend, frame, change, num_workers, message):
    if air_backend == "local" and num_workers > 1:
        pytest.skip("there is one worker")
    with pytest.raises(InvalidOption, match=message):
        rank(frame.assign(**change), num_workers)


@pytest.mark.parametrize(
    ("starts", "num_rows", "num_parts", "expected"),
    [
        ([5, 10, 15], 20, 2, [10]),
        ([5, 10, 15], 20, 4, [5, 10, 15]),
        ([1, 2, 3], 100, 2, [3]),
        ([97, 98, 99], 100, 4, [97, 98, 99]),
        ([1, 2, 3], 100, 4, [1, 2, 3]),
        ([50], 100, 4, [50, 100, 100]),
        ([], 100, 3, [100, 100]),
    ],
)
def test_cuts_are_between_groups_and_every_part_has_one_if_there_are_enough(
    starts, num_rows, num_parts, expected
):
    assert cuts(np.array(starts, dtype=int), num_rows, num_parts) == expected
