"""From what was run to a trace."""

from __future__ import annotations

import json
from typing import Any

import pytest

import air
from air.errors import InvalidOption
from air.executor.records import Slice
from air.util.timeline import trace


def one(name: str, start: float, end: float, **more: Any) -> Slice:
    values = {"outcome": "finished", "node_id": "n1", "worker_id": "w1", "pid": 7, **more}
    return Slice(name=name, task_id=name, start=start, end=end, **values)


def rows(events: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    return {event["name"]: (event["pid"], event["tid"]) for event in events if event["ph"] == "X"}


def test_a_row_for_each_worker_and_a_group_for_each_node():
    events = trace(
        [
            one("a", 1, 2),
            one("b", 1, 2, worker_id="w2"),
            one("c", 1, 2, worker_id="w3", node_id="n2"),
            one("d", 2, 3),
        ]
    )
    found = rows(events)
    assert found["a"] == found["d"]
    assert found["a"][0] == found["b"][0] != found["c"][0]
    assert len(set(found.values())) == 3
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert names == [
        "node n1",
        "worker w1 (pid 7)",
        "worker w2 (pid 7)",
        "node n2",
        "worker w3 (pid 7)",
    ]


def test_calls_at_the_same_time_never_overlap_in_a_row():
    slices = [one(str(i), i, i + 2.5, actor_id="a1") for i in range(6)]
    taken: dict[tuple[int, int], float] = {}
    for event in trace(slices):
        if event["ph"] == "X":
            row = (event["pid"], event["tid"])
            assert event["ts"] >= taken.get(row, 0)
            taken[row] = event["ts"] + event["dur"]
    assert len(taken) == 3


def test_times_are_microseconds_and_results_are_told():
    [*_, event] = trace([one("f", 1.5, 1.75, outcome="failed", actor_id="a")])
    assert (event["ts"], event["dur"], event["cat"]) == (1_500_000, 250_000, "actor_task")
    assert event["args"]["result"] == "failed"
    assert event["args"]["actor_id"] == "a"
    assert "cname" in event


@pytest.mark.usefixtures("air_local")
def test_a_file(tmp_path):
    air.get(air.remote(lambda: 1).options(name="kept").remote())
    path = tmp_path / "trace.json"
    assert air.timeline(path) is None
    assert "kept" in [event["name"] for event in json.loads(path.read_text())]


def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such directory"):
        air.timeline(tmp_path / "missing" / "trace.json")
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_name():
    with pytest.raises(InvalidOption, match="filename must be non-empty text, got ''"):
        air.timeline("")
