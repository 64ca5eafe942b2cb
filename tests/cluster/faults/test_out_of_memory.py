"""Workers that eat memory: they end with a word to those who wait, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import air
from air.errors import ActorDied, OutOfMemory
from air.testing.executor_suite.tools import Counter, identity

MIB = 1 << 20
LIMIT = 600 * MIB


@pytest.fixture
def small() -> Iterator[None]:
    """A cluster whose workers may use little together."""
    air.init(backend="cluster", num_cpus=2, memory=LIMIT, log_to_driver=False)
    yield
    air.shutdown()


def eat(mebibytes: int) -> int:
    """Take memory, a page at a time, and keep it for ever if that is too much."""
    pages = [bytearray(MIB) for _ in range(mebibytes)]
    return len(pages)


@air.remote
def devour() -> None:
    kept = []
    while True:
        kept.append(bytearray(MIB))


@pytest.mark.usefixtures("small")
def test_a_task_that_eats_memory_fails_by_name_and_others_go_on() -> None:
    counter = Counter.remote()
    air.get(counter.add.remote(1))
    with pytest.raises(OutOfMemory) as caught:
        air.get(devour.remote())
    said = str(caught.value)
    assert "devour" in said
    assert air.nodes()[0]["NodeID"] in said
    assert "its share for tasks and actors" in said
    assert "of 600.0 MiB in use" in said
    assert air.get(counter.add.remote(1)) == 2
    assert air.get(identity.remote(5)) == 5


@pytest.mark.usefixtures("small")
def test_an_actor_that_eats_memory() -> None:
    @air.remote
    class Eater:
        def devour(self) -> None:
            kept = []
            while True:
                kept.append(bytearray(MIB))

    eater = Eater.remote()
    with pytest.raises(ActorDied, match="ran out of memory") as caught:
        air.get(eater.devour.remote())
    assert caught.value.death_kind == "out_of_memory"
    assert "ran out of memory" in caught.value.death


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("own_session", [False, True])
def test_a_program_that_a_task_starts_counts_as_well(own_session: bool) -> None:
    @air.remote(max_retries=0)
    def start() -> None:
        import subprocess
        import sys

        eater = "kept = []\nwhile True: kept.append(bytearray(1 << 20))"
        words = [sys.executable, "-c", eater]
        subprocess.run(words, check=True, start_new_session=own_session)

    with pytest.raises(OutOfMemory, match="start"):
        air.get(start.remote())


@pytest.mark.usefixtures("small")
def test_what_fits_is_left_alone() -> None:
    assert air.get(air.remote(eat).remote(300)) == 300
    assert air.cluster_resources()["memory"] == LIMIT
