"""References and handles of a cluster that was shut down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import air
from air.errors import ObjectLost
from air.testing.executor_suite.tools import identity


@pytest.fixture
def old() -> Iterator[Any]:
    """A reference of an earlier cluster; a new one runs."""
    air.init(backend="cluster", num_cpus=1, log_to_driver=False)
    ref = air.put(1)
    air.shutdown()
    air.init(backend="cluster", num_cpus=1, log_to_driver=False)
    yield ref
    air.shutdown()


def test_as_an_argument(old: Any) -> None:
    with pytest.raises(ObjectLost, match="shut down"):
        identity.remote(old)


def test_inside_an_argument(old: Any) -> None:
    with pytest.raises(ObjectLost, match="shut down"):
        identity.remote([old])
    with pytest.raises(ObjectLost, match="shut down"):
        air.put({"inside": old})
