"""Quantiles of whole columns are those of pandas, whatever the blocks."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.errors import UnsupportedValue
from air.data.summaries import Quantiles, summarize

NUMBERS = st.one_of(st.none(), st.just(float("nan")), st.floats(-1e9, 1e9), st.integers(-9, 9))
FRACTIONS = [0.0, 0.25, 0.5, 0.75, 1.0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=8), min_size=1, max_size=5))
def test_quantiles_of_blocks_are_those_of_pandas(blocks: list[list[float | None]]) -> None:
    columns = [pa.chunked_array([pa.array(block, pa.float64())]) for block in blocks]
    merged = Quantiles.of(columns[0])
    for column in columns[1:]:
        merged = merged.merge(Quantiles.of(column))
    series = pd.Series([value for block in blocks for value in block], dtype="float64")
    assert merged.missing == series.isna().sum()
    found = merged.at(FRACTIONS)
    if found is None:
        assert not series.notna().any()
    else:
        assert found == pytest.approx(series.quantile(FRACTIONS).tolist(), rel=1e-12, abs=1e-6)


def test_quantiles_are_found_in_the_pass_over_a_dataset() -> None:
    dataset = data.from_items([{"n": n} for n in range(101)]).repartition(7)
    found = summarize(dataset, {"n": [Quantiles]}, "scale")
    assert found is not None
    assert found[Quantiles, "n"].at([0.25, 0.75]) == [25.0, 75.0]


def test_columns_without_order_of_numbers_have_no_quantiles() -> None:
    dataset = data.from_items([{"s": "é"}])
    with pytest.raises(UnsupportedValue, match=r"'s' has the type string.* quantiles"):
        summarize(dataset, {"s": [Quantiles]}, "scale")
