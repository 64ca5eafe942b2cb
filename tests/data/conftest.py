"""Both ways in which plans run."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from pyarrow import csv

import air
from air.data.execution import execute
from air.data.execution.placement import Placement


@pytest.fixture(scope="session", autouse=True)
def _arrow_is_warm() -> None:
    """Arrow keeps a pipe and threads from its first CSV file on; they are no leak of a test."""
    csv.read_csv(io.BytesIO(b"a\n1\n"))


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine so busy that small data seems worth a backend gets the local one."""
    monkeypatch.setenv("AIR_BACKEND", "local")
    yield
    air.shutdown()


def force_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every stage as tasks and actors, however small the data and whatever the backend."""
    monkeypatch.setattr(
        execute, "decide", lambda stages, **_: Placement.TASKS if stages else Placement.HERE
    )
    monkeypatch.setattr(execute, "SMALL_BYTES", 0)
    monkeypatch.setattr(execute, "_can_run_in_parallel", lambda: True)


@pytest.fixture(params=["here", "tasks"])
def placement(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, air_backend: str
) -> str:
    """Run the test with calls in this process, then again with tasks and actors."""
    if request.param == "tasks":
        force_tasks(monkeypatch)
    return request.param
