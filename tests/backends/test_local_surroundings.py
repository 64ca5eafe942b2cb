"""Runtime environments on the local backend, where one process has them all by turns."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import air
from air.errors import UnsupportedByBackend

pytestmark = pytest.mark.usefixtures("air_local")

NAME = "AIR_TEST_VARIABLE"
FIRST, SECOND = ({"env_vars": {NAME: value}} for value in ("1", "2"))


@air.remote
def read() -> str | None:
    return os.environ.get(NAME)


def test_the_process_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "air_test_mine.py").write_text("")

    @air.remote(runtime_env={"working_dir": tmp_path, **FIRST})
    def change() -> None:
        import air_test_mine  # noqa: F401

        os.environ[NAME] = "changed"
        os.environ["AIR_TEST_OTHER"] = "made"
        del os.environ["PATH"]
        os.chdir("/")
        sys.path.append("/nowhere")
        raise ValueError("over")

    before = dict(os.environ), os.getcwd(), list(sys.path), set(sys.modules)
    with pytest.raises(ValueError, match="over"):
        air.get(change.remote())
    assert (dict(os.environ), os.getcwd(), sys.path) == before[:3]
    assert "air_test_mine" not in sys.modules
    assert os.environ.get(NAME) is None


def test_what_is_imported_stays_the_same_module_in_its_environment(tmp_path: Path) -> None:
    (tmp_path / "air_test_mine.py").write_text("class Mine:\n    pass\n")

    @air.remote(runtime_env={"py_modules": [tmp_path / "air_test_mine.py"]})
    class Keeper:
        def __init__(self) -> None:
            from air_test_mine import Mine

            self.mine = Mine()

        def is_mine(self) -> bool:
            from air_test_mine import Mine

            return isinstance(self.mine, Mine)

    assert air.get(Keeper.remote().is_mine.remote())


inside, go_on = threading.Event(), threading.Event()


def wait() -> str | None:  # travels by its name, and so finds these events
    inside.set()
    assert go_on.wait(30)
    return os.environ.get(NAME)


def test_threads_take_turns() -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: air.get(air.remote(wait).options(runtime_env=FIRST).remote()))
        assert inside.wait(30)
        second = pool.submit(lambda: air.get(read.options(runtime_env=SECOND).remote()))
        # What has no environment waits for nobody.
        assert air.get(air.remote(len).remote("abc")) == 3
        go_on.set()
        assert (first.result(30), second.result(30)) == ("1", "2")
    assert air.get(read.remote()) is None


def test_a_function_that_turns_out_to_be_async() -> None:
    async def later() -> str:
        return "later"

    @air.remote
    def start() -> object:
        return later()

    assert air.get(start.remote()) == "later"
    with pytest.raises(UnsupportedByBackend, match="turned out to be one"):
        air.get(start.options(runtime_env=FIRST).remote())


def test_a_generator_is_closed_in_its_environment() -> None:
    @air.remote
    class Notes:
        def add(self, text: str | None) -> None:
            self.text = text

        def get(self) -> str | None:
            return self.text

    notes = Notes.remote()

    @air.remote(runtime_env=FIRST)
    def count(notes: object):  # type: ignore[no-untyped-def]
        try:
            yield 1
            yield 2
        finally:
            air.get(notes.add.remote(os.environ.get(NAME)))  # type: ignore[attr-defined]

    stream = count.remote(notes)
    assert air.get(next(stream)) == 1
    del stream
    assert air.get(notes.get.remote()) == "1"
