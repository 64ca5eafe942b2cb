"""Copies of values from other nodes and from disk: real sockets, files and shared memory."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.core.copies import Copies, FailureKind
from air_cluster.daemon.copies import CopyService
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.segments import Wanted
from air_cluster.daemon.transfer import Failure, Peer, Transfers, TransferServer
from air_cluster.store.files import SpillFiles
from air_cluster.store.layout import Location
from air_cluster.store.segment import Mapping
from air_cluster.store.writer import Reserved
from air_cluster.transport.addresses import TcpAddress
from air_cluster.transport.reactor import Reactor

MIB = 1 << 20
TOKEN = b"token"
HERE, THERE = 1, 2
A, B, C = b"A" * 8, b"B" * 8, b"C" * 8


class Asker:
    """The processes of a node: what they were answered."""

    def __init__(self) -> None:
        self.locations: dict[tuple[bytes, int], Location] = {}
        self.failures: dict[tuple[bytes, int], tuple[FailureKind, str]] = {}

    def ready(self, process: bytes, request: int, location: Location) -> None:
        self.locations[process, request] = location

    def failed(self, process: bytes, request: int, kind: FailureKind, reason: str) -> None:
        self.failures[process, request] = kind, reason

    @property
    def answered(self) -> set[tuple[bytes, int]]:
        return self.locations.keys() | self.failures.keys()


class Here:
    """The node whose processes want values. Time passes when a test says so."""

    def __init__(self, reactor: Reactor, cap: int, directory: Path) -> None:
        self.reactor = reactor
        self.memory = NodeMemory(cap)
        self.transfers = Transfers(TOKEN, b"here0000", stall_s=20.0)
        self.files = SpillFiles(str(directory))
        self.peers: dict[int, Peer] = {}
        self.asker = Asker()
        self.now = 0.0
        self.service = CopyService(
            HERE,
            b"here0000",
            self.memory,
            want_room=self.want_room,
            transfers=self.transfers,
            restore=self.restore,
            peer=self.peers.get,
            answers=self.asker,
            call_soon=reactor.call_soon,
            copies=Copies(retries=1, rest_s=1.0, patience_s=10.0, keep_s=60.0),
            clock=lambda: self.now,
        )

    def want_room(self, wanted: Wanted) -> None:
        """What the memory service does, without asking processes."""
        while not wanted.attempt():
            if not self.service.drop_unused(wanted.at_least):
                wanted.refuse(self.memory.why_not(wanted.at_least))
                return

    def restore(
        self, file: int, offset: int, target: Reserved, done: Callable[[Failure | None], None]
    ) -> None:
        def run() -> None:
            try:
                self.files.read(file, offset, target)
            except OSError as error:
                done(Failure(FailureKind.LOST, str(error)))
            else:
                done(None)

        threading.Thread(target=run).start()

    def want(
        self,
        name: bytes,
        at: Location,
        process: bytes = A,
        request: int = 1,
        *,
        node: int = THERE,
        spilled: bool = False,
    ) -> None:
        with self.reactor.lock:
            self.service.wanted(
                process,
                request,
                name,
                node=node,
                spilled=spilled,
                place=at.segment,
                offset=at.offset,
                lengths=at.lengths,
            )

    def release(self, name: bytes, process: bytes = A) -> None:
        with self.reactor.lock:
            self.service.released(process, name, was_read=True)

    def later(self, seconds: float) -> None:
        with self.reactor.lock:
            self.now += seconds
            self.service.tick()

    def read(self, process: bytes = A, request: int = 1) -> bytes:
        """What a process sees that maps the copy."""
        at = self.asker.locations[process, request]
        opened = self.memory.open(at.segment, process)
        assert not isinstance(opened, str), opened
        fd, size = opened
        mapping = Mapping(os.dup(fd), size, writable=False)
        data = bytes(mapping.view(at.offset, at.nbytes))
        mapping.close()
        return data

    def close(self) -> None:
        with self.reactor.lock:
            self.transfers.close()
        self.transfers.join()
        with self.reactor.lock:
            self.service.close()
            self.memory.close()
        self.files.close()


@pytest.fixture
def make_here(reactor: Reactor, tmp_path: Path) -> Iterator[Callable[..., Here]]:
    made: list[Here] = []

    def make(cap: int = 1 << 30) -> Here:
        made.append(Here(reactor, cap, tmp_path))
        return made[-1]

    yield make
    for here in made:
        here.close()


@pytest.fixture
def here(make_here: Callable[..., Here]) -> Here:
    return make_here()


@pytest.fixture
def there(reactor: Reactor, memory: Any, tmp_path: Path) -> Iterator[Any]:
    """Another node: ``put`` makes a value in its memory, ``files`` are on its disk."""
    memory.files = SpillFiles(str(tmp_path))

    def open_source(spilled: bool, place: int) -> tuple[int, int] | str:
        opened = memory.files.open(place) if spilled else memory.node.lend(place)
        return opened  # type: ignore[no-any-return]

    with reactor.lock:
        server = TransferServer(
            reactor, TcpAddress("127.0.0.1", 0), TOKEN, b"there000", open_source
        )
    memory.peer = Peer(b"there000", server.address)
    memory.server = server
    yield memory
    with reactor.lock:
        server.close()
    server.join()
    memory.files.close()


@pytest.fixture
def answers(here: Here, wait_for: Any) -> Callable[[int], Asker]:
    """Waits until so many questions are answered."""

    def answers(count: int) -> Asker:
        wait_for(lambda: len(here.asker.answered) >= count)
        return here.asker

    return answers


def test_one_copy_serves_all_processes_of_a_node(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    source, data = there.put(3 * MIB)
    here.want(b"v", source.location, A, 1)
    here.want(b"v", source.location, B, 5)
    asker = answers(2)
    assert asker.failures == {}
    assert asker.locations[A, 1] == asker.locations[B, 5]
    assert here.read(A, 1) == data
    here.want(b"v", source.location, C, 2)
    assert asker.locations[C, 2] == asker.locations[A, 1]
    assert here.memory.granted == here.service._writer.granted_bytes > 0


def test_lengths_travel_along(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    reserved = there.writer.reserve((100, 70_000, 1_200_000))
    reserved.view[:] = bytes(range(256)) * (reserved.location.nbytes // 256) + bytes(
        reserved.location.nbytes % 256
    )
    here.want(b"v", reserved.location)
    location = answers(1).locations[A, 1]
    assert location.lengths == (100, 70_000, 1_200_000)
    assert location.nbytes == reserved.location.nbytes
    assert here.read() == bytes(reserved.view)


def to_disk(files: SpillFiles, there: Any, reserved: Reserved) -> Location:
    """Where a value is on disk."""
    at = reserved.location
    fd, _ = there.node.lend(at.segment)
    file, offset = files.write(fd, at.offset, at.nbytes)
    os.close(fd)
    return Location(file, offset, at.lengths, at.nbytes)


def test_a_value_on_disk_is_restored(here: Here, there: Any, answers: Any) -> None:
    reserved, data = there.put(2 * MIB)
    here.want(b"v", to_disk(here.files, there, reserved), node=HERE, spilled=True)
    answers(1)
    assert here.read() == data


def test_a_value_on_another_node_s_disk_is_fetched(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    reserved, data = there.put(2 * MIB)
    here.want(b"v", to_disk(there.files, there, reserved), spilled=True)
    answers(1)
    assert here.read() == data


def test_what_is_lost_is_reported_and_takes_no_memory(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    here.want(b"v", Location(99, 0, (100,), 100))
    here.want(b"w", Location(98, 0, (100,), 100), node=HERE, spilled=True, request=2)
    asker = answers(2)
    kind, reason = asker.failures[A, 1]
    assert kind is FailureKind.LOST
    assert "memory is gone" in reason
    kind, reason = asker.failures[A, 2]
    assert kind is FailureKind.LOST
    assert "file 98 of spilled values is gone" in reason
    assert here.service._writer.used_bytes == 0


def test_a_node_that_is_not_known_yet_is_asked_a_little_later(
    here: Here, there: Any, answers: Any
) -> None:
    source, data = there.put(1000)
    here.want(b"v", source.location)
    assert here.service._writer.used_bytes == 0
    here.peers[THERE] = there.peer
    here.later(1.0)
    answers(1)
    assert here.read() == data


def test_a_node_that_stays_unknown_fails(here: Here) -> None:
    here.want(b"v", Location(1, 0, (100,), 100))
    here.later(1.0)
    kind, reason = here.asker.failures[A, 1]
    assert kind is FailureKind.CUT
    assert "node 2 is not known here" in reason


def test_a_node_that_dies_fails_what_was_to_come_from_it(
    here: Here, wait_for: Any, answers: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here.peers[THERE] = Peer(b"there000", f"tcp:127.0.0.1:{silent.getsockname()[1]}")
        here.want(b"v", Location(1, 0, (100,), 100))
        sock, _ = silent.accept()  # and nothing more
        with sock, here.reactor.lock:
            here.service.node_gone(THERE)
        assert here.asker.failures[A, 1][0] is FailureKind.LOST
        wait_for(lambda: not here.service._jobs)
    assert here.service._writer.used_bytes == 0
    here.want(b"v", Location(1, 0, (100,), 100), request=2)
    assert here.asker.failures[A, 2][0] is FailureKind.LOST


def test_a_process_that_dies_while_it_waits_leaves_nothing(here: Here, wait_for: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here.peers[THERE] = Peer(b"there000", f"tcp:127.0.0.1:{silent.getsockname()[1]}")
        here.want(b"v", Location(1, 0, (100,), 100))
        sock, _ = silent.accept()
        with sock:
            assert here.service._writer.used_bytes > 0
            with here.reactor.lock:
                here.service.process_gone(A)
            wait_for(lambda: not here.service._jobs)
    assert here.service._writer.used_bytes == 0
    assert not here.asker.answered


def test_a_process_that_dies_while_room_is_made_is_not_waited_for(here: Here, there: Any) -> None:
    here.peers[THERE] = there.peer
    source, _ = there.put(1000)
    waiting: list[Wanted] = []
    here.service._want_room = waiting.append
    here.want(b"v", source.location)
    with here.reactor.lock:
        here.service.process_gone(A)
        assert not here.service._jobs
        assert waiting[0].attempt()  # nobody waits for it
        waiting[0].refuse("too late")
    assert here.service._writer.used_bytes == 0
    assert not here.asker.answered


def test_unused_copies_make_room_for_others(
    make_here: Callable[..., Here], there: Any, wait_for: Any
) -> None:
    here = make_here(5 * MIB)
    here.peers[THERE] = there.peer
    values = [there.put(2 * MIB, seed) for seed in range(6)]
    for index, (source, data) in enumerate(values):
        name = b"v%d" % index
        here.want(name, source.location, request=index)
        if index:
            wait_for(lambda index=index: (A, index) in here.asker.answered)
            assert here.read(A, index) == data
        else:  # asked for without a question: it just comes
            wait_for(lambda: not here.service._jobs)
        here.release(name)
    assert here.asker.failures == {}
    assert 0 < here.memory.granted <= 5 * MIB
    assert here.memory._next == 2  # they take one another's place: no other segments were needed
    with here.reactor.lock:
        assert here.service.drop_unused(100 * MIB)
        assert not here.service.drop_unused(100 * MIB)
    assert here.memory.granted == 0


def test_without_room_it_says_so_and_with_hope_it_waits(
    make_here: Callable[..., Here], there: Any, wait_for: Any
) -> None:
    here = make_here(5 * MIB)
    here.peers[THERE] = there.peer
    (first, _), (second, data), (third, _) = (there.put(3 * MIB, seed) for seed in range(3))
    here.want(b"first", first.location, A)
    wait_for(lambda: (A, 1) in here.asker.locations)
    here.want(b"second", second.location, A, 2)  # A itself reads what takes the room
    kind, reason = here.asker.failures[A, 2]
    assert kind is FailureKind.FULL
    assert f"needs {3 * MIB} bytes" in reason
    assert f"{3 * MIB} bytes are copies" in reason
    here.want(b"second", second.location, B, 1)
    here.want(b"third", third.location, C, 1)
    assert not here.asker.answered & {(B, 1), (C, 1)}
    here.release(b"first", A)
    wait_for(lambda: (B, 1) in here.asker.locations)
    assert here.read(B, 1) == data
    here.later(9.0)
    assert (C, 1) not in here.asker.answered
    here.later(1.0)
    assert here.asker.failures[C, 1][0] is FailureKind.FULL


def test_what_is_larger_than_all_memory_is_not_waited_for(
    make_here: Callable[..., Here], there: Any, wait_for: Any
) -> None:
    here = make_here(2 * MIB)
    here.peers[THERE] = there.peer
    source, _ = there.put(MIB)
    here.want(b"small", source.location, A)
    wait_for(lambda: (A, 1) in here.asker.locations)
    here.want(b"large", Location(1, 0, (3 * MIB,), 3 * MIB), B)
    kind, reason = here.asker.failures[B, 1]
    assert kind is FailureKind.TOO_LARGE
    assert "altogether" in reason


def test_a_freed_value_is_not_kept(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    source, _ = there.put(MIB)
    here.want(b"v", source.location)
    answers(1)
    with here.reactor.lock:
        here.service.forget(b"v")
    assert here.service._writer.used_bytes > 0
    here.release(b"v")
    assert here.service._writer.used_bytes == 0


def test_memory_that_was_freed_elsewhere_helps_who_waits(
    make_here: Callable[..., Here], there: Any, wait_for: Any
) -> None:
    here = make_here(5 * MIB)
    here.peers[THERE] = there.peer
    small, _ = there.put(MIB, 1)
    large, data = there.put(3 * MIB, 2)
    granted = here.memory.grant(b"other", 2 * MIB, 2 * MIB)
    assert granted is not None
    here.want(b"small", small.location, A)
    wait_for(lambda: (A, 1) in here.asker.locations)
    here.want(b"large", large.location, B)
    assert (B, 1) not in here.asker.answered
    here.memory.drop(b"other", granted[0])
    with here.reactor.lock:
        here.service.memory_freed()
    wait_for(lambda: (B, 1) in here.asker.answered)
    assert here.read(B, 1) == data


def test_many_small_values_of_two_processes(here: Here, there: Any, answers: Any) -> None:
    here.peers[THERE] = there.peer
    values = [there.put(70_000 + 64 * seed, seed) for seed in range(60)]
    for index, (source, _) in enumerate(values):
        here.want(b"v%d" % index, source.location, A, index + 1)
        here.want(b"v%d" % index, source.location, B, index + 1)
    asker = answers(120)
    assert asker.failures == {}
    for index, (_, data) in enumerate(values):
        assert here.read(B, index + 1) == data
    assert 0 < len(there.server._threads) <= 8
    with here.reactor.lock:
        here.service.process_gone(A)
        here.service.process_gone(B)
        here.service.drop_unused(1 << 30)
    assert here.memory.granted == 0
