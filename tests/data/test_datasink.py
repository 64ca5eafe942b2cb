"""Sources and targets of one's own."""

from __future__ import annotations

import glob
import inspect
import os
import sqlite3
import textwrap
from pathlib import Path

import pytest

from air import data
from air.data import Datasink, Datasource, ReadTask
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")


def example(kind, names):
    """The class in the docstring of *kind*."""
    _, _, after = inspect.getdoc(kind).partition("::\n\n")
    lines = [line for line in after.splitlines() if line.startswith("    ") or not line]
    code = textwrap.dedent("\n".join(lines).partition("    ds.write")[0])
    exec(code, names)
    return names[code.split()[1].partition("(")[0]]


def test_the_examples_of_the_docstrings(tmp_path):
    source = example(Datasource, {"Datasource": Datasource, "ReadTask": ReadTask})
    ds = data.read_datasource(source(), parallelism=3)
    assert ds.take_all() == [0, 1, 2]
    target = tmp_path / "numbers.txt"
    sink = example(Datasink, {"Datasink": Datasink, "glob": glob, "os": os, "Path": Path})
    ds.write_datasource(sink(target))
    assert target.read_text() == "{'value': 0}\n{'value': 1}\n{'value': 2}\n"

    def fail(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ds.map(fail).write_datasource(sink(target))
    assert os.listdir(tmp_path) == ["numbers.txt"]


class Log(Datasink):
    """What happens in the program, and what is written, in a database."""

    def __init__(self, path):
        self.path = path
        self.heard = []

    def on_write_start(self):
        self.heard.append("start")

    def write(self, tables, context, factor=1):
        rows = [(row["value"] * factor,) for table in tables for row in table.to_pylist()]
        with sqlite3.connect(f"{self.path}/{context.index}") as file:
            file.execute("create table t (value int)")
            file.executemany("insert into t values (?)", rows)
        file.close()
        return {"rows": len(rows), "source": bool(context.source)}

    def on_write_complete(self, write_results):
        self.heard.append(write_results)
        if len(write_results) > 3:
            raise ValueError("too many")

    def on_write_failed(self, write_results, error):
        self.heard.append((len(write_results), repr(error)))


def test_what_a_sink_hears(tmp_path):
    sink = Log(tmp_path)
    ds = data.range_table(10, parallelism=3).filter(lambda row: row["value"] > 3)
    ds.write_datasink(sink)
    assert sink.heard == [
        "start",
        [{"rows": rows, "source": True} for rows in (3 - 1, 4)],
    ]
    with pytest.raises(InvalidOption, match=r"Log.write.*'factr'"):
        ds.write_datasource(sink, factr=3)
    with pytest.raises(InvalidOption, match="has no option 'ray_remote_args'"):
        ds.write_datasource(sink, ray_remote_args={})


def test_an_error_at_the_end_is_one_of_the_write(tmp_path):
    sink = Log(tmp_path)
    with pytest.raises(ValueError, match="too many"):
        data.range_table(10, parallelism=5).write_datasource(sink, factor=2)
    assert sink.heard[-1] == (5, "ValueError('too many')")
    assert len(os.listdir(tmp_path)) == 5


def test_no_rows_are_no_pieces(tmp_path):
    sink = Log(tmp_path)
    data.range_table(0).write_datasource(sink)
    assert sink.heard == ["start", []]


def test_what_is_no_sink_is_refused():
    with pytest.raises(TypeError, match=r"takes an air.data.Datasink.*got 'x'"):
        data.range(3).write_datasource("x")
    assert Log("x").name == "Log"
