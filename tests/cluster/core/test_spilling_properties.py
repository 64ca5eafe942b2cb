"""However messages, writes and changes of mind interleave, what is let go is on disk, whole.

And while somebody reads a range, such as another node that fetches it, it stays as it is.
"""

from __future__ import annotations

import itertools
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air_cluster.core.spilling import (
    Ask,
    Candidate,
    Finished,
    Instruction,
    Offers,
    Remove,
    Spilling,
    Tell,
    Write,
)

OWNERS = [name * 8 for name in (b"A", b"B", b"C")]
NBYTES = 10


class Owner:
    """A process; its memory is one of the node's, and a range that it frees is used anew."""

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.offers = Offers()
        self.in_memory: dict[bytes, int] = {}  # value -> offset
        self.on_disk: dict[bytes, tuple[int, int]] = {}
        self.mapped: set[bytes] = set()
        self.lent: dict[bytes, int] = {}  # value -> the offset that a call was told of
        self.to_node: deque[tuple[str, object]] = deque()
        self.from_node: deque[Instruction] = deque()

    def size_if_idle(self, object_id: bytes) -> int:
        return 0 if object_id in self.mapped or object_id in self.lent else NBYTES


class Node(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.spilling = Spilling(patience_s=2.0, max_writing=25)
        self.owners = {identity: Owner(identity) for identity in OWNERS}
        self.memory: dict[int, bytes] = {}  # offset -> value
        self.free: list[int] = list(range(12))
        self.files: dict[tuple[int, int], bytes] = {}  # -> the value that was written there
        self.writes: dict[int, Write] = {}
        self.crowded: set[int] = set()  # writes that others took room from, at some time
        self.removing: list[tuple[int, int]] = []
        self.disk = 1  # so many values fit
        self.names = itertools.count(1).__next__
        self.places = itertools.count(1).__next__
        self.finished: list[Finished] = []

    def has_room(self) -> bool:
        """Whether another value fits on the disk; what is being written has its room already."""
        return len(self.files) + len(self.writes) < self.disk

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Ask(owner, _, _) | Tell(owner, _, _, _):
                    if owner in self.owners:
                        self.owners[owner].from_node.append(instruction)
                case Write(number, _, _, _, _):
                    self.writes[number] = instruction
                    if len(self.files) + len(self.writes) > self.disk:
                        self.crowded |= self.writes.keys()
                case Remove(_, file, offset):
                    self.removing.append((file, offset))
                case Finished(_, problem):
                    assert not problem or not self.has_room(), "the disk is not full"
                    self.finished.append(instruction)

    # The owners ---------------------------------------------------------------------------

    @rule(identity=st.sampled_from(OWNERS))
    def put(self, identity: bytes) -> None:
        owner = self.owners.get(identity)
        if owner is not None and self.free:
            object_id = identity + self.names().to_bytes(10, "big")
            offset = owner.in_memory[object_id] = self.free.pop(0)
            self.memory[offset] = object_id
            owner.offers.touched(object_id, self.now)

    @rule(data=st.data(), what=st.sampled_from(["map", "unmap", "take", "free", "free"]))
    def use(self, data: st.DataObject, what: str) -> None:
        owned = [
            (owner, object_id)
            for owner in self.owners.values()
            for object_id in (*owner.in_memory, *owner.on_disk)
        ]
        if not owned:
            return
        owner, object_id = data.draw(st.sampled_from(owned))
        if object_id in owner.on_disk:
            if what == "free":
                del owner.on_disk[object_id]
                owner.to_node.append(("freed", object_id))
        elif what == "map":
            owner.mapped.add(object_id)
            owner.offers.touched(object_id, self.now)
        elif what == "unmap":
            owner.mapped.discard(object_id)
        elif what == "take":
            owner.lent.pop(object_id, None)
        elif owner.size_if_idle(object_id):
            owner.offers.gone(object_id)
            self.give_back(owner.in_memory.pop(object_id))

    @rule(data=st.data())
    def lend(self, data: st.DataObject) -> None:
        """A call is given a value; the call was queued, so that this is no use of it before."""
        offered = [
            (owner, object_id)
            for owner in self.owners.values()
            for object_id in sorted(owner.offers._offered)
        ]
        if offered:
            owner, object_id = data.draw(st.sampled_from(offered))
            owner.lent[object_id] = owner.in_memory[object_id]

    def give_back(self, offset: int) -> None:
        del self.memory[offset]
        self.free.insert(0, offset)

    @rule(identity=st.sampled_from(OWNERS), count=st.integers(1, 3))
    def owner_hears(self, identity: bytes, count: int) -> None:
        owner = self.owners.get(identity)
        for _ in range(count):
            if owner is None or not owner.from_node:
                return
            self.hear(owner, owner.from_node.popleft())

    def hear(self, owner: Owner, message: Instruction) -> None:
        match message:
            case Ask(_, run, nbytes):
                found = owner.offers.offer(nbytes, owner.size_if_idle, self.now)
                candidates = [
                    Candidate(object_id, 1, owner.in_memory[object_id], NBYTES, idle)
                    for object_id, idle in found
                ]
                owner.to_node.append(("offers", (run, candidates)))
            case Tell(_, object_id, file, offset):
                accepted = owner.offers.settle(object_id, owner.size_if_idle)
                if accepted:
                    assert self.files[file, offset] == object_id, "what is on disk is torn"
                    assert object_id not in owner.mapped
                    assert object_id not in owner.lent, "somebody reads it where it lies"
                    self.give_back(owner.in_memory.pop(object_id))
                    owner.on_disk[object_id] = file, offset
                owner.to_node.append(("settled", (object_id, accepted)))

    @rule(identity=st.sampled_from(OWNERS))
    def owner_dies(self, identity: bytes) -> None:
        if len(self.owners) > 1 and identity in self.owners:
            owner = self.owners.pop(identity)
            for offset in owner.in_memory.values():
                self.give_back(offset)
            self.obey(self.spilling.owner_gone(identity, self.now))

    # The node -----------------------------------------------------------------------------

    @rule()
    def all_are_heard(self) -> None:
        for identity in OWNERS:
            self.owner_hears(identity, 3)
            self.node_hears(identity, 3)

    @rule(identity=st.sampled_from(OWNERS), count=st.integers(1, 3))
    def node_hears(self, identity: bytes, count: int) -> None:
        owner = self.owners.get(identity)
        for _ in range(count):
            if owner is None or not owner.to_node:
                return
            match owner.to_node.popleft():
                case ("offers", (run, candidates)):
                    self.obey(self.spilling.offered(identity, run, candidates, self.now))
                case ("settled", (object_id, accepted)):
                    self.obey(self.spilling.settled(identity, object_id, accepted, self.now))
                case ("freed", object_id):
                    self.obey(self.spilling.freed(identity, object_id))

    @rule(nbytes=st.sampled_from([5, 10, 35, 200]))
    def need(self, nbytes: int) -> None:
        if not self.spilling.is_running:
            self.obey(self.spilling.start(nbytes, self.owners, self.now))

    @rule(identity=st.sampled_from(OWNERS))
    def need_much(self, identity: bytes) -> None:
        """So that several values are written side by side."""
        for _ in range(3):
            self.put(identity)
        self.need(35)
        self.all_are_heard()

    @rule(data=st.data(), fails=st.sampled_from(["", "", "full", "gone"]))
    def write(self, data: st.DataObject, fails: str) -> None:
        if self.writes:
            self.end_write(data.draw(st.sampled_from(sorted(self.writes))), fails)

    @rule(size=st.integers(1, 6))
    def resize(self, size: int) -> None:
        """Others fill the disk, or make room on it."""
        self.disk = size

    def end_write(self, number: int, fails: str = "") -> None:
        write = self.writes.pop(number)
        if fails == "gone" or (fails and number in self.crowded) or not self.has_room():
            problem = "" if fails == "gone" else "the disk is full"
            self.obey(self.spilling.write_failed(number, problem, self.now))
            return
        place = (1, self.places())
        # Its memory may be another value's by now.
        self.files[place] = self.memory.get(write.offset, b"nothing")
        self.obey(self.spilling.written(number, *place, self.now))

    @rule()
    def remove(self) -> None:
        if self.removing:
            del self.files[self.removing.pop(0)]
            self.obey(self.spilling.removed(self.now))

    @rule(seconds=st.sampled_from([0.5, 2.5]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.spilling.tick(self.now))

    @invariant()
    def is_consistent(self) -> None:
        self.spilling.check()
        for owner in self.owners.values():
            assert owner.in_memory.keys().isdisjoint(owner.on_disk)
            for object_id, place in owner.on_disk.items():
                assert self.files[place] == object_id
            for object_id, offset in owner.lent.items():
                assert self.memory.get(offset) == object_id, "it is read, and something else there"

    def teardown(self) -> None:
        self.disk = 1000
        for _ in range(100):
            for number in list(self.writes):
                self.end_write(number)
            self.remove()
            for identity, owner in self.owners.items():
                self.owner_hears(identity, 3)
                self.node_hears(identity, 3)
                owner.mapped.clear()
                owner.lent.clear()
        self.wait(3)
        assert not self.spilling.is_running, "a run does not end"
        assert self.finished or not self.spilling._runs
        kept = {place for owner in self.owners.values() for place in owner.on_disk.values()}
        assert kept == self.files.keys(), "somebody's value is gone, or nobody's is left"
        self.need(200)
        for _ in range(100):
            for number in list(self.writes):
                self.end_write(number)
            for identity in self.owners:
                self.owner_hears(identity, 3)
                self.node_hears(identity, 3)
        assert not any(owner.in_memory for owner in self.owners.values()), "could be spilled"


TestNode = Node.TestCase
TestNode.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True
)
