"""Columns of more than 2 GiB, which offsets of 32 bits do not reach over.

Values are few and large, and share memory where they can: a test takes a few GiB for some seconds.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from air.data.aggregate import Count
from air.data.blocks.choosing import combined
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.grouping.hashing import are_equal
from air.data.grouping.transforms import Plan

pytestmark = pytest.mark.slow

SIZE = 1100 << 20


def column(kind):
    """Two values of one memory, each in a chunk of its own."""
    memory = pa.py_buffer(np.zeros(SIZE, np.uint8))
    ends = pa.py_buffer(np.array([0, SIZE], np.int32))
    if kind == "list":
        numbers = pa.Array.from_buffers(pa.uint8(), SIZE, [None, memory])
        one = pa.ListArray.from_buffers(pa.list_(pa.uint8()), 1, [None, ends], children=[numbers])
    else:
        of = pa.string() if kind == "text" else pa.binary()
        one = pa.Array.from_buffers(of, 1, [None, ends, memory])
    return pa.chunked_array([one, one])


@pytest.mark.parametrize("kind", ["text", "bytes", "list"])
def test_one_array_has_wide_offsets(kind):
    given = column(kind)
    with pytest.raises(pa.ArrowInvalid, match="offset overflow"):
        given.combine_chunks()
    made = combined(given)
    assert len(made) == 2
    assert made.nbytes > 2**31
    wide = {"text": pa.large_string(), "bytes": pa.large_binary()}
    assert made.type == wide.get(kind, pa.large_list(pa.uint8()))


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_they_are_sorted_by(kind):
    block = pa.table({"s": column(kind)})
    assert stable_order(block, [SortKey("s")]).tolist() == [0, 1]


def test_they_are_keys_of_groups_and_told_apart():
    block = pa.table({"s": column("bytes"), "n": [1, 2]})
    states = Plan(("s",), (Count(),)).states_of(block)
    assert states.num_rows == 1
    assert are_equal(block, ["s"], np.array([0]), np.array([1]))
