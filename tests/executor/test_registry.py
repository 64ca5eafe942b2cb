"""Finding backends, and the one that runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import air
from air.errors import BackendError, InvalidOption
from air.executor import current, registry
from air.executor.interface import InitConfig


def test_built_in_backends_are_entry_points():
    assert {"cluster", "local"} <= set(registry.backends())


def test_unknown_backend_names_the_nearest():
    with pytest.raises(InvalidOption, match=r"'locla'.*Did you mean 'local'.*Installed backends"):
        registry.load("locla")


class _Broken:
    name = "broken"
    value = "engine:connect"

    def load(self):
        raise ImportError("No module named 'engine'")


def test_backend_that_cannot_be_imported(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [_Broken()])
    with pytest.raises(BackendError, match=r"engine:connect.*No module named 'engine'\. Install"):
        registry.load("broken")


def test_environment_names_the_backend(monkeypatch):
    monkeypatch.setenv("AIR_BACKEND", "local")
    assert current.get_executor().name == "local"
    air.shutdown()


@pytest.mark.parametrize(
    ("variables", "error", "message"),
    [
        (
            {"AIR_BACKEND": "lokal"},
            InvalidOption,
            r"unknown backend 'lokal'\. Did you mean 'local'.*environment says AIR_BACKEND=lokal\)",
        ),
        (
            {"AIR_ADDRESS": "nowhere"},
            InvalidOption,
            r"got 'nowhere': there is no port \(the environment says AIR_ADDRESS=nowhere\)",
        ),
        (
            {"AIR_ADDRESS": "127.0.0.1:1", "AIR_BACKEND": "cluster"},
            BackendError,
            r"cluster at 127\.0\.0\.1:1 takes.*BACKEND=cluster and AIR_ADDRESS=127\.0\.0\.1:1",
        ),
    ],
)
def test_wrong_values_in_the_environment_are_named(monkeypatch, variables, error, message):
    monkeypatch.delenv("AIR_TOKEN_FILE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message):
        current.get_executor()
    assert not air.is_initialized()


def test_argument_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("AIR_BACKEND", "no such backend")
    air.init(backend="local")
    assert current.get_executor().name == "local"
    air.shutdown()


def test_local_takes_no_address():
    with pytest.raises(InvalidOption, match="takes no address, got 'auto'"):
        air.init("auto", backend="local")
    assert not air.is_initialized()


def test_address_in_the_environment_is_not_for_local(monkeypatch):
    monkeypatch.setenv("AIR_ADDRESS", "example.org:1234")
    air.init(backend="local")
    air.shutdown()


def test_second_start(air_local):
    with pytest.raises(RuntimeError, match="initialized already, with backend 'local'"):
        air.init(backend="local")
    before = current.get_executor()
    air.init(backend="cluster", ignore_reinit_error=True)
    assert current.get_executor() is before


def test_install(air_local):
    before = current.get_executor()
    current.install(None)
    assert not air.is_initialized()
    current.install(before)
    assert current.get_executor() is before


def test_failed_start_leaves_nothing(monkeypatch):
    def connect(config: InitConfig):
        raise BackendError("no")

    monkeypatch.setattr(current, "load", lambda name: connect)
    with pytest.raises(BackendError):
        air.init(backend="local")
    assert not air.is_initialized()


def test_exit_without_shutdown():
    program = "import air; air.init(backend='local'); print(air.get(air.put(1)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1\n"
    assert done.stderr == ""


def test_seam_loads_only_what_it_needs():
    program = (
        "import sys, air, air.errors; air.init; import air.executor.interface;"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
