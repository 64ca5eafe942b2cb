"""Runtime environments: variables, directories and modules that tasks and actors find."""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import InvalidOption, RuntimeEnvSetupError
from air.executor.capabilities import Capability
from air.runtime_env import RuntimeEnv
from air.testing.executor_suite.harness import Backend, guarded_by, value

NAME = "AIR_SUITE_VARIABLE"
OTHER = "AIR_SUITE_OTHER"


def variables(**given: str) -> dict[str, Any]:
    return {"env_vars": given}


@air.remote
def read(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


@air.remote
def read_in_child(*names: str, **options: Any) -> list[str | None]:
    found: list[str | None] = value(read.options(**options).remote(*names))
    return found


@air.remote
def describe() -> tuple[dict[str, Any], str]:
    context = air.get_runtime_context()
    return context.runtime_env.to_dict(), context.get_runtime_env_string()


@air.remote
def look(module: str | None = None) -> dict[str, Any]:
    """What is in the current directory, and what a module there says of itself."""
    found = importlib.import_module(module).NAME if module else ""
    here = sorted(set(os.listdir(".")) - {"__pycache__"})  # Python may have compiled something
    return {"here": here, "at": os.getcwd(), "module": found}


@air.remote
def name_of(module: str) -> str:
    found: str = importlib.import_module(module).NAME
    return found


@air.remote
def count(number: int) -> Iterator[str | None]:
    for _ in range(number):
        yield os.environ.get(NAME)


@air.remote
async def wait_a_moment() -> str | None:
    return os.environ.get(NAME)


@air.remote
class Reader:
    def __init__(self) -> None:
        self.at_start = os.environ.get(NAME)

    def read(self) -> list[str | None]:
        return [self.at_start, os.environ.get(NAME)]

    def child(self) -> list[str | None]:
        found: list[str | None] = value(read.remote(NAME))
        return found

    def load(self, module: str) -> str:
        found: str = importlib.import_module(module).NAME
        return found


@air.remote
class AsyncReader:
    async def read(self) -> str | None:
        return os.environ.get(NAME)


def write_module(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"NAME = {name!r}\n")
    return path


@pytest.mark.usefixtures("session")
class TestEnvironments:
    def test_variables_of_a_task(self) -> None:
        task = read.options(runtime_env=variables(**{NAME: "one"}))
        assert value(task.remote(NAME)) == ["one"]
        assert value(read.remote(NAME)) == [None]
        assert NAME not in os.environ

    def test_tasks_of_several_environments_by_turns(self) -> None:
        tasks = [read.options(runtime_env=variables(**{NAME: str(i % 3)})) for i in range(9)]
        found = value([task.remote(NAME) for task in tasks])
        assert found == [[str(i % 3)] for i in range(9)]

    def test_children_inherit(self) -> None:
        outer = read_in_child.options(runtime_env=variables(**{NAME: "one", OTHER: "two"}))
        assert value(outer.remote(NAME, OTHER)) == ["one", "two"]

    def test_variables_are_merged_one_by_one(self) -> None:
        outer = read_in_child.options(runtime_env=variables(**{NAME: "one", OTHER: "two"}))
        inner = variables(**{OTHER: "three"})
        assert value(outer.remote(NAME, OTHER, runtime_env=inner)) == ["one", "three"]

    def test_options_replace_what_was_given_before(self) -> None:
        task = read.options(runtime_env=variables(**{NAME: "one"}))
        assert value(task.options(num_cpus=2).remote(NAME)) == ["one"]
        task = task.options(runtime_env=variables(**{OTHER: "two"}))
        assert value(task.remote(NAME, OTHER)) == [None, "two"]
        assert value(task.options(runtime_env=None).remote(OTHER)) == [None]

    def test_a_variable_may_use_what_it_was_before(self) -> None:
        changed = "one:${" + NAME + "}${PATH}"
        [found] = value(read.options(runtime_env=variables(PATH=changed)).remote("PATH"))
        assert found is not None
        assert found.startswith("one:")
        assert "${" not in found
        assert len(found) > len("one:")

    def test_an_empty_environment_is_none(self) -> None:
        assert value(read.options(runtime_env={}).remote(NAME)) == [None]
        assert value(describe.options(runtime_env=RuntimeEnv()).remote()) == ({}, "{}")

    def test_an_actor_has_it_from_the_start(self) -> None:
        actor = Reader.options(runtime_env=variables(**{NAME: "one"})).remote()
        other = Reader.remote()
        assert value(actor.read.remote()) == ["one", "one"]
        assert value(other.read.remote()) == [None, None]
        assert value(actor.child.remote()) == ["one"]
        assert value(other.child.remote()) == [None]

    def test_an_actor_keeps_its_own_when_a_task_calls_it(self) -> None:
        actor = Reader.remote()

        @air.remote(runtime_env=variables(**{NAME: "one"}))
        def call(actor: Any) -> Any:
            return value(actor.read.remote()), os.environ[NAME]

        assert value(call.remote(actor)) == ([None, None], "one")

    def test_generators(self) -> None:
        stream = count.options(runtime_env=variables(**{NAME: "one"})).remote(3)
        assert value(list(stream)) == ["one"] * 3

    def test_async_functions(self) -> None:
        with guarded_by(Capability.ASYNC_ENVIRONMENTS):
            task = wait_a_moment.options(runtime_env=variables(**{NAME: "one"}))
            assert value(task.remote()) == "one"
        with guarded_by(Capability.ASYNC_ENVIRONMENTS):
            actor = AsyncReader.options(runtime_env=variables(**{NAME: "two"})).remote()
            assert value(actor.read.remote()) == "two"

    def test_what_a_task_is_told_of_it(self) -> None:
        given = {"env_vars": {NAME: "one"}, "config": {"setup_timeout_seconds": 50}}
        told, text = value(describe.options(runtime_env=given).remote())
        assert told == given
        assert json.loads(text) == given
        assert air.get_runtime_context().runtime_env == {}

    def test_a_working_directory(self, tmp_path: Path) -> None:
        write_module(tmp_path / "suite_in_working_dir.py", "mine")
        (tmp_path / "data.txt").write_text("text")
        (tmp_path / "left.bin").write_text("")
        before = os.getcwd(), list(sys.path)
        given = {"working_dir": tmp_path, "excludes": ["*.bin"]}
        found = value(look.options(runtime_env=given).remote("suite_in_working_dir"))
        assert found["module"] == "mine"
        assert found["here"] == ["data.txt", "suite_in_working_dir.py"]
        assert found["at"] != str(tmp_path)
        assert (os.getcwd(), sys.path) == before
        assert "suite_in_working_dir" not in sys.modules
        with pytest.raises(ModuleNotFoundError):
            value(name_of.remote("suite_in_working_dir"))

    def test_a_working_directory_is_the_current_one_of_children(self, tmp_path: Path) -> None:
        (tmp_path / "data.txt").write_text("text")

        @air.remote
        def outer() -> Any:
            return value(look.remote()), value(
                look.options(runtime_env={"working_dir": str(tmp_path)}).remote()
            )

        one, other = value(outer.options(runtime_env={"working_dir": tmp_path}).remote())
        assert one == other
        assert one["here"] == ["data.txt"]

    def test_modules(self, tmp_path: Path) -> None:
        write_module(tmp_path / "a" / "suite_package" / "__init__.py", "a package")
        write_module(tmp_path / "b" / "suite_module.py", "a module")
        with zipfile.ZipFile(tmp_path / "suite_wheel-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("suite_wheel.py", "NAME = 'a wheel'\n")
        given = {
            "py_modules": [
                str(tmp_path / "a" / "suite_package"),
                tmp_path / "b" / "suite_module.py",
                tmp_path / "suite_wheel-1.0-py3-none-any.whl",
            ]
        }
        task = name_of.options(runtime_env=given)
        names = ["suite_package", "suite_module", "suite_wheel"]
        found = value([task.remote(name) for name in names])
        assert found == ["a package", "a module", "a wheel"]

    def test_two_versions_of_a_module(self, tmp_path: Path) -> None:
        versions = []
        for number in ("1", "2"):
            path = write_module(tmp_path / number / "suite_twice.py", number)
            versions.append({"py_modules": [path]})
        one, two = (name_of.options(runtime_env=given) for given in versions)
        actor = Reader.options(runtime_env=versions[0]).remote()
        for _ in range(2):
            found = value([one.remote("suite_twice"), two.remote("suite_twice")])
            assert found == ["1", "2"]
            assert value(actor.load.remote("suite_twice")) == "1"

    def test_code_of_a_module_that_is_only_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A function of such a module travels by its name."""
        path = write_module(tmp_path / "suite_by_name.py", "mine")
        path.write_text("NAME = 'mine'\ndef tell():\n    return NAME\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        module = importlib.import_module("suite_by_name")
        try:
            task = air.remote(module.tell).options(runtime_env={"py_modules": [module]})
            assert value(task.remote()) == "mine"
        finally:
            del sys.modules["suite_by_name"]

    def test_pip(self) -> None:
        if Capability.INSTALLED_PACKAGES in _capabilities():
            pytest.skip("what pip installs takes long, and is tested by the backend")
        with guarded_by(Capability.INSTALLED_PACKAGES):
            read.options(runtime_env={"pip": ["anything"]}).remote(NAME)
        with guarded_by(Capability.INSTALLED_PACKAGES):
            Reader.options(runtime_env={"pip": ["anything"]}).remote()

    def test_what_it_cannot_take(self) -> None:
        with pytest.raises(InvalidOption, match="Did you mean 'env_vars'"):
            read.options(runtime_env={"env_var": {}})
        with pytest.raises(InvalidOption, match="must be text, got 4"):
            Reader.options(runtime_env={"env_vars": {"OMP_NUM_THREADS": 4}})

    def test_files_are_looked_for_when_a_task_is_started(self, tmp_path: Path) -> None:
        path = tmp_path / "later"
        task = look.options(runtime_env={"working_dir": path})
        with pytest.raises(InvalidOption, match="is not there"):
            task.remote()
        with pytest.raises(InvalidOption, match="is not there"):
            Reader.options(runtime_env={"py_modules": [path / "module.py"]}).remote()
        write_module(path / "suite_later.py", "later")
        assert value(task.remote("suite_later"))["module"] == "later"

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "broken.zip").write_text("no zip file")
        task = read.options(runtime_env={"working_dir": tmp_path / "broken.zip"})
        with pytest.raises(RuntimeEnvSetupError, match="no zip file"):
            task.remote(NAME)
        assert value(read.remote(NAME)) == [None]


class TestProgramEnvironment:
    def test_all_that_a_program_starts(self, backend: Backend, tmp_path: Path) -> None:
        write_module(tmp_path / "suite_of_program.py", "of the program")
        given = {"env_vars": {NAME: "one"}, "py_modules": [str(tmp_path / "suite_of_program.py")]}
        backend.start(runtime_env=given)
        try:
            assert NAME not in os.environ
            assert value(read.remote(NAME)) == ["one"]
            assert value(name_of.remote("suite_of_program")) == "of the program"
            actor = Reader.options(runtime_env=variables(**{OTHER: "two"})).remote()
            assert value(actor.read.remote()) == ["one", "one"]
            assert air.get_runtime_context().runtime_env == given
            changed = read_in_child.options(runtime_env=variables(**{NAME: "three"}))
            assert value(changed.remote(NAME)) == ["three"]
            replaced = name_of.options(runtime_env={"py_modules": []})
            with pytest.raises(ModuleNotFoundError):
                value(replaced.remote("suite_of_program"))
        finally:
            air.shutdown()


def _capabilities() -> frozenset[Capability]:
    from air.executor.current import get_executor

    return get_executor().capabilities
