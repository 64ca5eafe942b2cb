"""Runtime environments, and the modules of programs, on several nodes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import SerializationError
from air.testing.executor_suite.harness import eventually
from tests.cluster.nodes.conftest import Machines

TIMEOUT_S = 60

PROGRAM = """
import sys
import air
import beside

air.init(address=sys.argv[1])
print(air.get([air.remote(beside.tell).remote(), beside.Teller.remote().tell.remote()]))


@air.remote
def elsewhere():
    import here, json
    return here.NAME, hasattr(json, "dumps")


print(air.get(elsewhere.remote()))
"""
BESIDE = """
import air

def tell():
    return {name!r}

@air.remote
class Teller:
    def tell(self):
        return tell()
"""


@air.remote(num_cpus=0)
class Reader:
    def read(self) -> tuple[str, str, str]:
        node = air.get_runtime_context().get_node_id()
        return Path("data.txt").read_text(), os.getcwd(), node

    def process(self) -> int:
        return os.getpid()


def run_program(directory: Path, name: str, address: str) -> str:
    """What a program prints whose module beside it says *name*."""
    current = directory / "current"
    current.mkdir(parents=True, exist_ok=True)
    (current / "here.py").write_text(f"NAME = {name!r}")
    (current / "json.py").write_text("")  # not in sight of the program, which is elsewhere
    (directory / "program.py").write_text(PROGRAM)
    (directory / "beside.py").write_text(BESIDE.format(name=name))
    done = subprocess.run(
        [sys.executable, str(directory / "program.py"), address],
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        cwd=current,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_working_directory_on_each_node(two: Machines, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("text")
    given = {"working_dir": tmp_path}
    readers = [Reader.options(runtime_env=given, resources=r).remote() for r in ({}, {"widget": 1})]
    readers += [Reader.options(runtime_env=given).remote() for _ in range(2)]
    found = air.get([reader.read.remote() for reader in readers], timeout=TIMEOUT_S)
    assert {text for text, _, _ in found} == {"text"}
    places = {place for _, place, _ in found}
    assert len(places) == len({node for _, _, node in found}) == 2
    assert {Path(place).parents[1] for place in places} == {Path(n.directory) for n in two.nodes}


def test_an_actor_that_moves_to_another_node(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("text")
    machines.start(num_cpus=0)
    first = machines.start(resources={"place": 1})
    machines.join()
    actor = Reader.options(
        runtime_env={"working_dir": tmp_path},
        resources={"place": 1},
        max_restarts=1,
        max_task_retries=-1,
    ).remote()
    _, place, _ = air.get(actor.read.remote(), timeout=TIMEOUT_S)
    machines.start(resources={"place": 1})
    first.kill()
    text, other, _ = air.get(actor.read.remote(), timeout=TIMEOUT_S)
    assert text == "text"
    assert other != place


def test_modules_beside_a_script(machines: Machines, tmp_path: Path) -> None:
    """Each program finds its own, and its workers end with it."""
    node = machines.start(num_cpus=2)
    before = {process.pid for process in node.processes}
    for name in ("one", "another"):
        shown = run_program(tmp_path / "place", name, node.address)
        assert shown == f"{[name, name]}\n{(name, True)}"
        assert eventually(lambda: {process.pid for process in node.processes} <= before)


def test_a_module_that_is_not_there(
    two: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "air_test_elsewhere.py"
    path.write_text("def tell():\n    return 'here'\n")
    module: Any = importlib.import_module("air_test_elsewhere")
    task = air.remote(resources={"widget": 1})(module.tell)
    sent = task.options(runtime_env={"py_modules": [module]})
    try:
        assert air.get(sent.remote(), timeout=TIMEOUT_S) == "here"
        path.unlink()
        with pytest.raises(SerializationError, match="working_dir"):
            air.get(task.remote(), timeout=TIMEOUT_S)
        # What was read once goes on being there.
        assert air.get(sent.remote(), timeout=TIMEOUT_S) == "here"
    finally:
        del sys.modules["air_test_elsewhere"]
