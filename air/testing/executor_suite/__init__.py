"""The conformance suite of execution backends: the seam's contract as tests.

A backend runs it with a test file like this one::

    import pytest
    from air.testing.executor_suite import *  # the tests and their fixtures
    from air.testing.executor_suite import Backend

    @pytest.fixture(scope="session")
    def backend():
        return Backend("mine", gaps={"TestTasks.test_retries": "why it cannot work, yet"})

Capabilities decide what applies: where one guards a call, the suite checks that a backend
without it raises ``UnsupportedByBackend``; tests of what such a backend cannot show at all are
skipped. Everything else that does not work is a *gap*: a test that is expected to fail, and
that must be taken off the list once it passes.

The suite wants two CPUs, starts the backend once for each area, and needs ``pytest``.
"""

from __future__ import annotations

import pytest

_AREAS = (
    "actors async_actors cancellation concurrency_groups context environments errors exits"
    " generators listings nesting objects ordering placement_groups references resources"
    " serialization shutdown stalled_streams tasks threads"
)
for _area in _AREAS.split():
    pytest.register_assert_rewrite(f"{__name__}.{_area}")

from air.testing.executor_suite.actors import TestActors  # noqa: E402
from air.testing.executor_suite.async_actors import TestAsyncActors  # noqa: E402
from air.testing.executor_suite.cancellation import TestCancellation  # noqa: E402
from air.testing.executor_suite.concurrency_groups import TestConcurrencyGroups  # noqa: E402
from air.testing.executor_suite.context import TestContext  # noqa: E402
from air.testing.executor_suite.environments import (  # noqa: E402
    TestEnvironments,
    TestProgramEnvironment,
)
from air.testing.executor_suite.errors import TestErrors  # noqa: E402
from air.testing.executor_suite.exits import TestExits  # noqa: E402
from air.testing.executor_suite.generators import TestGenerators  # noqa: E402
from air.testing.executor_suite.harness import Backend, gap, session  # noqa: E402
from air.testing.executor_suite.listings import TestListings  # noqa: E402
from air.testing.executor_suite.nesting import TestNesting  # noqa: E402
from air.testing.executor_suite.objects import TestObjects  # noqa: E402
from air.testing.executor_suite.ordering import TestOrdering  # noqa: E402
from air.testing.executor_suite.placement_groups import TestPlacementGroups  # noqa: E402
from air.testing.executor_suite.references import TestReferences  # noqa: E402
from air.testing.executor_suite.resources import TestResources  # noqa: E402
from air.testing.executor_suite.serialization import TestSerialization  # noqa: E402
from air.testing.executor_suite.shutdown import TestShutdown  # noqa: E402
from air.testing.executor_suite.stalled_streams import TestStalledStreams  # noqa: E402
from air.testing.executor_suite.tasks import TestTasks  # noqa: E402
from air.testing.executor_suite.threads import TestThreads  # noqa: E402

__all__ = [
    "Backend",
    "TestActors",
    "TestAsyncActors",
    "TestCancellation",
    "TestConcurrencyGroups",
    "TestContext",
    "TestEnvironments",
    "TestErrors",
    "TestExits",
    "TestGenerators",
    "TestListings",
    "TestNesting",
    "TestObjects",
    "TestOrdering",
    "TestPlacementGroups",
    "TestProgramEnvironment",
    "TestReferences",
    "TestResources",
    "TestSerialization",
    "TestShutdown",
    "TestStalledStreams",
    "TestTasks",
    "TestThreads",
    "gap",
    "session",
]
