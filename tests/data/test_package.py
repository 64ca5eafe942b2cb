from __future__ import annotations

import subprocess
import sys

import pytest

from air import data
from air.data import plan
from air.data.execution.physical import OPERATORS, operator_of


def modules_after(statement: str, parts: int = 1) -> set[str]:
    """Names of what is loaded then, *parts* of each: of packages, of modules in them ..."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {".".join(name.split(".")[:parts]) for name in made.stdout.splitlines()}


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import air.data") & {"numpy", "pyarrow", "pandas"}


def test_pandas_comes_only_when_it_is_needed():
    loaded = modules_after("from air.data import read_csv, preprocessors, Dataset")
    assert "pyarrow" in loaded
    assert "pandas" not in loaded


SMALL_PROGRAM = """
import air
air.init(backend="local")
air.data.range(3).map(lambda row: row + 1).take_all()
"""


def test_small_programs_do_not_wait_for_what_they_do_not_use():
    loaded = modules_after(SMALL_PROGRAM, parts=3)
    assert "air.data.dataset" in loaded
    assert not loaded & {"asyncio", "html", "pandas", "tarfile", "xml"}
    assert not loaded & {
        "air.data.avro",
        "air.data.delta",
        "air.data.dealing",
        "air.data.iceberg",
        "air.data.lakes",
        "air.data.preprocessors",
        "air.data.random_access",
        "air.data.sql",
        "air.data.tfrecords",
        "air.data.webdataset",
        "air.executor.records",
    }


def test_every_step_is_computed_somewhere():
    assert all(operator_of(step) for step in OPERATORS)
    computed_by_runs = {plan.Map, plan.Read}
    steps = {kind for kind in vars(plan).values() if isinstance(kind, type)}
    abstract = {plan.Node, plan.Step}
    assert {kind for kind in steps if issubclass(kind, plan.Node)} == (
        set(OPERATORS) | computed_by_runs | abstract
    )


@pytest.mark.parametrize("name", data.__all__)
def test_every_name_is_there_and_documented(name):
    assert getattr(data, name).__doc__


@pytest.mark.parametrize(
    "cls", [data.Dataset, data.DataIterator, data.Datasource, data.Preprocessor]
)
def test_every_public_method_is_documented(cls):
    for name in dir(cls):
        if not name.startswith("_"):
            assert getattr(cls, name).__doc__, name
