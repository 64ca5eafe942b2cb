"""The conformance suite over the cluster backend."""

from __future__ import annotations

import pytest

from air.testing.executor_suite import *  # noqa: F403 - the tests and their fixtures
from air.testing.executor_suite import Backend

GAPS = {
    "TestAsyncActors.test_constructor_runs_on_the_event_loop": (
        "the constructor runs before there is a loop"
    ),
    "TestAsyncActors.test_a_loop_that_stopped_waiting_harms_nobody": (
        "waking a closed loop raises, and nobody after it is woken"
    ),
    "TestNesting.test_recursion_of_async_tasks_deeper_than_there_are_cpus": (
        "a task that awaits keeps its CPU"
    ),
}


@pytest.fixture(scope="session")
def backend() -> Backend:
    return Backend("cluster", gaps=GAPS)
