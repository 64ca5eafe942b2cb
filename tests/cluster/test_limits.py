"""Programs in narrow places: few files, few processes. Nothing waits without saying why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import BackendError

ACTORS = """
import air.errors
@air.remote(num_cpus=0)
class Actor:
    def call(self):
        return 1

def call(count):
    actors = [Actor.remote() for _ in range(count)]
    try:
        return sum(air.get([actor.call.remote() for actor in actors], timeout=60))
    except air.errors.AirError as error:
        return type(error).__name__ + ": " + str(error)
"""


@pytest.fixture
def pids_group() -> Iterator[Path]:
    """A control group that may have forty processes and threads."""
    group = Path(f"/sys/fs/cgroup/pids/air-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "pids.max").write_text("40")
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    yield group
    group.rmdir()


def test_a_node_that_may_open_few_files(
    program: Callable[[str], Any], survivors: Callable[[Sequence[Any]], list[str]]
) -> None:
    running = program(
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (110, 110))\n"
        + ACTORS
        + "start()\ntell(call(100))\nair.shutdown()\nstart()\ntell(call(5))\n"
    )
    assert "the node's daemon may open 110 files" in running.hear()
    assert running.hear() == 5
    assert running.end() == 0


def test_limits_that_leave_nothing(program: Callable[[str], Any]) -> None:
    running = program(
        """
        import resource
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        start()
        try:
            air.put(bytes(1_000_000))
        except air.errors.ObjectStoreFull as error:
            tell(str(error))
        air.shutdown()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))
        try:
            start()
        except air.errors.BackendError as error:
            tell(str(error))
        """
    )
    said = running.hear()
    assert "no file of its processes may be larger than 100000 bytes" in said
    assert "ulimit -f" in said
    assert "the node's daemon may open 12 files, and needs 24 and some" in running.hear()
    assert running.end() == 0


def test_a_machine_that_hides_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_cluster.launch._PROC", "/nonexistent/meminfo")
    with pytest.raises(BackendError, match=r"reads /proc .* or use backend='local'"):
        air.init(backend="cluster", num_cpus=1)


def test_a_container_that_may_have_few_processes(
    program: Callable[[str], Any], pids_group: Path
) -> None:
    running = program(
        f"open({str(pids_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        + ACTORS
        + "start()\ntell(call(60))\nair.shutdown()\nstart()\ntell(call(3))\n"
    )
    told = running.hear()
    assert "cannot start workers" in told
    assert "40 in its control group" in told
    assert running.hear() == 3
    assert running.end() == 0
