from __future__ import annotations

import subprocess
import sys

import pytest

from air import data


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in made.stdout.splitlines()}


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import air.data") & {"numpy", "pyarrow", "pandas"}


def test_pandas_comes_only_when_it_is_needed():
    loaded = modules_after("from air.data import read_csv, preprocessors, Dataset")
    assert "pyarrow" in loaded
    assert "pandas" not in loaded


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
