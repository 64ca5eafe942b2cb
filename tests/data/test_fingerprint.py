"""Digests of functions: the same in another process, another when anything that counts differs."""

from __future__ import annotations

import enum
import functools
import subprocess
import sys
import threading
from dataclasses import dataclass
from textwrap import dedent

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air.data.checkpointing.fingerprint import digest, is_own

PROGRAM = """
    import functools
    from air.data.checkpointing.fingerprint import digest

    NAMES = {"a", "b", "c", "d"}

    def helper(x):
        return x + 1

    class Model:
        kinds = frozenset({"x", "y", "z"})

        def __init__(self, size):
            self.size = size

        def __call__(self, batch):
            return helper(batch) in {"p", "q", "r"}

    def f(batch, scale=2):
        return [helper(v) * scale for v in batch if v in ("u", "v") and v in NAMES]

    print(digest([f, Model, Model(3), functools.partial(f, scale=4), lambda x: f(x)]))
"""


def made(source, **scope):
    exec(dedent(source), scope)
    return scope["f"]


def test_it_is_the_same_in_every_process(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(dedent(PROGRAM))
    found = {
        subprocess.run(
            [sys.executable, program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_lines_and_comments_make_no_difference():
    one = made("def f(x):\n    return x + 1")
    other = made("# Adds.\n\n\ndef f(x):\n    # one\n    return x + 1")
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return x - 1",
        "def f(x):\n    return x + 2",
        "def f(x, y=1):\n    return x + 1",
        "def f(x):\n    return abs(x) + 1",
        "def f(x):\n    return helper(x)",
    ],
)
def test_another_code_is_another_function(source):
    same = made("def f(x):\n    return x + 1")
    assert digest(made(source, helper=same)) != digest(same)


def test_what_a_function_uses_counts():
    source = "def f(x):\n    return [helper(v) * scale for v in x]"

    def digest_with(helper, scale):
        return digest(made(source, helper=made(helper), scale=scale))

    plain = digest_with("def f(x): return x", 1)
    assert plain == digest_with("def f(x): return x", 1)
    assert plain != digest_with("def f(x): return -x", 1)
    assert plain != digest_with("def f(x): return x", 2)


def test_what_a_function_closes_over_counts():
    def scaled(by):
        return lambda x: x * by

    assert digest(scaled(2)) == digest(scaled(2))
    assert digest(scaled(2)) != digest(scaled(3))
    assert digest(functools.partial(scaled, 2)) != digest(functools.partial(scaled, 3))


def test_classes_count_by_their_methods_and_instances_by_their_state():
    def model(body):
        scope = {}
        exec(
            f"class M:\n    def __init__(self, n): self.n = n\n    def __call__(self, x): {body}",
            scope,
        )
        return scope["M"]

    assert digest(model("return x")) == digest(model("return x"))
    assert digest(model("return x")) != digest(model("return -x"))
    assert digest(model("return x")(1)) == digest(model("return x")(1))
    assert digest(model("return x")(1)) != digest(model("return x")(2))


def test_functions_that_call_themselves_and_one_another():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert digest(even) == digest(even)
    assert digest(even) != digest(odd)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Remembers:
    n: int

    @functools.cached_property
    def double(self):
        return 2 * self.n


def test_what_a_value_has_worked_out_makes_no_difference():
    value = Remembers(1)
    before = digest(value)
    assert value.double == 2
    assert digest(value) == before != digest(Remembers(2))


VALUES = [
    None,
    0,
    False,
    0.0,
    "",
    b"",
    (),
    [],
    {},
    set(),
    [1, 2],
    [2, 1],
    (1, 2),
    {"a": 1},
    {"a": 2},
    [[1], 2],
    [[1, 2]],
    np.arange(3),
    np.arange(3.0),
    np.arange(6).reshape(2, 3),
    np.arange(6).reshape(3, 2),
    np.array(["a", None], dtype=object),
    pd.DataFrame({"a": [1, 2]}),
    pd.DataFrame({"a": [1, 3]}),
    pd.DataFrame({"a": ["x", None]}),
    pa.table({"a": [1, 2]}),
    pa.table({"a": [1, 3]}),
    pa.table({"b": [1, 2]}),
    pa.int64(),
    Colour.RED,
    Colour.BLUE,
    len,
    abs,
    np.mean,
    threading.Lock(),
]


def test_values_are_told_apart():
    digests = [digest(value) for value in VALUES]
    assert digests == [digest(value) for value in VALUES]
    assert len(set(digests)) == len(VALUES)


def test_a_part_of_a_table_is_not_the_table():
    table = pa.table({"a": list(range(100))})
    assert digest(table.slice(0, 50)) == digest(table.slice(0, 50))
    assert digest(table.slice(0, 50)) != digest(table.slice(50))


def test_whose_a_module_is():
    assert is_own("__main__")
    assert not any(map(is_own, ("json", "builtins", "numpy.linalg", "air.data", "pytest")))
