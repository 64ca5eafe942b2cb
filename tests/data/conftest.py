"""Both ways in which plans run."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from pyarrow import csv

import air
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


def _all_on_tasks(stages: list[Stage], **_: object) -> Placement:
    """Every stage as tasks and actors, however small the data and whatever the backend."""
    return Placement.TASKS if stages else Placement.HERE
