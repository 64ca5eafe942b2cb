"""Both ways in which plans run."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import csv

import air
from air.data.context import DataContext
from air.data.execution import run
from air.data.execution.placement import Placement
from air.data.execution.stages import Stage


@pytest.fixture(scope="session", autouse=True)
def _arrow_is_warm() -> None:
    """Arrow keeps a pipe and threads from its first CSV file on; they are no leak of a test."""
    csv.read_csv(io.BytesIO(b"a\n1\n"))


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine so busy that small data seems worth a backend gets the local one."""
    monkeypatch.setenv("AIR_BACKEND", "local")
    was_there = air.is_initialized()
    yield
    if not was_there:
        air.shutdown()


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The backend of ``--backend`` for all tests of a module; gives its name."""
    name = request.config.getoption("--backend")
    air.init(backend=name, num_cpus=4 if name == "local" else 2)
    yield name
    air.shutdown()


@pytest.fixture(params=["here", "tasks"])
def placement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, backend: str) -> str:
    """Run the test with calls in this process, then again with tasks and actors."""
    if request.param == "tasks":
        monkeypatch.setattr(run, "decide", _all_on_tasks)
        monkeypatch.setattr(run, "can_run_in_parallel", lambda: True)
    return request.param


@pytest.fixture(params=["memory", "files"])
def waiting(
    request: pytest.FixtureRequest,
    placement: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[str]:
    """Run the test with blocks that wait in memory, then in files; none is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "files":
        monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    yield request.param
    assert list(tmp_path.glob("air-data-*")) == []


def _all_on_tasks(stages: list[Stage], **_: object) -> Placement:
    """Every stage as tasks and actors, however small the data and whatever the backend."""
    return Placement.TASKS if stages else Placement.HERE
