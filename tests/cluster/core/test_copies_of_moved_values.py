"""Values go to disk when nobody reads them, and messages are late: who reads one finds it whole."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable

import pytest

from air_cluster.core.copies import Cancel, Copies, Drop, Fail, Fetch, Instruction, Ready, Source

VALUES = [b"u", b"v"]
PROCESSES = [b"P", b"Q", b"R"]
NBYTES = 10


class Moves:
    """Processes know at once where a value is; the daemon hears of it, and of them, later."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.copies = Copies()
        self.now = 0.0
        self.numbers = itertools.count(1).__next__
        self.generation = {b"u": 1, b"v": 1}
        self.on_disk: set[bytes] = set()
        self.waits: dict[tuple[bytes, bytes], int] = {}  # process, value -> its request
        self.reads: dict[tuple[bytes, bytes], int] = {}  # process, value -> where the copy is
        self.on_their_way: dict[bytes, deque[Callable[[], list[Instruction]]]] = {}
        self.flying: dict[int, Fetch] = {}
        self.here: dict[int, tuple[bytes, bool]] = {}  # offset -> value, whether it is whole
        self.answers: list[Ready | Fail] = []

    def name(self, value: bytes) -> bytes:
        return value + str(self.generation[value]).encode()

    def send(self, process: bytes, event: Callable[[], list[Instruction]]) -> None:
        self.on_their_way.setdefault(process, deque()).append(event)

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Fetch(number, _, _):
                    self.flying[number] = instruction
                case Ready() | Fail():
                    self.answers.append(instruction)
                case Drop(_, offset, _, _):
                    assert offset not in self.reads.values(), "dropped while it is read"
                    del self.here[offset]
                case Cancel(_):
                    pass

    # Processes ----------------------------------------------------------------------------

    def want(self, value: bytes, process: bytes) -> None:
        name = self.name(value)
        if (process, name) in self.waits or (process, name) in self.reads:
            return
        request = self.waits[process, name] = self.numbers()
        is_spilled = name in self.on_disk
        source = Source(2, is_spilled, self.generation[value], 0, (NBYTES,), NBYTES)
        self.send(process, lambda: self.copies.wanted(name, source, process, request, self.now))

    def stop(self, value: bytes, process: bytes) -> None:
        """It has read the value, or gives up."""
        name = self.name(value)
        was_read = self.reads.pop((process, name), None) is not None
        if was_read or self.waits.pop((process, name), None) is not None:
            self.send(
                process,
                lambda: self.copies.released(name, process, self.now, was_read=was_read),
            )

    def spill(self, value: bytes) -> None:
        """To disk if it is in memory, else a new one is made."""
        name = self.name(value)
        if any(name == read for _, read in (*self.waits, *self.reads)):
            return
        if name in self.on_disk:
            self.generation[value] += 1
        else:
            self.on_disk.add(name)

    def hear_answers(self) -> None:
        answers, self.answers = self.answers, []
        for answer in answers:
            for (process, name), request in list(self.waits.items()):
                if request != answer.request:
                    continue
                assert process == answer.process
                del self.waits[process, name]
                assert isinstance(answer, Ready), "it is there, and was not found"
                assert self.here[answer.offset] == (name, True), "it is not what it should be"
                self.reads[process, name] = answer.offset

    # The daemon ---------------------------------------------------------------------------

    def daemon_hears(self, process: bytes) -> None:
        events = self.on_their_way.get(process)
        if events:
            self.obey(events.popleft()())

    def arrive(self) -> None:
        if self.flying:
            self.land(self.random.choice(sorted(self.flying)))

    def land(self, number: int) -> None:
        fetch = self.flying.pop(number)
        is_whole = fetch.source.spilled or fetch.object_id not in self.on_disk
        self.here[number] = fetch.object_id, is_whole
        self.obey(self.copies.fetched(number, 1, number))

    def step(self) -> None:
        value, process = self.random.choice(VALUES), self.random.choice(PROCESSES)
        match self.random.randrange(7):
            case 0 | 1:
                self.want(value, process)
            case 2:
                self.stop(value, process)
            case 3:
                self.spill(value)
            case 4:
                self.hear_answers()
            case 5:
                self.daemon_hears(process)
            case 6:
                self.arrive()
        self.copies.check()

    def finish(self) -> None:
        for process in list(self.on_their_way):
            while self.on_their_way[process]:
                self.daemon_hears(process)
        while self.flying:
            self.land(min(self.flying))
        self.hear_answers()
        assert not self.waits, "somebody waits for ever"


@pytest.mark.parametrize("batch", range(4))
def test_who_reads_a_value_finds_it_whole(batch: int) -> None:
    for seed in range(batch * 250, (batch + 1) * 250):
        moves = Moves(seed)
        for _ in range(60):
            moves.step()
        moves.finish()
