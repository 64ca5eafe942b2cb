from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air.data.batching.batch_format import (
    annotated_format,
    check_batch_format,
    resolve_batch_format,
)
from air.errors import InvalidOption


def on_frame(batch: pd.DataFrame) -> pd.DataFrame:
    return batch


def on_table(batch: pa.Table, other: int) -> pa.Table:
    return batch


def on_arrays(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return batch


def on_mapping(batch: Mapping[str, np.ndarray]) -> None: ...


def on_text(batch: "pd.DataFrame") -> None: ...  # noqa: UP037 - text in text


def on_unknown(batch: NotImported.DataFrame) -> None: ...  # noqa: F821


def on_other(batch: int) -> None: ...


def on_second(other: int, batch: pd.DataFrame) -> None: ...


class OnFrame:
    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        return batch

    def method(self, batch: pa.Table) -> pa.Table:
        return batch


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (on_frame, "pandas"),
        (on_table, "pyarrow"),
        (on_arrays, "numpy"),
        (on_mapping, "numpy"),
        (on_text, "pandas"),
        (OnFrame, "pandas"),
        (OnFrame(), "pandas"),
        (OnFrame().method, "pyarrow"),
        (functools.partial(on_table, other=1), "pyarrow"),
        (functools.partial(on_second, 1), "pandas"),
        (functools.partial(on_second), None),
        (functools.partial(functools.partial(on_second, 1)), "pandas"),
        (functools.partial(OnFrame().method), "pyarrow"),
        (functools.partial(OnFrame()), "pandas"),
        (on_unknown, None),
        (on_other, None),
        (lambda batch: batch, None),
        (lambda: None, None),
        (np.sort, None),
        (len, None),
    ],
)
def test_the_annotation_of_the_first_parameter_decides(fn, expected):
    assert annotated_format(fn) == expected


def test_what_is_asked_for_wins_over_the_annotation():
    assert resolve_batch_format("numpy", on_frame) == "numpy"
    assert resolve_batch_format("default", on_frame) == "pandas"
    assert resolve_batch_format("default", len) == "default"


@pytest.mark.parametrize("wrong", ["panda", None, 3])
def test_unknown_formats_are_refused(wrong):
    with pytest.raises(InvalidOption, match="Formats are: 'default', 'numpy', 'pandas'"):
        check_batch_format(wrong)


def test_the_nearest_format_is_named():
    with pytest.raises(InvalidOption, match="Did you mean 'pandas'"):
        check_batch_format("panda")
