"""Filtering, limiting and counting records."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from air.executor.records import IDENTITIES, KINDS, Query, about, holds, select

RECORDS = [
    {"task_id": str(number), "name": "even" if number % 2 == 0 else "odd", "pid": number}
    for number in range(6)
]


def makers() -> Any:
    return [partial(dict, record) for record in RECORDS]


def test_the_first_that_match_and_how_many_there_are():
    answer = select(makers(), Query("tasks", (("name", "=", "even"),), limit=2))
    assert [record["task_id"] for record in answer.records] == ["0", "2"]
    assert answer.total == 3


def test_all_filters_hold():
    answer = select(makers(), Query("tasks", (("name", "=", "even"), ("pid", "!=", "2"))))
    assert [record["task_id"] for record in answer.records] == ["0", "4"]


def test_counts_in_place_of_records():
    answer = select(makers(), Query("tasks", count_by=("name",)))
    assert answer.counts == {("even",): 3, ("odd",): 3}
    assert answer.records == []


def test_nothing_is_made_for_records_that_are_only_counted():
    made = []

    def make(number):
        made.append(number)
        return {"task_id": str(number)}

    answer = select((partial(make, number) for number in range(1000)), Query("tasks", limit=3))
    assert (answer.total, made) == (1000, [0, 1, 2])


def test_a_field_that_takes_work_is_asked_for_only_if_wanted():
    asked = []

    def text():
        asked.append(1)
        return "text"

    records = [partial(dict, task_id="1", waits_for=text)]
    assert select(records, Query("tasks", (("task_id", "=", "2"),))).records == []
    assert not asked
    [record] = select(records, Query("tasks", (("waits_for", "=", "text"),))).records
    assert record == {"task_id": "1", "waits_for": "text"}


@pytest.mark.parametrize(
    ("value", "wanted"), [(True, "true"), (None, "none"), (7, "7"), ("x", "x"), (False, False)]
)
def test_what_is_typed_on_a_command_line_stands_for_other_values(value, wanted):
    assert holds({"field": value}, ("field", "=", wanted))
    assert not holds({"field": value}, ("field", "!=", wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_details_are_left_out_of_lists(kind):
    made = KINDS[kind]
    record = {one.name: "text" for one in fields(made)}
    assert all(
        getattr(about(kind, record, detail=True), one.name) == "text" for one in fields(made)
    )
    short = about(kind, record, detail=False)
    for one in fields(made):
        is_there = getattr(short, one.name) is not None
        assert is_there == (not one.metadata.get("detail"))
    assert IDENTITIES[kind].endswith("_id")
