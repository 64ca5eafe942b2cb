"""Many columns travel through exchanges as one."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.blocks.block import compact
from air.data.execution.exchange import packing
from air.data.execution.exchange.ordering import SortKey
from air.data.execution.exchange.packing import concat_packed, packed, unpacked, unpacked_schema
from air.data.execution.exchange.transforms import SortRuns
from air.data.udf.functions import TaskContext

MANY = packing.FEWEST_COLUMNS

_VALUES = {
    pa.int8(): st.integers(-128, 127),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.float16(): st.sampled_from([np.float16(1.5), np.float16("nan")]),
    pa.float32(): st.floats(width=32),
    pa.date32(): st.dates(),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(),
    pa.duration("s"): st.integers(-(2**40), 2**40),
    pa.timestamp("ms", "UTC"): st.integers(0, 2**40),
    pa.month_day_nano_interval(): st.tuples(*[st.integers(0, 99)] * 3),
    pa.decimal128(5, 2): st.integers(-999, 999).map(decimal.Decimal),
    # What is not packed goes along.
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=3),
    pa.list_(pa.int8()): st.lists(st.integers(0, 9), max_size=2),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from("abc"),
    pa.null(): st.none(),
}


@st.composite
def tables(draw) -> pa.Table:
    """A few rows of many columns, as a slice of a table in chunks."""
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(list(_VALUES)), max_size=8)) + [pa.int32()] * MANY
    columns = []
    for number, kind in enumerate(draw(st.permutations(kinds))):
        values = st.integers(0, number) if kind == pa.int32() else _VALUES[kind]
        made = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns.append(pa.array(made, kind))
    whole = pa.table(columns, [f"c{number}" for number in range(len(columns))])
    edge = draw(st.integers(0, rows))
    whole = pa.concat_tables([whole.slice(edge), whole.slice(0, edge)])
    return whole.slice(draw(st.integers(0, rows - 1)))


def as_text(table: pa.Table) -> str:
    """What is in a table, where NaN equals itself."""
    return f"{table.schema}{table.to_pylist()}"


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 12), st.integers(0, 12), st.integers(1, 12))
def test_columns_come_out_as_they_went_in(table, begin, length, edge):
    whole = packed(table)
    assert whole.num_columns <= 9
    assert as_text(unpacked(whole)) == as_text(table)
    assert unpacked(whole).column(0).num_chunks == 1 or not table.num_rows
    assert unpacked_schema(whole.schema) == table.schema
    part = whole.slice(begin, length)
    assert as_text(unpacked(part)) == as_text(table.slice(begin, length))
    assert as_text(unpacked(compact(part))) == as_text(table.slice(begin, length))
    both = concat_packed([whole.slice(edge), whole.slice(0, 0), whole.slice(0, edge)])
    assert both.num_columns == whole.num_columns
    both = unpacked(both)
    assert as_text(both) == as_text(pa.concat_tables([table.slice(edge), table.slice(0, edge)]))


def test_only_many_columns_of_few_rows_are_packed():
    few = pa.table({f"x{number}": [1.0] for number in range(MANY - 1)})
    texts = pa.table({f"x{number}": ["a"] for number in range(MANY)})
    tall = pa.table({f"x{number}": np.zeros(packing.MOST_ROWS + 1) for number in range(MANY)})
    for block in (few, texts, tall, [1, 2], tall.slice(0, 0), few.slice(0, 0)):
        assert packed(block) is block
        assert unpacked(block) is block
    one = packed(tall.slice(1))
    assert one.num_columns == 1
    assert one.nbytes <= tall.nbytes * 1.1


@pytest.mark.parametrize("other", [pa.int64(), pa.float32()])
def test_tables_of_several_schemas_are_put_together_as_they_were(other):
    """The bytes of a row may be as many, so that alone must not decide."""
    names = [f"x{number}" for number in range(MANY)]
    one = pa.table({name: [1.5, None] for name in names})
    two = pa.table({name: pa.array([2, 3], other) for name in names})
    whole = unpacked(concat_packed([packed(one), packed(two), two.slice(1)]))
    expected = {name: [1.5, None, 2.0, 3.0, 3.0] for name in names}
    assert whole.equals(pa.table(expected))


def test_runs_are_packed():
    table = pa.table({f"x{number}": [2.0, 1.0] for number in range(MANY)})
    run = SortRuns((SortKey("x3"),)).open()
    (marked,) = run(iter([table]), TaskContext(index=0, source="", block_bytes=1 << 20))
    assert marked.block.num_columns == 1
    assert marked.samples.keys.column_names == ["x3"]
    assert unpacked(marked.block).column("x5").to_pylist() == [1.0, 2.0]


@pytest.fixture
def wide(tmp_path):
    """3,000 rows of 59 columns, some with nulls, in four files."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{number}": rng.standard_normal(3000) for number in range(50)})
    for number in range(0, 50, 7):
        frame.loc[rng.random(3000) < 0.1, f"x{number}"] = np.nan
    frame["id"] = np.arange(3000)
    frame["k"] = rng.integers(0, 40, 3000)
    frame["text"] = [f"row {number}" for number in range(3000)]
    for number in range(6):
        frame[f"n{number}"] = rng.integers(0, 9, 3000).astype(np.int8)
    for number in range(4):
        frame[750 * number : 750 * (number + 1)].to_parquet(tmp_path / f"{number}.parquet")
    return frame, data.read_parquet(str(tmp_path))


def test_exchanges_of_many_columns(waiting, wide):
    frame, ds = wide
    found = ds.sort("x3").to_pandas()
    pd.testing.assert_frame_equal(found, frame.sort_values("x3", ignore_index=True))
    found = ds.random_shuffle(seed=1).to_pandas()
    assert found.id.tolist() != frame.id.tolist()
    found = found.sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(found, frame)
    found = (
        ds.groupby("k").map_groups(lambda group: group.head(2), batch_format="pandas").to_pandas()
    )
    expected = frame.sort_values("k", kind="stable").groupby("k").head(2).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)
    found = ds.groupby("k").mean([f"x{number}" for number in range(50)]).to_pandas()
    assert np.allclose(found["mean(x7)"], frame.groupby("k").x7.mean())
    found = ds.join(ds.rename_columns({"x1": "y"}).select_columns(["id", "y"]), on="id")
    assert found.to_pandas().y.tolist() == frame.x1.tolist()
    assert len(ds.join(ds, on="id", how="outer", suffixes=("", "_r")).to_pandas()) == 3000
    assert ds.distinct().count() == 3000
