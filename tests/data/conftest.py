"""Both ways in which plans run."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, fs

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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of S3 in a process of its own; gives its URL. Anybody may do anything there."""
    pytest.importorskip("moto", reason="the server is moto's, which `make setup` installs")
    log = tmp_path_factory.mktemp("s3") / "log"
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    environment = {**os.environ, "MOTO_S3_CUSTOM_ENDPOINTS": "", "NO_COLOR": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment) as server,
    ):
        try:
            while (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) is None:
                assert server.poll() is None, log.read_text()
                os.sched_yield()
            with pytest.MonkeyPatch.context() as patch:
                # Workers have the environment of the moment at which their backend was started.
                patch.setenv("AWS_ACCESS_KEY_ID", "key")
                patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
                patch.setenv("AWS_REGION", "us-east-1")
                patch.setenv("AWS_ENDPOINT_URL", found[0])
                patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
                # Arrow keeps what it waits with from its first connection on: no leak of a test.
                filesystem, _ = fs.FileSystem.from_uri("s3://bucket")
                filesystem.get_file_info("bucket")
                del filesystem
                yield found[0]
        finally:
            server.kill()


@pytest.fixture
def s3(s3_server: str) -> Iterator[str]:
    """An empty bucket on a real server, which ``s3://`` URIs lead to; gives its name."""
    options = "allow_bucket_creation=true&allow_bucket_deletion=true"
    system, _ = fs.FileSystem.from_uri(f"s3://bucket?{options}")
    system.create_dir("bucket")
    yield "bucket"
    system.delete_dir("bucket")


@pytest.fixture(scope="session")
def iceberg_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A catalog of Iceberg tables in files of this machine, with the namespace ``ns``."""
    library = pytest.importorskip("pyiceberg.catalog")
    factory = pytest.importorskip("pyiceberg.utils.concurrent").ExecutorFactory
    with pytest.MonkeyPatch.context() as patch:
        # It keeps threads from its first table on, which are no leak of a test: two, here now.
        patch.setenv("PYICEBERG_MAX_WORKERS", "2")
        together = threading.Barrier(2)
        list(factory.get_or_create().map(lambda _: together.wait(), range(2)))
    path = tmp_path_factory.mktemp("iceberg")
    places = {"uri": f"sqlite:///{path}/catalog", "warehouse": f"file://{path}"}
    catalog = library.load_catalog("ours", type="sql", **places)
    catalog.create_namespace("ns")
    yield catalog
    catalog.close()


@pytest.fixture(scope="session")
def deltalake_is_warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It keeps threads and what they wait with from its first table on; they are no leak."""
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(tmp_path_factory.mktemp("warm"), pa.table({"a": [1]}))
