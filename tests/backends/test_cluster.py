"""The conformance suite over the cluster backend."""

from __future__ import annotations

import pytest

from air.testing.executor_suite import *  # noqa: F403 - the tests and their fixtures
from air.testing.executor_suite import Backend


@pytest.fixture(scope="session")
def backend() -> Backend:
    return Backend("cluster")
