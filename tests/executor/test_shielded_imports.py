"""Ctrl-C while a library is loaded that would drop it."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from air.executor import shielded_imports

CARELESS = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
except BaseException:
    pass
import os
os.environ["AIR_TEST_LOADED"] = "whole"
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a library, which is one of those that are shielded."""
    name = "air_test_library"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shielded_imports, "LIBRARIES", {name})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setenv("AIR_TEST_LOADED", "")
    shielded_imports.install()

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    sys.modules.pop(name, None)


def test_it_is_raised_once_the_library_is_loaded(library: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(library(CARELESS))
    assert os.environ["AIR_TEST_LOADED"] == "whole"
    assert signal.getsignal(signal.SIGINT) is before


def test_without_it_the_library_is_as_ever(library: Any) -> None:
    text = "def f():\n    return 3\n"
    module = importlib.import_module(library(text))
    assert module.f() == 3
    assert module.__loader__ is module.__spec__.loader
    assert "exec_module" not in vars(module.__loader__)
    assert inspect.getsource(module) == text
    assert importlib.reload(module).f() == 3


def test_what_loading_raises_is_raised(library: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(library("1 / 0"))


def test_one_that_is_not_installed(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shielded_imports, "LIBRARIES", {"air_test_missing"})
    with pytest.raises(ModuleNotFoundError, match="air_test_missing"):
        importlib.import_module("air_test_missing")


def test_other_modules_are_left_alone(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shielded_imports, "LIBRARIES", set())
    importlib.import_module(library(CARELESS))  # which has dropped it


def test_installing_it_twice_is_once(library: Any) -> None:
    count = len(sys.meta_path)
    shielded_imports.install()
    assert len(sys.meta_path) == count


def test_a_program_that_uses_data_has_it() -> None:
    program = """
import sys
import air.data
from air.executor.shielded_imports import ShieldingFinder
assert isinstance(sys.meta_path[0], ShieldingFinder)
assert "pyarrow" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
