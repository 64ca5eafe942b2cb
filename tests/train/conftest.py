"""Data and storage for the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

BREAST_CANCER = Path(__file__).parents[2] / "examples" / "data" / "breast_cancer.csv"


@pytest.fixture(scope="session", autouse=True)
def _csv_reader_is_warm():
    """Arrow's first read of a CSV file opens a pipe that stays open; no backend's doing."""
    import pyarrow.csv

    pyarrow.csv.read_csv(BREAST_CANCER)


@pytest.fixture(autouse=True)
def storage(tmp_path, monkeypatch):
    """Runs are kept in a directory of the test's own."""
    monkeypatch.setenv("AIR_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def breast_cancer_csv():
    """The path of a table with 30 features and the label ``target``."""
    return str(BREAST_CANCER)


@pytest.fixture
def breast_cancer(air_backend, breast_cancer_csv):
    """The table as two Datasets, to train on and to validate with."""
    import air.data

    return air.data.read_csv(breast_cancer_csv).train_test_split(test_size=0.3)
