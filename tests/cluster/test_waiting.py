"""What waits is woken, whoever brings the change about."""

from __future__ import annotations

import threading

import pytest

import air
from air.errors import TaskCancelled

TIMEOUT = 30.0


@air.remote
class Gate:
    def __init__(self) -> None:
        import asyncio

        self._opened = asyncio.Event()

    async def wait(self) -> str:
        await self._opened.wait()
        return "through"

    async def open(self) -> None:
        self._opened.set()


@air.remote
def act(what: str, gate: air.ActorHandle | None = None) -> str:
    if what == "wait":
        return str(air.get(gate.wait.remote()))
    if what == "open":
        air.get(gate.open.remote())
    return what


@pytest.mark.usefixtures("air_cluster")
def test_a_task_sent_to_a_worker_that_blocks_runs_elsewhere() -> None:
    gate = Gate.remote()
    # The function is known to be short, so tasks of it are sent ahead of one another.
    air.get([act.remote("pass") for _ in range(100)], timeout=TIMEOUT)
    waiting = [act.remote("wait", gate) for _ in range(2)]
    opened = act.remote("open", gate)
    assert air.get([*waiting, opened], timeout=TIMEOUT) == ["through", "through", "open"]


@pytest.mark.usefixtures("air_cluster")
def test_cancelling_wakes_another_thread_that_waits() -> None:
    unplaced = Gate.options(num_cpus=2).remote()
    blocking = Gate.options(num_cpus=2).remote()  # there is no room for it
    air.get(unplaced.open.remote(), timeout=TIMEOUT)
    ref = blocking.wait.remote()
    errors: list[BaseException] = []
    waits = threading.Event()

    def wait() -> None:
        waits.set()
        try:
            air.get(ref, timeout=TIMEOUT)
        except TaskCancelled as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waits.wait(TIMEOUT)
    air.cancel(ref)
    thread.join(TIMEOUT / 2)
    assert not thread.is_alive()
    assert len(errors) == 1
