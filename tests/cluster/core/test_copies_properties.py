"""Any order of events leaves a node's copies consistent, and everybody gets an answer."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air_cluster.core.copies import (
    Cancel,
    Copies,
    Drop,
    Fail,
    FailureKind,
    Fetch,
    Instruction,
    Ready,
    Source,
)

MIB = 1 << 20
SIZES = {b"a": 1, b"b": 2, b"c": 7, b"d": 20, b"e": 40, b"f": 60}
MEMORY = 70
MAX_BYTES = 64 * MIB

OBJECTS = st.sampled_from(sorted(SIZES))
PROCESSES = st.sampled_from([b"P", b"Q", b"R"])
NODES = st.sampled_from([2, 3, 4])


class Node(RuleBasedStateMachine):
    """A daemon that obeys, with little memory; fetches end in any order and in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = Copies(
            max_bytes=MAX_BYTES, max_per_node=2, patience_s=10, keep_s=60, retries=2, rest_s=1
        )
        self.now = 0.0
        self.requests = itertools.count(1).__next__
        self.free = MEMORY
        self.flying: dict[int, Fetch] = {}
        self.cancelled: set[int] = set()
        self.here: dict[int, bytes] = {}  # offset -> value
        self.claims: dict[bytes, dict[bytes, int | None]] = {}  # value -> process -> its offset
        self.waiting: dict[int, tuple[bytes, bytes]] = {}  # request -> process, value
        self.gone: set[int] = set()

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Fetch(number, object_id, source):
                    assert source.node not in self.gone
                    twins = {
                        n
                        for n, fetch in self.flying.items()
                        if fetch.object_id == object_id and n not in self.cancelled
                    }
                    assert not twins, "fetched twice at the same time"
                    self.flying[number] = instruction
                case Cancel(number):
                    assert number in self.flying
                    assert number not in self.cancelled
                    self.cancelled.add(number)
                case Ready(process, request, segment, offset, lengths):
                    waiting_process, object_id = self.waiting.pop(request)
                    assert waiting_process == process
                    assert self.here[offset] == object_id
                    assert (segment, lengths) == (1, (SIZES[object_id] * MIB,))
                    self.claims[object_id][process] = offset
                case Fail(process, request, _, reason):
                    assert reason
                    waiting_process, object_id = self.waiting.pop(request)
                    assert waiting_process == process
                    self.claims[object_id].pop(process, None)
                case Drop(_, offset, _, nbytes):
                    object_id = self.here.pop(offset)
                    readers = self.claims.get(object_id, {}).values()
                    assert offset not in readers, "dropped while it is read"
                    self.free += nbytes // MIB

    @rule(value=OBJECTS, process=PROCESSES, node=NODES, silent=st.booleans())
    def want(self, value: bytes, process: bytes, node: int, silent: bool) -> None:
        nbytes = SIZES[value] * MIB
        request = 0 if silent else self.requests()
        if request:
            self.waiting[request] = process, value
        self.claims.setdefault(value, {}).setdefault(process, None)
        source = Source(node, False, 1, 0, (nbytes,), nbytes)
        self.obey(self.copies.wanted(value, source, process, request, self.now))

    @rule(value=OBJECTS, process=PROCESSES)
    def release(self, value: bytes, process: bytes) -> None:
        was_read = self.claims.get(value, {}).pop(process, None) is not None
        self.obey(self.copies.released(value, process, self.now, was_read=was_read))

    @rule(process=PROCESSES)
    def die(self, process: bytes) -> None:
        for readers in self.claims.values():
            readers.pop(process, None)
        self.waiting = {r: who for r, who in self.waiting.items() if who[0] != process}
        self.obey(self.copies.process_gone(process, self.now))

    @rule(node=NODES)
    def lose_node(self, node: int) -> None:
        if len(self.gone) < 2:
            self.gone.add(node)
            self.obey(self.copies.node_gone(node))

    @rule(data=st.data(), how=st.sampled_from(["arrives", "arrives", "cut", "lost"]))
    def end_fetch(self, data: st.DataObject, how: str) -> None:
        if self.flying:
            self.end(data.draw(st.sampled_from(sorted(self.flying))), how)

    def end(self, number: int, how: str) -> None:
        fetch = self.flying.pop(number)
        nbytes = SIZES[fetch.object_id]
        if how != "arrives":
            kind = FailureKind(how)
            self.obey(self.copies.fetch_failed(number, kind, how, self.now))
            return
        if nbytes > self.free:
            self.obey(self.copies.memory_wanted((nbytes - self.free) * MIB))
        if nbytes > self.free:
            full = FailureKind.FULL
            self.obey(self.copies.fetch_failed(number, full, "full", self.now))
            return
        self.free -= nbytes
        self.obey(self.copies.found_room(number))
        self.here[number] = fetch.object_id
        self.obey(self.copies.fetched(number, 1, number))

    @rule(seconds=st.sampled_from([0.5, 3, 30]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.copies.tick(self.now))

    @rule(value=OBJECTS)
    def forget(self, value: bytes) -> None:
        if not self.claims.get(value):
            self.obey(self.copies.forget(value))

    @rule()
    def free_memory(self) -> None:
        self.obey(self.copies.memory_freed())

    @invariant()
    def is_consistent(self) -> None:
        self.copies.check()
        for number in self.cancelled & self.flying.keys():
            assert number in self.copies._flights
        small, large = self.copies._queue.under_way
        assert small <= MAX_BYTES // 4
        alone = len(self.flying) == 1
        assert alone or large <= MAX_BYTES or self.copies._trying
        reading = {o for claims in self.claims.values() for o in claims.values() if o is not None}
        assert reading <= self.here.keys(), "read after it was dropped"
        assert self.free + sum(SIZES[value] for value in self.here.values()) == MEMORY

    def teardown(self) -> None:
        # All that is under way arrives, and time passes: then nobody waits any more.
        for _ in range(100):
            if not (self.flying or self.waiting):
                break
            for number in list(self.flying):
                self.end(number, "arrives")
            self.now += 1
            self.obey(self.copies.tick(self.now))
        assert not self.waiting, "somebody waits for ever"
        for process in (b"P", b"Q", b"R"):
            self.die(process)
        for number in list(self.flying):
            self.end(number, "lost")
        self.now += 60
        self.obey(self.copies.tick(self.now))
        self.copies.check()
        assert not self.copies._copies
        assert self.free == MEMORY


TestNode = Node.TestCase
TestNode.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
