"""A node that is short of memory spills what another node is about to fetch, or is fetching."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

import air
from air.errors import ObjectStoreFull
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air_cluster.protocol.messages import Spilled

from .conftest import MB, Machines

CAP = 100 * MB


# One at a time: one worker makes them, and they lie side by side in its segments.
@air.remote(resources={"source": 0.1})
def make(number: int) -> Any:
    return np.full(20 * MB, number, np.uint8)


class Gate:
    """Cannot be unpickled before a file is there; tells by another one that it is tried."""

    def __init__(self, directory: Path) -> None:
        self.reached, self.opened = directory / "reached", directory / "opened"

    def __reduce__(self) -> Any:
        return _pass, (str(self.reached), str(self.opened))


def _pass(reached: str, opened: str) -> None:
    Path(reached).touch()
    assert eventually(Path(opened).exists)


@air.remote(num_cpus=0, resources={"target": 0.1})
def numbers_in(_gate: Any, found: Any) -> list[int]:
    return [int(number) for number in np.unique(found)]


def hold_back() -> tuple[list[tuple[Any, ...]], Any]:
    """Hear nothing of what is on disk; returns what was said, and a function that ends this."""
    client = get_executor()._client  # type: ignore[attr-defined]
    held: list[tuple[Any, ...]] = []
    client.peers.handle(Spilled, lambda *said: held.append(said))

    def let_go() -> None:
        with client.reactor.lock:
            client.peers.handle(Spilled, client.spilling._on_spilled)
            for said in held:
                client.spilling._on_spilled(*said)

    return held, let_go


def test_what_a_call_was_given_while_it_was_written_to_disk_stays_in_its_place(
    machines: Machines, tmp_path: Path
) -> None:
    machines.start()
    machines.start(resources={"source": 1}, object_store_memory=CAP)
    machines.start(resources={"target": 1}, object_store_memory=CAP)
    machines.join()
    assert value(numbers_in.remote(None, np.zeros(1))) == [0]  # there is a worker
    made = [make.remote(number) for number in range(4)]
    air.wait(made, num_returns=4)
    beside = value(made[1])  # so that its segment stays
    held, let_go = hold_back()
    more = [make.remote(number) for number in range(4, 6)]  # for which there is no room
    assert eventually(lambda: held)
    # Its owner is about to hear that the value is on disk, and gives it to a task.
    given = next(ref for ref in made if ref.id == held[0][1].object_id)
    number = made.index(given)
    told = numbers_in.remote(Gate(tmp_path), given)
    assert eventually((tmp_path / "reached").exists)
    let_go()
    for ref in more:  # takes the memory that was freed, if there was time
        with contextlib.suppress(ObjectStoreFull):
            value(ref)
    made += [make.remote(number) for number in range(6, 9)]
    air.wait(made, num_returns=len(made))
    (tmp_path / "opened").touch()
    assert value(told) == [number]
    assert [value(numbers_in.remote(None, ref)) for ref in made[:4]] == [[0], [1], [2], [3]]
    assert beside.min() == beside.max() == 1
