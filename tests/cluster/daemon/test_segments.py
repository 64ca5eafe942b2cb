"""How room is made in shared memory, and who gets it, with processes that are played here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.daemon.clients import ClientRecord, Clients
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.segments import SegmentService, Wanted
from air_cluster.protocol.messages import (
    DropSegment,
    NeedSegment,
    OpenSegment,
    SegmentGone,
    SegmentReply,
    StoreTrimmed,
    TrimStore,
)

KIB = 1 << 10
CAP = 1000 * KIB


class Process:
    """A client, with what it was sent: it is its connection, too."""

    def __init__(self, node: Node, name: str) -> None:
        self.peer = self.process = name.encode()
        self.closed = False
        self.inbox: list[Any] = []
        self._node = node
        node.clients.add(ClientRecord(self.peer, "driver", self, "", "", False))  # type: ignore[arg-type]

    def send(self, message: Any, payload: Any = ()) -> None:
        self.inbox.append(message)

    def send_with_fd(self, message: Any, fd: int) -> None:
        assert fd >= 0
        self.inbox.append(message)

    def says(self, message: Any) -> None:
        self._node.handlers[type(message)](self, message, b"")

    def needs(self, at_least: int, request: int = 1, size: int = 0) -> None:
        self.says(NeedSegment(request, size or at_least, at_least))

    def take(self, kind: type) -> list[Any]:
        """Messages of a kind that have come since the last time."""
        found = [message for message in self.inbox if type(message) is kind]
        self.inbox = [message for message in self.inbox if type(message) is not kind]
        return found

    def replies(self) -> list[tuple[int, int, str]]:
        """Of each answer: the request, the size of the segment and the error."""
        return [(m.request, m.size, m.error) for m in self.take(SegmentReply)]

    def granted(self, size: int) -> int:
        self.needs(size)
        (reply,) = self.take(SegmentReply)
        assert reply.size == size
        return int(reply.segment)

    def trims(self, *dropped: int) -> None:
        """Answer the question for memory, after giving back what there is."""
        (trim,) = self.take(TrimStore)
        for segment in dropped:
            self.says(DropSegment(0, segment))
        self.says(StoreTrimmed(trim.number))


class Node:
    """What the service knows of its daemon; time passes when a test says so."""

    def __init__(self) -> None:
        self.memory = NodeMemory(CAP)
        self.clients = Clients()
        self.peers = self.reactor = self
        self.process_id = b"daemon"
        self.number = 0
        self.nodes: dict[int, object] = {}
        self.handlers: dict[type, Callable[..., None]] = {}
        self.timers: list[Callable[[], None]] = []
        self.now = 0.0

    def handle(self, kind: type, handler: Callable[..., None]) -> None:
        self.handlers[kind] = handler

    def call_later(self, _delay: float, function: Callable[[], None]) -> None:
        self.timers.append(function)

    def pass_time(self) -> None:
        timers, self.timers = self.timers, []
        for function in timers:
            function()


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.memory.close()


@pytest.fixture
def service(node: Node) -> SegmentService:
    made = SegmentService(node)  # type: ignore[arg-type]
    made.patience_s = 0
    node.handle(DropSegment, lambda c, message, _p: made.dropped(c.peer, message.segment))
    return made


@pytest.fixture
def patient(node: Node, service: SegmentService) -> Node:
    """The node, whose processes wait for what others use."""
    service.patience_s = 10.0
    service.clock = lambda: node.now
    return node


@pytest.fixture
def a(node: Node, service: SegmentService) -> Process:
    return Process(node, "A")


@pytest.fixture
def b(node: Node, service: SegmentService) -> Process:
    return Process(node, "B")


def squeeze(*processes: Process) -> None:
    for _ in range(2):
        for process in processes:
            process.trims()


def refused(process: Process) -> list[int]:
    """Which requests were refused, all for want of memory."""
    replies = process.replies()
    assert all("of this node's object store are in use" in error for _, _, error in replies)
    return [request for request, _, _ in replies]


def test_what_fits_is_granted_at_once(a: Process) -> None:
    a.needs(100 * KIB, request=7)
    assert a.replies() == [(7, 100 * KIB, "")]
    assert a.take(TrimStore) == []


def test_who_opens_a_segment_hears_when_it_is_gone(a: Process, b: Process) -> None:
    segment = a.granted(100 * KIB)
    b.says(OpenSegment(3, segment))
    assert b.replies() == [(3, 100 * KIB, "")]
    b.says(OpenSegment(4, 99))
    assert "memory is gone" in b.replies()[0][2]
    a.says(DropSegment(0, segment))
    assert [m.segment for m in b.take(SegmentGone)] == [segment]


def test_all_give_back_what_they_do_not_need_before_a_request_is_refused(
    a: Process, b: Process
) -> None:
    unused = b.granted(900 * KIB)
    a.needs(500 * KIB)
    assert a.replies() == []
    a.trims()
    b.trims(unused)
    assert a.replies() == [(1, 500 * KIB, "")]
    assert a.take(TrimStore) == b.take(TrimStore) == []


def test_they_are_asked_twice_and_then_it_is_refused(a: Process, b: Process) -> None:
    b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    assert refused(a) == [1]
    assert a.take(TrimStore) == b.take(TrimStore) == []


def test_what_is_larger_than_all_memory_is_refused_at_once(a: Process) -> None:
    a.needs(CAP + 1)
    assert "altogether" in a.replies()[0][2]
    assert a.take(TrimStore) == []


def test_a_process_that_does_not_answer_is_waited_for_once(
    a: Process, b: Process, node: Node
) -> None:
    b.granted(900 * KIB)
    a.needs(500 * KIB)
    a.trims()
    node.pass_time()
    assert refused(a) == []
    a.trims()  # the second round, in which nobody waits for B
    assert refused(a) == [1]
    b.says(StoreTrimmed(b.take(TrimStore)[-1].number))
    a.needs(500 * KIB)
    a.trims()
    assert refused(a) == []  # B is heard again
    b.trims()


def test_a_process_that_dies_is_not_waited_for(
    a: Process, b: Process, service: SegmentService
) -> None:
    b.granted(900 * KIB)
    a.needs(500 * KIB)
    a.trims()
    service._node.clients.remove(b)  # type: ignore[arg-type]
    service._memory.process_gone(b"B", {b"A"})
    service.process_gone(b"B")
    assert a.replies() == []  # what B wrote may have values of A in it
    service._memory.keeps(b"A", b"B", [])
    a.trims()
    assert a.replies() == [(1, 500 * KIB, "")]


def test_who_has_shrunk_leaves_room_for_others(
    a: Process, b: Process, service: SegmentService
) -> None:
    segment = b.granted(900 * KIB)
    a.needs(500 * KIB)
    service.shrunk(b"B", segment, 300 * KIB)
    assert a.replies() == []
    service.shrunk(b"B", segment, 100 * KIB)
    assert a.replies() == [(1, 500 * KIB, "")]


def test_who_waits_is_served_in_line(a: Process, b: Process) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB, request=1)
    b.needs(50 * KIB, request=2)  # would fit, but is not the first
    assert a.replies() == b.replies() == []
    b.says(DropSegment(0, held))
    assert a.replies() == [(1, 500 * KIB, "")]
    assert b.replies() == [(2, 50 * KIB, "")]


def test_who_needs_less_is_served_when_the_first_in_line_is_refused(a: Process, b: Process) -> None:
    b.granted(980 * KIB)
    a.needs(500 * KIB, request=1)
    b.needs(15 * KIB, request=2)
    squeeze(a, b)
    assert refused(a) == [1]
    assert b.replies() == [(2, 15 * KIB, "")]
    assert a.take(TrimStore) == []


def test_who_comes_later_has_its_own_rounds(a: Process, b: Process) -> None:
    held = b.granted(980 * KIB)
    a.needs(500 * KIB, request=1)
    a.needs(100 * KIB, request=2)
    squeeze(a, b)
    assert refused(a) == [1]
    a.trims()
    b.trims(held)
    assert a.replies() == [(2, 100 * KIB, "")]


def test_who_is_gone_is_not_served(a: Process, b: Process) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    a.closed = True
    b.says(DropSegment(0, held))
    assert a.replies() == []
    assert b.granted(1000 * KIB)


# Resting ----------------------------------------------------------------------------------


def test_who_needs_what_others_use_waits_for_it(a: Process, b: Process, patient: Node) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    patient.pass_time()
    squeeze(a, b)
    assert a.replies() == []
    assert a.granted(50 * KIB), "keeps nobody waiting who needs less"
    b.says(DropSegment(0, held))
    assert a.replies() == [(1, 500 * KIB, "")]
    patient.pass_time()
    assert a.take(TrimStore) == []


def test_what_others_let_go_of_in_their_segments_is_found(
    a: Process, b: Process, patient: Node
) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    patient.pass_time()
    a.trims()
    b.trims(held)  # which it says when it is asked only
    assert a.replies() == [(1, 500 * KIB, "")]


def test_patience_ends(a: Process, b: Process, patient: Node) -> None:
    b.granted(900 * KIB)
    a.needs(500 * KIB)
    for _ in range(4):
        squeeze(a, b)
        assert a.replies() == []
        patient.now += 3.0
        patient.pass_time()
    squeeze(a, b)
    ((_, _, error),) = a.replies()
    assert error.endswith("Others were waited for, for 12 s")


def test_who_uses_all_itself_does_not_wait(a: Process, b: Process, patient: Node) -> None:
    a.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    assert refused(a) == [1]


def test_what_another_node_may_be_fetching_is_waited_for(a: Process, patient: Node) -> None:
    a.granted(900 * KIB)
    patient.nodes[1] = "another node"
    a.needs(500 * KIB)
    squeeze(a)
    assert a.replies() == []


def test_copies_that_others_read_are_waited_for(
    a: Process, patient: Node, service: SegmentService
) -> None:
    assert patient.memory.grant(patient.process_id, 900 * KIB, 900 * KIB)
    service.copy_readers = lambda: {b"B"}
    a.needs(500 * KIB)
    squeeze(a)
    assert a.replies() == []
    service.copy_readers = lambda: {b"A"}
    patient.pass_time()
    squeeze(a)
    assert refused(a) == [1]


def test_of_two_who_wait_for_one_another_the_younger_is_refused(
    a: Process, b: Process, patient: Node
) -> None:
    first, second = a.granted(450 * KIB), b.granted(450 * KIB)
    a.needs(300 * KIB, request=1)
    b.needs(300 * KIB, request=2)
    squeeze(a, b)
    squeeze(a, b)
    assert refused(b) == [2]
    assert a.replies() == []
    b.says(DropSegment(0, second))
    assert a.replies() == [(1, 300 * KIB, "")]
    assert first


def test_one_who_is_gone_rests_no_more(a: Process, b: Process, patient: Node) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    a.closed = True
    patient.pass_time()
    assert b.take(TrimStore) == []
    b.says(DropSegment(0, held))
    assert a.replies() == []


# Copies and spilling ----------------------------------------------------------------------


def test_copies_that_nobody_reads_go_first(a: Process, service: SegmentService) -> None:
    copies = [service._memory.grant(b"daemon", 300 * KIB, 300 * KIB) for _ in range(3)]
    asked = []

    def drop(nbytes: int) -> bool:
        asked.append(nbytes)
        if not copies:
            return False
        granted = copies.pop()
        assert granted is not None
        service._memory.drop(b"daemon", granted[0])
        return True

    service.drop_copies = drop
    a.needs(500 * KIB)
    assert a.replies() == [(1, 500 * KIB, "")]
    assert asked == [500 * KIB, 500 * KIB]
    assert a.take(TrimStore) == []


class Disk:
    """Stands for spilling; a test says how it went."""

    def __init__(self, service: SegmentService) -> None:
        service.spill = self.spill
        self.wanted: list[int] = []
        self.done: Callable[[int, str], None] = lambda nbytes, problem: None

    def spill(self, nbytes: int, done: Callable[[int, str], None]) -> None:
        self.wanted.append(nbytes)
        self.done = done


def test_values_are_spilled_for_as_long_as_that_helps(
    a: Process, b: Process, service: SegmentService
) -> None:
    disk = Disk(service)
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    assert disk.wanted == [500 * KIB]
    disk.done(200 * KIB, "")
    a.trims()
    service.shrunk(b"B", held, 200 * KIB)
    b.trims()
    a.trims()
    b.trims()
    assert disk.wanted == [500 * KIB, 500 * KIB]
    disk.done(300 * KIB, "")
    service.shrunk(b"B", held, 300 * KIB)
    assert a.replies() == [(1, 500 * KIB, "")]


def test_a_request_that_spilling_does_not_help_is_refused_and_says_why(
    a: Process, b: Process, service: SegmentService
) -> None:
    disk = Disk(service)
    b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    disk.done(0, "the disk is full (/spill)")
    ((_, _, error),) = a.replies()
    assert "values could not be spilled to disk: the disk is full (/spill)" in error
    a.needs(500 * KIB)
    squeeze(a, b)
    disk.done(0, "")
    assert "spilled" not in a.replies()[0][2]


def test_so_much_is_spilled_that_not_every_value_needs_a_run_of_its_own(
    a: Process, b: Process, service: SegmentService
) -> None:
    disk = Disk(service)
    b.granted(1000 * KIB)
    a.needs(4 * KIB, size=64 << 20)
    b.needs(100 * KIB, size=64 << 20)
    squeeze(a, b)
    assert disk.wanted == [CAP // 16 + 100 * KIB]


def test_news_from_an_older_squeeze_changes_nothing(
    a: Process, b: Process, service: SegmentService
) -> None:
    disk = Disk(service)
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    squeeze(a, b)
    b.says(DropSegment(0, held))
    assert a.replies() == [(1, 500 * KIB, "")]
    a.needs(600 * KIB, request=2)
    disk.done(0, "the disk is full")
    assert a.replies() == []
    a.says(StoreTrimmed(1))
    assert a.replies() == []


# Requests of the daemon itself ------------------------------------------------------------


def test_the_daemon_waits_in_line_like_all_others(
    a: Process, b: Process, service: SegmentService
) -> None:
    held = b.granted(900 * KIB)
    a.needs(500 * KIB)
    said: list[str] = []

    def attempt() -> bool:
        return service._memory.grant(b"daemon", 200 * KIB, 200 * KIB) is not None

    service.want(Wanted(200 * KIB, 200 * KIB, attempt, said.append))
    b.says(DropSegment(0, held))
    assert a.replies() == [(1, 500 * KIB, "")]
    assert service._memory.granted == 700 * KIB
    for process in (a, b):
        process.take(TrimStore)
    service.want(Wanted(400 * KIB, 400 * KIB, lambda: False, said.append))
    squeeze(a, b)
    assert len(said) == 1
    assert "needs 409600 bytes" in said[0]


def test_memory_that_nobody_waits_for_here_is_announced(
    a: Process, service: SegmentService
) -> None:
    freed = []
    service.on_freed = lambda: freed.append(service._memory.granted)
    segment = a.granted(900 * KIB)
    service.shrunk(b"A", segment, 100 * KIB)
    assert freed == [800 * KIB]
    a.needs(500 * KIB)
    service.shrunk(b"A", segment, 100 * KIB)
    assert freed == [800 * KIB]
    a.says(DropSegment(0, segment))
    a.says(DropSegment(0, a.take(SegmentReply)[0].segment))
    assert freed == [800 * KIB, 0]


def test_a_node_without_processes_refuses_at_once(node: Node, service: SegmentService) -> None:
    said: list[str] = []
    assert node.memory.grant(b"daemon", CAP, CAP) is not None
    service.want(Wanted(KIB, KIB, lambda: False, said.append))
    assert len(said) == 1
