"""What ``runtime_env=`` may say, and how environments are put together."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import InvalidOption
from air.executor.environments import Environment, PipRequirements, expand, read_environment
from air.executor.options import actor_options, task_options
from air.runtime_env import RuntimeEnv, RuntimeEnvConfig


def read(**given: Any) -> Environment:
    environment = read_environment(given)
    assert environment is not None
    return environment


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "must be a dict"),
        ({"env_var": {}}, "Did you mean 'env_vars'"),
        ({"conda": "base"}, "no field 'conda': use 'pip'"),
        ({"worker_process_setup_hook": print}, "call the function"),
        ({"env_vars": ["A"]}, "env_vars must be a dict"),
        ({"env_vars": {"A": 1}}, r"env_vars\['A'\] must be text, got 1: write \{'A': '1'\}"),
        ({"env_vars": {"A=B": "1"}}, "no such name"),
        ({"env_vars": {"": "1"}}, "no such name"),
        ({"env_vars": {"A": "a\0b"}}, "NUL"),
        ({"working_dir": 3}, "working_dir must be non-empty text"),
        ({"working_dir": "s3://bucket/key.zip"}, "a path of this machine"),
        ({"py_modules": "pkg"}, "must be a list"),
        ({"py_modules": [3]}, "takes paths and modules, got 3"),
        ({"py_modules": [sys]}, "cannot send the module 'sys'"),
        ({"excludes": "*.bin"}, "excludes must be a list of text"),
        ({"pip": 3}, "pip's packages must be a list"),
        ({"pip": ["a", 3]}, "an item of pip's packages"),
        ({"pip": {"pip_check": True}}, "needs 'packages'"),
        ({"pip": {"package": []}}, "Did you mean 'packages'"),
        ({"pip": {"packages": [], "pip_check": 1}}, "True or False"),
        ({"config": {"setup_timeout_seconds": 0}}, ">= 1"),
        ({"config": {"timeout": 5}}, "no option 'timeout'"),
        ({"config": 5}, "config must be a dict"),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    for check in (task_options, actor_options):
        with pytest.raises(InvalidOption, match=message):
            check({"runtime_env": given})
    if isinstance(given, dict):
        with pytest.raises(InvalidOption, match=message):
            RuntimeEnv(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"working_dir": "/nowhere/at/all"}, "is not there on this machine"),
        ({"working_dir": __file__}, "a directory or a .zip file"),
        ({"py_modules": ["/nowhere/pkg"]}, "is not there"),
        ({"py_modules": ["/bin/sh"]}, "got the file '/bin/sh'"),
        ({"pip": "/nowhere/requirements.txt"}, "requirements.txt' cannot be read"),
    ],
)
def test_files_are_looked_for_when_they_are_needed(given: Any, message: str) -> None:
    for check in (task_options, actor_options):
        environment = check({"runtime_env": given}).runtime_env
        assert environment
        with pytest.raises(InvalidOption, match=message):
            environment.check_files()
    with pytest.raises(InvalidOption, match=message):
        air.init(backend="local", runtime_env=given)


def test_paths_do_not_depend_on_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "list.txt").write_text("--find-links wheels\n-c limits.txt\nnumpy>=1 # why\n\n#\n")
    environment = read(working_dir=".", py_modules=["pkg"], pip="list.txt")
    assert environment.working_dir == str(tmp_path)
    assert environment.py_modules == (str(tmp_path / "pkg"),)
    assert environment.pip == PipRequirements(
        (f"--find-links {tmp_path}/wheels", f"-c {tmp_path}/limits.txt", "numpy>=1")
    )
    lines = ("./a.whl", "b.whl", "c", "d @ https://e/f.whl", "-r more.txt", "--no-index")
    pip = read(pip=list(lines)).pip
    assert pip is not None
    assert pip.packages == (
        f"{tmp_path}/a.whl",
        f"{tmp_path}/b.whl",
        *lines[2:4],
        f"-r {tmp_path}/more.txt",
        "--no-index",
    )


def test_a_module_stands_for_where_it_is(tmp_path: Path) -> None:
    import air.executor.environments as module

    package = types.ModuleType("pkg")
    package.__path__ = [str(tmp_path)]
    found = read(py_modules=[module, package]).py_modules
    assert found == (module.__file__, str(tmp_path))


def test_children_take_what_they_do_not_say_from_their_parent(tmp_path: Path) -> None:
    parent = read(env_vars={"A": "1", "B": "2"}, working_dir=tmp_path, pip=["a"])
    child = read(env_vars={"B": "3", "C": "4"}, pip=["b"]).over(parent)
    assert child.env_vars == (("A", "1"), ("B", "3"), ("C", "4"))
    assert child.working_dir == str(tmp_path)
    assert child.pip == PipRequirements(("b",))
    assert Environment().over(parent) == parent
    assert not read(pip=[]).over(read(pip=["a"]))


def test_it_is_told_as_it_was_given(tmp_path: Path) -> None:
    given = {
        "env_vars": {"A": "1"},
        "working_dir": str(tmp_path),
        "excludes": ["*.bin"],
        "py_modules": [str(tmp_path)],
        "pip": {"packages": ["a"], "pip_check": True, "pip_install_options": ["--no-deps"]},
        "config": {"setup_timeout_seconds": 5.0},
    }
    environment = read(**given)
    assert environment.to_dict() == given
    assert read(**environment.to_dict()) == environment
    assert hash(read(**given)) == hash(environment)
    assert Environment().to_dict() == {}


def test_what_is_read_already_stays_as_it_is(tmp_path: Path) -> None:
    missing = Environment(working_dir=str(tmp_path / "missing"))
    assert task_options({"runtime_env": missing}).runtime_env == missing


def test_references_to_other_variables() -> None:
    before = {"PATH": "/bin", "A": "1"}
    assert expand("/opt:${PATH}:$A:${A}${NOTHING}", before) == "/opt:/bin:$A:1"


def test_runtime_env_is_a_dict_that_checks(tmp_path: Path) -> None:
    environment = RuntimeEnv(env_vars={"A": "1"}, config=RuntimeEnvConfig(20))
    assert environment == {"env_vars": {"A": "1"}, "config": {"setup_timeout_seconds": 20}}
    environment["working_dir"] = str(tmp_path)
    with pytest.raises(InvalidOption, match="Did you mean"):
        environment["working_dirs"] = str(tmp_path)
    copy = pickle.loads(pickle.dumps(environment))
    assert type(copy) is RuntimeEnv
    assert copy == environment == environment.to_dict()
    assert read(**environment).setup_timeout == 20
    with pytest.raises(InvalidOption, match="eager_install"):
        RuntimeEnvConfig(eager_install=True)
