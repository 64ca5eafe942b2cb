"""A store that is too small for its values: they go to real files, and come back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air.errors import ObjectStoreFull
from air.executor.serialization import Serialized
from air_cluster.core.spilling import Candidate, Offers, Spilling
from air_cluster.daemon.clients import ClientRecord, Clients
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.segments import SegmentService
from air_cluster.daemon.spill import SpillService
from air_cluster.daemon.transfer import Failure
from air_cluster.protocol.messages import (
    DropSegment,
    NeedSegment,
    SegmentReply,
    StoreTrimmed,
    TrimStore,
)
from air_cluster.store import files as files_module
from air_cluster.store.files import SpillFiles
from air_cluster.store.layout import Location
from air_cluster.store.writer import Reserved, Writer
from air_cluster.transport.reactor import Reactor

KIB = 1 << 10
MIB = 1 << 20


class Program:
    """A process that owns and writes values, and the connection to its node."""

    def __init__(self, node: Node, name: bytes) -> None:
        self.peer = self.process = name * 8
        self.closed = False
        self.offers = Offers()
        self.places: dict[bytes, Location] = {}
        self.on_disk: dict[bytes, Location] = {}
        self.mapped: set[bytes] = set()
        self.answers_questions = True
        self.asked = threading.Semaphore(0)
        self._count = 0
        self._node = node
        self._reply: tuple[SegmentReply, int] | None = None
        node.clients.add(ClientRecord(self.peer, "driver", self, "", "", False))  # type: ignore[arg-type]
        self.writer = Writer(
            self._request, self._release, shrink_segment=self._shrink, segment_bytes=4 * MIB
        )

    # As a connection ----------------------------------------------------------------------

    def send(self, message: Any) -> None:
        if isinstance(message, TrimStore):
            self.writer.trim()
            self.says(StoreTrimmed(message.number))
        elif isinstance(message, SegmentReply):
            self._reply = message, -1

    def send_with_fd(self, message: SegmentReply, fd: int) -> None:
        self._reply = message, os.dup(fd)

    def says(self, message: Any) -> None:
        self._node.handlers[type(message)](self, message, b"")

    # As a client --------------------------------------------------------------------------

    def _request(self, size: int, at_least: int) -> tuple[int, int, int]:
        with self._node.reactor.lock:
            self._reply = None
            self.says(NeedSegment(1, size, at_least))
        self._node.wait_for(lambda: self._reply)
        assert self._reply is not None
        reply, fd = self._reply
        if reply.error:
            raise ObjectStoreFull(reply.error)
        return reply.segment, fd, reply.size

    def _release(self, segment: int) -> None:
        with self._node.reactor.lock:
            self.says(DropSegment(0, segment))

    def _shrink(self, segment: int, nbytes: int) -> None:
        with self._node.reactor.lock:
            self._node.segments.shrunk(self.peer, segment, nbytes)

    def put(self, nbytes: int) -> bytes:
        """Store a value that can be told from all others."""
        self._count += 1
        object_id = self.peer + self._count.to_bytes(10, "big")
        value = Serialized(data_of(object_id, nbytes), [])
        location = self.writer.write(value)
        with self._node.reactor.lock:
            self.places[object_id] = location
            self.touch(object_id)
        return object_id

    def touch(self, object_id: bytes) -> None:
        self._node.now += 1.0
        self.offers.touched(object_id, self._node.now)

    def free(self, object_id: bytes) -> None:
        with self._node.reactor.lock:
            if object_id in self.on_disk:
                del self.on_disk[object_id]
                self._node.spills.freed(self.peer, object_id)
            else:
                self.offers.gone(object_id)
                self.writer.free(self.places.pop(object_id))

    # As an owner --------------------------------------------------------------------------

    def asked_for(self, run: int, nbytes: int) -> None:
        self.asked.release()
        if not self.answers_questions:
            return

        found = self.offers.offer(nbytes, self.size_if_idle, self._node.now)
        candidates = [
            Candidate(o, at.segment, at.offset, at.nbytes, idle)
            for o, idle in found
            for at in [self.places[o]]
        ]
        self._node.spills.offered(self.peer, run, candidates)

    def size_if_idle(self, object_id: bytes) -> int:
        return 0 if object_id in self.mapped else self.places[object_id].nbytes

    def told(self, object_id: bytes, file: int, offset: int) -> None:
        accepted = self.offers.settle(object_id, self.size_if_idle)
        if accepted:
            at = self.places.pop(object_id)
            self.on_disk[object_id] = Location(file, offset, at.lengths, at.nbytes)
            self.writer.free(at)
        self._node.spills.settled(self.peer, object_id, accepted=accepted)


def data_of(object_id: bytes, nbytes: int) -> bytes:
    return np.random.default_rng(list(object_id)).bytes(nbytes)


class Node:
    """A node with little memory; the services are real, the processes are programs here."""

    def __init__(
        self, reactor: Reactor, wait_for: Callable[..., None], cap: int, directory: Path
    ) -> None:
        self.reactor = reactor
        self.wait_for = wait_for
        self.now = 0.0
        self.memory = NodeMemory(cap)
        self.clients = Clients()
        self.peers = self
        self.process_id = b"daemon"
        self.number = 0
        self.nodes: dict[int, object] = {}
        self.handlers: dict[type, Callable[..., None]] = {}
        self.programs: dict[bytes, Program] = {}
        self.segments = SegmentService(self)  # type: ignore[arg-type]
        self.handle(DropSegment, lambda c, m, _p: self.segments.dropped(c.peer, m.segment))
        self.files = SpillFiles(str(directory))
        self.spills = SpillService(
            self.files,
            lend=self.memory.lend,
            owners=self,  # type: ignore[arg-type]
            call_soon=reactor.call_soon,
            spilling=Spilling(patience_s=2.0, max_writing=4 * MIB),
            clock=lambda: self.now,
        )
        self.segments.spill = self.spills.spill

    def handle(self, kind: type, handler: Callable[..., None]) -> None:
        self.handlers[kind] = handler

    def start(self, name: bytes) -> Program:
        program = Program(self, name)
        self.programs[program.peer] = program
        return program

    def all(self) -> list[bytes]:
        return list(self.programs)

    def ask(self, owner: bytes, run: int, nbytes: int) -> None:
        self.reactor.call_soon(lambda: self.programs[owner].asked_for(run, nbytes))

    def tell(self, owner: bytes, object_id: bytes, file: int, offset: int) -> None:
        self.reactor.call_soon(lambda: self.programs[owner].told(object_id, file, offset))

    def restore(self, at: Location, target: Reserved, done: list[Failure | None]) -> None:
        self.spills.restore(
            at.segment,
            at.offset,
            target,
            lambda failure: self.reactor.call_soon(lambda: done.append(failure)),
        )

    def count_files(self) -> int:
        """How many files there are once what is under way is done."""
        together = threading.Barrier(4)  # as many as there are threads
        for job in [self.spills._threads.submit(together.wait) for _ in range(4)]:
            job.result(20)
        return self.files.count

    def settle_down(self) -> None:
        """Wait until nothing is written or removed any more."""
        with self.reactor.lock:
            self.spills.close()
        self.spills.join()

    def close(self) -> None:
        self.settle_down()
        for program in self.programs.values():
            program.writer.close()
        self.memory.close()


@pytest.fixture
def make_node(
    reactor: Reactor, wait_for: Callable[..., None], tmp_path: Path
) -> Iterator[Callable[[int], Node]]:
    made: list[Node] = []

    def make(cap: int) -> Node:
        made.append(Node(reactor, wait_for, cap, tmp_path))
        return made[-1]

    yield make
    for node in made:
        node.close()


@pytest.fixture
def node(make_node: Callable[[int], Node]) -> Node:
    return make_node(16 * MIB)


def contents(node: Node, program: Program) -> dict[bytes, bytes]:
    """All values of a program, wherever they are."""
    other = NodeMemory(1 << 30)
    reader = Writer(
        lambda size, least: (1, os.dup(other.grant(b"", size, least)[2]), size),  # type: ignore[index]
        lambda segment: None,
    )
    found = {}
    with node.reactor.lock:
        for object_id, at in program.places.items():
            found[object_id] = bytes(program.writer._segments[at.segment].mapping.view(
                at.offset, at.nbytes
            ))  # fmt: skip
        on_disk = dict(program.on_disk)
    for object_id, at in on_disk.items():
        reserved = reader.reserve(at.lengths)
        done: list[Any] = []
        node.restore(at, reserved, done)
        node.wait_for(lambda done=done: done)
        assert done == [None]
        found[object_id] = bytes(reserved.view)
        reader.free(reserved.location)
    reader.close()
    other.close()
    return found


def test_more_values_than_memory(node: Node) -> None:
    program = node.start(b"A")
    names = [program.put(MIB + 1000 * i) for i in range(60)]
    assert len(program.places) + len(program.on_disk) == 60
    assert node.memory.granted <= 16 * MIB
    # What was made last is still in memory, in spite of all the room that had to be made.
    assert set(names[-8:]) <= program.places.keys()
    found = contents(node, program)
    assert all(found[name] == data_of(name, MIB + 1000 * i) for i, name in enumerate(names))
    assert node.files.nbytes == sum(at.nbytes for at in program.on_disk.values())


def test_two_programs_lose_what_is_older(node: Node) -> None:
    first, second = node.start(b"A"), node.start(b"B")
    old = [first.put(MIB) for _ in range(4)]
    young = [second.put(MIB) for _ in range(4)]
    with node.reactor.lock:
        first.touch(old[0])
    for _ in range(12):
        second.put(MIB)
    assert old[0] in first.places
    assert set(old[1:]) <= first.on_disk.keys()
    assert second.on_disk.keys() == {young[0]}


def test_values_that_are_mapped_stay(node: Node) -> None:
    program = node.start(b"A")
    names = [program.put(MIB) for _ in range(3)]
    program.mapped.update(names[:2])
    for _ in range(30):
        program.put(MIB)
    assert set(names[:2]) <= program.places.keys()
    assert names[2] in program.on_disk


def test_one_mapped_value_in_each_segment_does_not_keep_the_others(node: Node) -> None:
    program = node.start(b"A")
    for _ in range(12):
        program.mapped.add(program.put(100 * KIB))
        for _ in range(30):
            program.put(100 * KIB)
    assert program.mapped <= program.places.keys()
    assert node.memory.granted <= 16 * MIB


def test_without_anything_to_spill_the_store_is_full(node: Node) -> None:
    program = node.start(b"A")

    def fill() -> None:
        for _ in range(30):
            program.mapped.add(program.put(MIB))

    with pytest.raises(ObjectStoreFull, match="object store are in use") as caught:
        fill()
    assert "spilled" not in str(caught.value)
    assert program.on_disk == {}
    program.mapped.clear()
    program.put(MIB)


def test_a_full_disk_is_why_the_store_is_full(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail = 0
        f_blocks = 100
        f_frsize = 4096

    program = node.start(b"A")

    def fill() -> None:
        for _ in range(30):
            program.put(MIB)

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "statvfs", lambda _path: Full)
        with pytest.raises(ObjectStoreFull, match="0 of 409600 bytes are free") as caught:
            fill()
    assert "could not be spilled to disk: the disk is full" in str(caught.value)
    assert node.files.directory in str(caught.value)
    assert len(program.places) >= 12
    assert node.files.count == 0
    program.put(MIB)
    assert program.on_disk


def test_what_is_freed_leaves_the_disk(node: Node) -> None:
    program = node.start(b"A")
    names = [program.put(MIB if i % 2 else 70_000) for i in range(60)]
    assert len(program.on_disk) > 5
    for name in names:
        program.free(name)
    assert node.count_files() == 0
    assert os.listdir(node.files.directory) == ["lock"]
    assert program.writer.used_bytes == 0


def test_a_program_that_dies_leaves_nothing_on_disk(node: Node) -> None:
    program = node.start(b"A")
    for _ in range(40):
        program.put(MIB)
    assert node.files.count > 5
    with node.reactor.lock:
        node.spills.owner_gone(program.peer)
    assert node.count_files() == 0


def test_an_owner_that_is_busy_elsewhere_is_not_waited_for(node: Node, start_thread: Any) -> None:
    quick, busy = node.start(b"A"), node.start(b"B")
    busy.put(MIB)
    for _ in range(10):
        quick.put(MIB)
    busy.answers_questions = False
    over = threading.Event()

    def put() -> None:
        for _ in range(6):
            quick.put(MIB)
        over.set()

    puts = start_thread(put)
    while not over.is_set():
        if busy.asked.acquire(timeout=0.01):
            with node.reactor.lock:
                node.now += 2.0
                node.spills.tick()
    puts.outcome()
    assert quick.on_disk
    assert not busy.on_disk


def test_a_segment_that_is_gone_cannot_be_spilled(node: Node) -> None:
    program = node.start(b"A")
    done: list[tuple[int, str]] = []
    with node.reactor.lock:
        program.answers_questions = False
        node.spills.spill(10, lambda *result: done.append(result))
        gone = Candidate(program.peer + b"0" * 10, 99, 0, 100, 1.0)
        node.spills.offered(program.peer, 1, [gone])
    node.wait_for(lambda: done)
    assert done == [(0, "")]
    segment, _, _ = node.memory.grant(program.peer, 4096, 4096) or (0, 0, 0)
    with node.reactor.lock:
        node.spills.spill(10, lambda *result: done.append(result))
        outside = Candidate(program.peer + b"0" * 10, segment, 4000, 100, 1.0)
        node.spills.offered(program.peer, 2, [outside])
    node.wait_for(lambda: len(done) == 2)
    assert done[1] == (0, "")


def test_two_who_need_room_at_the_same_time_share_a_run(node: Node) -> None:
    program = node.start(b"A")
    for _ in range(5):
        program.put(MIB)
    done: list[tuple[int, str]] = []
    with node.reactor.lock:
        node.spills.spill(2 * MIB, lambda *result: done.append(result))
        node.spills.spill(1, lambda *result: done.append(result))
    node.wait_for(lambda: len(done) == 2)
    assert done == [(2 * MIB, ""), (2 * MIB, "")]
    assert len(program.on_disk) == 2


def test_a_value_on_disk_that_cannot_be_read_is_lost(node: Node, start_thread: Any) -> None:
    program = node.start(b"A")
    for _ in range(20):
        program.put(MIB)
    at = next(iter(program.on_disk.values()))
    os.truncate(os.path.join(node.files.directory, str(at.segment)), 10)
    done: list[Any] = []
    node.restore(at, program.writer.reserve((100,)), done)
    node.wait_for(lambda: done)
    assert "a value on disk cannot be read" in done[0].reason


def test_closing_removes_everything_and_tells_nobody(node: Node) -> None:
    program = node.start(b"A")
    for _ in range(20):
        program.put(MIB)
    node.settle_down()
    assert not os.path.exists(node.files.directory)
