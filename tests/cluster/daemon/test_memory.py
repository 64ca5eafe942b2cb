"""Which segments a node keeps: what is granted, and what outlives the process that wrote it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from air_cluster.daemon import memory as memory_module
from air_cluster.daemon.memory import NodeMemory

KIB = 1 << 10
WRITER, KEEPER, OTHER = b"writer", b"keeper", b"other"
CAP = 100 * KIB


@pytest.fixture
def memory() -> Iterator[NodeMemory]:
    made = NodeMemory(CAP)
    yield made
    made.close()


@pytest.fixture
def count_fds() -> Callable[[], int]:
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


def grant(memory: NodeMemory, size: int = 10 * KIB, writer: bytes = WRITER) -> int:
    granted = memory.grant(writer, size, size)
    assert granted is not None
    return granted[0]


def has(memory: NodeMemory, segment: int) -> bool:
    return not isinstance(memory.open(segment, OTHER), str)


def test_what_was_granted_can_be_opened(memory: NodeMemory) -> None:
    granted = memory.grant(WRITER, 10 * KIB, KIB)
    assert granted is not None
    segment, size, fd = granted
    assert size == 10 * KIB
    assert memory.open(segment, OTHER) == (fd, 10 * KIB)
    assert os.fstat(fd).st_size == 10 * KIB
    assert memory.granted == 10 * KIB


def test_a_segment_has_its_identity_for_ever(memory: NodeMemory) -> None:
    first = grant(memory)
    memory.drop(WRITER, first)
    assert grant(memory) != first


def test_there_is_a_cap_on_all_together(memory: NodeMemory, count_fds: Callable[[], int]) -> None:
    first = grant(memory, 60 * KIB)
    before = count_fds()
    assert memory.grant(OTHER, 60 * KIB, 41 * KIB) is None
    assert count_fds() == before
    reason = memory.why_not(41 * KIB)
    assert f"needs {41 * KIB} bytes" in reason
    assert f"{60 * KIB} of the {CAP} bytes of this node's object store are in use" in reason
    assert "object_store_memory" in reason
    assert grant(memory, 40 * KIB)
    assert memory.granted == CAP
    memory.drop(WRITER, first)
    assert memory.granted == 40 * KIB
    assert grant(memory, 60 * KIB)


def test_near_the_cap_a_segment_leaves_room_for_others(memory: NodeMemory) -> None:
    grant(memory, 60 * KIB)
    granted = memory.grant(OTHER, 64 * KIB, 10 * KIB)
    assert granted is not None
    assert granted[1] == 20 * KIB
    assert memory.granted == 80 * KIB
    granted = memory.grant(OTHER, 64 * KIB, 15 * KIB)
    assert granted is not None
    assert granted[1] == 15 * KIB
    assert memory.left == 5 * KIB
    assert memory.grant(OTHER, 64 * KIB, 6 * KIB) is None


def test_what_a_segment_shrinks_by_can_be_granted_again(memory: NodeMemory) -> None:
    segment = grant(memory, 60 * KIB)
    memory.shrink(OTHER, segment, 20 * KIB)  # not its writer
    memory.shrink(WRITER, 77, 20 * KIB)
    assert memory.granted == 60 * KIB
    memory.shrink(WRITER, segment, 20 * KIB)
    memory.shrink(WRITER, segment, 30 * KIB)
    assert memory.granted == 10 * KIB
    memory.shrink(WRITER, segment, 20 * KIB)  # more than is left of it
    assert memory.granted == 0
    assert grant(memory, 90 * KIB)
    memory.drop(WRITER, segment)
    assert memory.granted == 90 * KIB


def test_an_orphan_that_had_shrunk_gives_back_the_rest(memory: NodeMemory) -> None:
    segment = grant(memory, 60 * KIB)
    memory.shrink(WRITER, segment, 20 * KIB)
    memory.process_gone(WRITER, {KEEPER})
    memory.shrink(WRITER, segment, 20 * KIB)  # said before its end, heard after it
    assert memory.granted == 40 * KIB
    memory.keeps(KEEPER, WRITER, [])
    assert memory.granted == 0


def test_what_was_lent_stays_whatever_becomes_of_the_segment(memory: NodeMemory) -> None:
    segment = grant(memory, 10 * KIB)
    lent = memory.lend(segment)
    assert not isinstance(lent, str)
    fd, size = lent
    memory.drop(WRITER, segment)
    assert size == os.fstat(fd).st_size == 10 * KIB
    os.close(fd)
    refused = memory.lend(segment)
    assert isinstance(refused, str)
    assert "memory is gone" in refused


def test_a_refusal_says_why_nothing_was_spilled(memory: NodeMemory) -> None:
    grant(memory, 60 * KIB)
    assert "spilled" not in memory.why_not(41 * KIB)
    reason = memory.why_not(41 * KIB, "the disk is full (/there)")
    assert f"in use ({60 * KIB} written by process {WRITER.hex()} and mapped by 0)" in reason
    assert "), and values could not be spilled to disk: the disk is full (/there)." in reason
    assert f"needs {41 * KIB} bytes" in reason


def test_what_is_larger_than_the_cap_is_never_granted(memory: NodeMemory) -> None:
    assert memory.grant(WRITER, CAP + 1, CAP + 1) is None
    assert f"has {CAP} altogether" in memory.why_not(CAP + 1)


def test_a_machine_without_memory_says_so(
    memory: NodeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_size: int) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(memory_module, "create", fail)
    assert memory.grant(WRITER, 10 * KIB, KIB) is None
    assert f"no {KIB} bytes of shared memory" in memory.why_not(KIB)
    assert memory.granted == 0


def test_a_segment_that_is_gone_says_so(memory: NodeMemory) -> None:
    refused = memory.open(7, OTHER)
    assert isinstance(refused, str)
    assert "the process that wrote it ended" in refused


def test_only_the_writer_gives_a_segment_back(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.drop(OTHER, segment)
    assert has(memory, segment)
    memory.drop(WRITER, segment)
    assert not has(memory, segment)
    memory.drop(WRITER, segment)
    assert memory.granted == 0


def test_readers_hear_that_a_segment_was_given_back(memory: NodeMemory) -> None:
    told: list[tuple[int, set[bytes]]] = []
    memory.on_closed = lambda segment, readers: told.append((segment, readers))
    first, second, third = (grant(memory) for _ in range(3))
    memory.open(first, KEEPER)
    memory.open(first, OTHER)
    memory.open(first, OTHER)
    memory.open(second, OTHER)
    memory.process_gone(OTHER, set())
    memory.drop(WRITER, first)
    memory.drop(WRITER, second)
    assert told == [(first, {KEEPER}), (second, set())]
    memory.close()  # nobody is left to be told
    assert len(told) == 2
    assert not has(memory, third)


# Writers that die -------------------------------------------------------------------------


def test_an_orphan_goes_at_once_if_nobody_else_is_there(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.process_gone(WRITER, set())
    assert not has(memory, segment)
    assert memory.granted == 0


def test_an_orphan_waits_for_all_to_say_whether_they_keep_it(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.process_gone(WRITER, {KEEPER, OTHER})
    memory.keeps(OTHER, WRITER, [])
    assert has(memory, segment)
    memory.keeps(KEEPER, WRITER, [])
    assert not has(memory, segment)


def test_an_orphan_stays_until_its_last_keeper_drops_it(memory: NodeMemory) -> None:
    first, second = grant(memory), grant(memory)
    memory.process_gone(WRITER, {KEEPER, OTHER})
    memory.keeps(KEEPER, WRITER, [first])
    memory.keeps(OTHER, WRITER, [first])
    assert has(memory, first)
    assert not has(memory, second)
    memory.drop(KEEPER, first)
    assert has(memory, first)
    memory.drop(OTHER, first)
    assert not has(memory, first)
    assert memory.granted == 0


def test_a_keeper_that_dies_keeps_nothing(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.process_gone(WRITER, {KEEPER})
    memory.keeps(KEEPER, WRITER, [segment])
    memory.process_gone(KEEPER, set())
    assert not has(memory, segment)


def test_who_dies_before_it_has_answered_is_not_waited_for(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.process_gone(WRITER, {KEEPER, OTHER})
    memory.keeps(OTHER, WRITER, [])
    memory.process_gone(KEEPER, {OTHER})
    assert not has(memory, segment)


def test_a_second_death_does_not_ask_about_the_orphans_of_the_first(memory: NodeMemory) -> None:
    segment = grant(memory)
    memory.process_gone(WRITER, {KEEPER})
    memory.process_gone(OTHER, {KEEPER})
    memory.keeps(KEEPER, OTHER, [])
    assert has(memory, segment)
    memory.keeps(KEEPER, WRITER, [segment])
    assert has(memory, segment)


def test_segments_of_the_living_are_not_touched(memory: NodeMemory) -> None:
    theirs, ours = grant(memory, writer=OTHER), grant(memory)
    memory.process_gone(WRITER, {OTHER})
    memory.keeps(OTHER, WRITER, [theirs, ours, 99])
    memory.drop(OTHER, ours)
    assert has(memory, theirs)
    assert not has(memory, ours)
    assert memory.granted == 10 * KIB


def test_orphans_count_against_the_cap(memory: NodeMemory) -> None:
    segment = grant(memory, CAP)
    memory.process_gone(WRITER, {KEEPER})
    memory.keeps(KEEPER, WRITER, [segment])
    assert memory.grant(OTHER, KIB, KIB) is None
    memory.drop(KEEPER, segment)
    assert grant(memory, CAP, OTHER)


def test_closing_gives_all_descriptors_back(
    memory: NodeMemory, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    for _ in range(3):
        grant(memory)
    memory.process_gone(WRITER, {KEEPER})
    grant(memory, writer=OTHER)
    memory.close()
    assert count_fds() == before
    assert memory.granted == 0
