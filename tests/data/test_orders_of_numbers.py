"""Whole numbers are sorted and grouped in tables where they are near each other: the result is the
same as by comparing them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import from_zero, sorted_order
from air.data.grouping.keys import groups_of

KINDS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@st.composite
def whole_numbers(draw):
    """Numbers of one kind, near each other or as far apart as they can be."""
    limits = np.iinfo(draw(st.sampled_from(KINDS)))
    least = draw(st.integers(limits.min, limits.max))
    apart = draw(st.sampled_from([0, 1, 3, 200, 70_000, 1 << 33, 1 << 64]))
    most = min(least + apart, limits.max)
    return np.array(draw(st.lists(st.integers(least, most), max_size=40)), limits.dtype)


@settings(max_examples=60, deadline=None)
@given(whole_numbers(), st.booleans())
def test_rows_are_in_the_order_of_their_numbers(numbers, descending):
    found = stable_order(pa.table({"n": numbers}), [SortKey("n", descending)])
    values = [-int(n) if descending else int(n) for n in numbers]
    assert found.tolist() == sorted(range(len(values)), key=values.__getitem__)


@settings(max_examples=60, deadline=None)
@given(whole_numbers())
def test_groups_are_in_the_order_in_which_their_numbers_appear(numbers):
    groups = groups_of(pa.table({"n": numbers}), ["n"], "groupby")
    known: dict[int, int] = {}
    for row, number in enumerate(numbers.tolist()):
        known.setdefault(number, row)
    places = list(known)
    assert groups.first_row.tolist() == list(known.values())
    assert groups.of_row.tolist() == [places.index(number) for number in numbers.tolist()]
    assert groups.of_row.dtype == np.int64


@pytest.mark.parametrize("most", [0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x100000000, 1 << 62])
def test_numbers_of_any_size_are_sorted_stably(most):
    numbers = np.random.default_rng(0).integers(0, most, 1000, endpoint=True)
    numbers[::7] = most
    assert sorted_order(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()
    assert sorted_order(numbers[:0]).tolist() == []


@pytest.mark.parametrize(
    ("values", "kind", "most", "expected"),
    [
        ([-128, 127], "int8", 255, [0, 255]),
        ([-128, 127], "int8", 254, None),
        ([2**64 - 1, 2**64 - 3], "uint64", 2, [2, 0]),
        ([-(2**63), 2**63 - 1], "int64", 1 << 62, None),
        ([], "uint16", 0, []),
    ],
)
def test_numbers_from_zero(values, kind, most, expected):
    found = from_zero(np.array(values, kind), most)
    assert expected is None if found is None else found.tolist() == expected
