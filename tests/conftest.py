"""Fixtures that start a backend, and the check that backends leave nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

import air
from air.executor import current
from air.testing.leaks import Belongings, check_nothing_left

# The same examples in every run, and no deadlines: the machine may be busy with other things.
settings.register_profile("air", deadline=None, derandomize=True, database=None)
settings.load_profile("air")

# Tests kill daemons, whose log files would be kept for a person to look at.
os.environ["AIR_CRASHED_SESSIONS"] = "0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        default="local",
        help="the backend that tests of the libraries run on (default: local)",
    )


@pytest.fixture
def air_local() -> Iterator[None]:
    """The local backend with 4 CPUs."""
    air.init(backend="local", num_cpus=4)
    yield
    air.shutdown()


@pytest.fixture
def air_cluster() -> Iterator[None]:
    """A cluster of this machine alone with 2 CPUs."""
    air.init(backend="cluster", num_cpus=2)
    yield
    air.shutdown()


@pytest.fixture
def air_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The backend of ``--backend``, for tests of the libraries; gives its name."""
    name = request.config.getoption("--backend")
    air.init(backend=name, num_cpus=4 if name == "local" else 2)
    yield name
    air.shutdown()


class _LeakWatch:
    """Remembers what this process had before the first start of a backend."""

    def __init__(self) -> None:
        self.before: Belongings | None = None
        self._start = current.start

    def start(self, *args: Any, **kwargs: Any) -> Any:
        if self.before is None and not current.is_initialized():
            self.before = Belongings.now()
        return self._start(*args, **kwargs)

    def check(self) -> None:
        if self.before is not None and not current.is_initialized():
            before, self.before = self.before, None
            check_nothing_left(before)


_watch = _LeakWatch()


def pytest_configure() -> None:
    # A shell starts background jobs with SIGINT ignored, and tests of Ctrl-C with them.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    current.start = _watch.start


def pytest_unconfigure() -> None:
    current.start = _watch._start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """After the fixtures of a test have ended, nothing of a backend may be left."""
    yield
    _watch.check()
