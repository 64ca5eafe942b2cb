"""Where pandas is not installed, what needs it says so at the call, with what to install."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from air import data
from air.data.preprocessors import (
    BatchMapper,
    Chain,
    Concatenator,
    OneHotEncoder,
    Preprocessor,
    StandardScaler,
)
from air.result import Result

pytestmark = pytest.mark.usefixtures("backend")

records = data.from_items([{"a": 1.0, "b": "x"}, {"a": 3.0, "b": "y"}])


@pytest.fixture(autouse=True)
def _no_pandas(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pandas"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)  # importing it fails


def annotated(batch: pandas.DataFrame):  # noqa: F821 - it is not there
    return batch


class Mine(Preprocessor):
    _is_fittable = False

    def _transform_pandas(self, df):
        return df


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: records.map_batches(dict, batch_format="pandas"), "batch_format='pandas'"),
        (lambda: records.map_batches(annotated), "batch_format='pandas'"),
        (lambda: records.add_column("c", len), "add_column, unless batch_format is another one,"),
        (lambda: records.iter_batches(batch_format="pandas"), "batch_format='pandas'"),
        (lambda: records.take_batch(batch_format="pandas"), "batch_format='pandas'"),
        (lambda: records.to_pandas(), "to_pandas"),
        (lambda: BatchMapper(dict, batch_format="pandas"), "batch_format='pandas'"),
        (lambda: Mine().transform(records), "batch_format='pandas'"),
        (lambda: Result({"loss": 1}).metrics_dataframe, "metrics_dataframe"),
    ],
)
def test_what_needs_pandas_says_what_to_install(call, what):
    with pytest.raises(ImportError) as caught:
        call()
    assert str(caught.value).startswith(f"{what} needs pandas, which cannot be imported")
    assert str(caught.value).endswith('Install it with: pip install "airloom[pandas]"')


def test_everything_else_works_without_it(tmp_path):
    doubled = records.add_column("c", lambda batch: 2 * batch["a"], batch_format="numpy")
    assert doubled.map_batches(lambda batch: batch).take(1) == [{"a": 1.0, "b": "x", "c": 2.0}]
    chain = Chain(StandardScaler(["a"]), OneHotEncoder(["b"]), Concatenator())
    vectors = chain.fit_transform(records).take_batch()["concat_out"]
    np.testing.assert_array_equal(vectors, [[-1, 1, 0], [1, 0, 1]])
    doubled.write_parquet(tmp_path / "parquet")
    doubled.write_csv(tmp_path / "csv")
    for back in (data.read_parquet(tmp_path / "parquet"), data.read_csv(tmp_path / "csv")):
        assert back.take_all() == doubled.take_all()
