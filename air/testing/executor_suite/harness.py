"""What the suite's tests share: how a backend is described, started and asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

import air
from air.errors import UnsupportedByBackend
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.testing.leaks import Belongings, check_nothing_left

TIMEOUT = 30.0
"""Seconds until a value that should come makes the test fail instead of hang."""


@dataclass(frozen=True)
class Backend:
    """The backend under test.

    Attributes:
        name: as in ``air.init(backend=...)``.
        options: more options for ``air.init``.
        gaps: tests that do not pass yet, as ``"TestArea.test_name"``, each with the reason.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)

    def start(self, **options: Any) -> None:
        """Start it with what the tests count on: 2 CPUs, 2 GPUs (numbers), 2 widgets, 2 labels."""
        air.init(
            backend=self.name,
            **{
                "num_cpus": 2,
                "num_gpus": 2,
                "resources": {"widget": 2},
                "labels": {"zone": "a", "disk": "ssd"},
                **self.options,
                **options,
            },
        )


@pytest.fixture(scope="class")
def session(backend: Backend) -> Iterator[None]:
    """The backend, started for all tests of a class; afterwards nothing of it may be left."""
    before = Belongings.now()
    backend.start()
    yield
    air.shutdown()
    check_nothing_left(before)


@pytest.fixture(autouse=True)
def gap(request: pytest.FixtureRequest, backend: Backend) -> None:
    """Expect a test to fail that the backend lists as a gap."""
    from air.testing import executor_suite

    for name in backend.gaps:
        area, _, test = name.partition(".")
        if not hasattr(getattr(executor_suite, area, None), test):
            raise ValueError(f"gaps names {name!r}, which is no test of the suite")
    area = request.cls.__name__ if request.cls is not None else ""
    reason = backend.gaps.get(f"{area}.{request.function.__name__}")
    if reason is not None:
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def has(capability: Capability) -> bool:
    """Whether the running backend has a capability."""
    return capability in get_executor().capabilities


def need(capability: Capability) -> None:
    """Skip the test on a backend that could not show what it is about."""
    if not has(capability):
        pytest.skip(f"backend {get_executor().name!r} has no {capability.name}")


def guarded_by(capability: Capability) -> AbstractContextManager[object]:
    """Expect what is inside to raise ``UnsupportedByBackend`` if the capability is missing."""
    if has(capability):
        return nullcontext()
    return pytest.raises(UnsupportedByBackend, match=get_executor().name)


def value(refs: Any) -> Any:
    """``air.get`` that gives up after :data:`TIMEOUT`."""
    return air.get(refs, timeout=TIMEOUT)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether *condition* comes true; for tables that a backend updates when it gets to it.

    Only for what has no event to wait for.
    """
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def last_frame(error: BaseException) -> str:
    """The name of the function in which *error* was raised."""
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_name
