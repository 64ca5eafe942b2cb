"""Processes that pass references around in any order: none is freed early, none is leaked.

Every process has its :class:`References` and drives them as ``client/objects.py`` and
``worker/runner.py`` do; messages between two processes arrive in order. Processes run several
tasks at a time, as actors with threads do.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from air_cluster.core.references import Entry, Free, Instruction, References, Register
from air_cluster.protocol.ids import object_id, owner_of

Ids = list[bytes]
NAMES = (b"A" * 8, b"B" * 8, b"C" * 8)


@dataclass
class Job:
    """A task that runs in a process; ``brought`` are the references that came in with it."""

    task: bytes
    caller: bytes
    brought: Ids
    yielded: int = 0


@dataclass
class Loading:
    """A value that a thread is unpickling: its references are there, but not registered."""

    outer: bytes
    inner: Ids


@dataclass
class Call:
    """A task that this process has submitted."""

    worker: bytes
    held: Ids
    results: int = 1


@dataclass
class Process:
    """A process: what ``Objects``, ``Submitter`` and ``Reporter`` do about references."""

    id: bytes
    send: Callable[[bytes, bytes, tuple[Any, ...]], bool]
    mortal: bool
    serial: int = 0
    user: Counter[bytes] = field(default_factory=Counter)  # references that the program has
    jobs: list[Job] = field(default_factory=list)
    loading: list[Loading] = field(default_factory=list)
    calls: dict[bytes, Call] = field(default_factory=dict)
    returned: dict[bytes, Ids] = field(default_factory=dict)
    fetching: set[bytes] = field(default_factory=set)
    fetchers: list[tuple[bytes, bytes]] = field(default_factory=list)
    on_token: dict[int, Callable[[], None]] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.references = References(self.id)

    # What the program does ----------------------------------------------------------------

    def fresh_id(self) -> bytes:
        self.serial += 1
        return self.id + self.serial.to_bytes(6, "big")

    def put(self, inner: Ids) -> bytes:
        made = object_id(self.fresh_id(), 0)
        entry = self.references.own(made)
        self.count(made, entry)
        entry.content = tuple(inner)
        self.references.contain(entry, inner)
        return made

    def drop(self, identity: bytes) -> None:
        self.user[identity] -= 1
        self.user += Counter()
        self.follow(self.references.drop_local(identity))

    def count(self, identity: bytes, entry: Entry) -> None:
        """A local reference to a value of our own."""
        entry.local += 1
        self.user[identity] += 1

    def submit(self, worker: bytes, slots: Ids, nested: Ids) -> None:
        task = self.fresh_id()
        result = object_id(task, 0)
        held = slots + nested
        self.references.hold(held)
        self.count(result, self.references.own(result))
        self.calls[task] = Call(worker, held)
        inner = [i for slot in slots for i in self.references.entries[slot].content]
        if not self.send(self.id, worker, ("task", task, slots, inner + nested)):
            self.call_lost(task)

    def call_lost(self, task: bytes) -> None:
        """The worker died: its results are failures."""
        call = self.calls.pop(task)
        self.fulfil(object_id(task, 0), (), None)
        self.follow(self.references.unhold(call.held))

    def start_loading(self, outer: bytes) -> None:
        entry = self.references.entries[outer]
        if entry.content is None:
            if not entry.owned and outer not in self.fetching:
                self.fetching.add(outer)
                if not self.send(self.id, owner_of(outer), ("fetch", outer)):
                    entry.content = ()
            return
        entry.local += 1  # the reference that air.get was given
        inner = list(entry.content)
        self.bring_in(inner)
        self.loading.append(Loading(outer, inner))

    def finish_loading(self, loading: Loading, dropped: Ids) -> None:
        self.loading.remove(loading)
        for identity in dropped:
            self.drop(identity)  # the value was garbage as soon as it was there
        self.follow(self.references.register(loading.inner, loading.outer))
        self.follow(self.references.drop_local(loading.outer))

    def bring_in(self, identities: Ids) -> None:
        for identity in identities:
            if owner_of(identity) == self.id:
                entry = self.references.get(identity)
                if entry is None:
                    entry = self.references.own(identity)
                    entry.content = ()
                self.count(identity, entry)
            else:
                self.references.borrow(identity, "")
                self.user[identity] += 1

    def yield_item(self, job: Job, refs: Ids) -> None:
        job.yielded += 1
        identity = object_id(job.task, job.yielded)
        self.hold_for_caller(identity, refs)
        self.send(self.id, job.caller, ("item", identity, refs))

    def finish(self, job: Job, refs: Ids, dropped: Ids) -> None:
        self.jobs.remove(job)
        self.hold_for_caller(object_id(job.task, 0), refs)
        for identity in dropped:
            self.drop(identity)
        out, tokens = self.references.settle(job.caller)
        for made in out:
            if not made.token:
                self.send(self.id, job.caller, ("add", made.object_ids, 0))
        done = ("done", job.task, refs)
        self.when_acknowledged(tokens, lambda: self.send(self.id, job.caller, done))
        self.follow([made for made in out if made.token])

    def hold_for_caller(self, result: bytes, refs: Ids) -> None:
        if refs and owner_of(result) not in self.gone:
            self.references.hold(refs)
            self.returned[result] = refs

    # What goes on behind it ---------------------------------------------------------------

    def follow(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Free):
                freed = instruction.entry.id
                self.fetchers = [(who, i) for who, i in self.fetchers if i != freed]
                continue
            if isinstance(instruction, Register):
                message = ("add", instruction.object_ids, instruction.token)
                sent = self.send(self.id, instruction.owner, message)
                if not sent and instruction.token:
                    self.token_done(instruction.token)
            else:
                self.send(self.id, instruction.owner, ("remove", [instruction.object_id]))

    def when_acknowledged(self, tokens: set[int], function: Callable[[], object]) -> None:
        left = set(tokens)
        if not left:
            function()

        def one_done(token: int) -> None:
            left.discard(token)
            if not left:
                function()

        for token in tokens:
            self.on_token[token] = lambda token=token: one_done(token)  # type: ignore[misc]

    def token_done(self, token: int) -> None:
        self.follow(self.references.acknowledged(token))
        self.on_token.pop(token, bool)()

    def fulfil(self, identity: bytes, refs: Iterable[bytes], returned_by: bytes | None) -> None:
        refs = list(refs)
        entry = self.references.get(identity)
        if entry is None or entry.content is not None:
            if refs and returned_by is not None:
                self.send(self.id, returned_by, ("release", identity))
            return
        fresh = []
        for ref in refs:
            if self.references.get(ref) is None and owner_of(ref) != self.id:
                self.references.borrow(ref, "")
                fresh.append(ref)
        self.references.contain(entry, [i for i in refs if self.references.get(i) is not None])
        out = self.references.register(fresh, None)
        for ref in fresh:
            out += self.references.drop_local(ref)
        tokens = {made.token for made in out if isinstance(made, Register)}
        if refs and returned_by is not None:
            release = ("release", identity)
            self.when_acknowledged(tokens, lambda: self.send(self.id, returned_by, release))
        self.follow(out)
        entry.content = tuple(refs)
        for who in [who for who, wanted in self.fetchers if wanted == identity]:
            self.fetchers.remove((who, identity))
            self.send(self.id, who, ("value", identity, refs))

    def receive(self, peer: bytes, message: tuple[Any, ...]) -> None:
        match message:
            case "task", task, slots, brought:
                self.bring_in(brought)
                kept = list(brought)
                for slot in slots[:1]:  # the first is mapped from shared memory
                    self.bring_in([slot])
                    kept.append(slot)
                self.jobs.append(Job(task, peer, kept))
            case "done", task, refs:
                call = self.calls.pop(task, None)
                if call is not None:
                    self.fulfil(object_id(task, 0), refs, peer)
                    self.follow(self.references.unhold(call.held))
                elif refs:
                    self.send(self.id, peer, ("release", object_id(task, 0)))
            case "item", identity, refs:
                self.count(identity, self.references.own(identity))
                self.fulfil(identity, refs, peer)
            case "add", identities, token:
                self.references.lend(peer, identities)
                if token:
                    self.send(self.id, peer, ("acknowledge", token))
            case "acknowledge", token:
                self.token_done(token)
            case "remove", identities:
                self.follow(self.references.give_back(peer, identities))
            case "release", result:
                self.follow(self.references.unhold(self.returned.pop(result, [])))
            case "fetch", identity:
                entry = self.references.get(identity)
                if entry is not None and entry.content is None:
                    self.fetchers.append((peer, identity))
                else:
                    content = None if entry is None else entry.content
                    self.send(self.id, peer, ("value", identity, content))
            case "value", identity, refs:
                self.fetching.discard(identity)
                entry = self.references.get(identity)
                if entry is not None and entry.content is None:
                    assert refs is not None or self.mortal, "freed while we have a reference"
                    entry.content = tuple(refs or ())

    def process_gone(self, other: bytes) -> None:
        self.gone.add(other)
        lost, tokens, out = self.references.process_gone(other)
        self.follow(out)
        for entry in lost:
            if entry.content is None:
                entry.content = ()
        for token in tokens:
            self.token_done(token)
        for result in [i for i in self.returned if owner_of(i) == other]:
            self.follow(self.references.unhold(self.returned.pop(result)))
        for task in [task for task, call in self.calls.items() if call.worker == other]:
            self.call_lost(task)
        self.fetchers = [(who, i) for who, i in self.fetchers if who != other]

    # What must be so ----------------------------------------------------------------------

    @property
    def in_use(self) -> set[bytes]:
        """What the program has references to, here and now."""
        return set(self.user) | {loading.outer for loading in self.loading}

    def check(self) -> None:
        self.references.check()
        local = Counter(self.user)
        local.update(loading.outer for loading in self.loading)
        assert local == {i: e.local for i, e in self.references.entries.items() if e.local}

    def check_empty(self) -> None:
        references = self.references
        assert not references.entries, f"leaked: {list(references.entries)}"
        tables = references._fresh, references._waiting, references._unconfirmed, references._lent
        assert not any(tables), tables
        tables = self.returned, self.on_token, self.calls, self.fetchers
        assert not any(tables), tables


class World:
    """Processes and the mail between them; what happens next is drawn by lot.

    Mail between some pairs is slow, so that what is said in a roundabout way often arrives
    before what was said first.
    """

    def __init__(self, seed: int, *, mortal: bool) -> None:
        self.lot = random.Random(seed)
        self.processes = {name: Process(name, self.post, mortal) for name in NAMES}
        self.mail: dict[tuple[bytes, bytes], deque[tuple[Any, ...]]] = {}
        self.slow = set(self.lot.sample(list(permutations(NAMES, 2)), self.lot.randint(0, 2)))
        self.inside: dict[bytes, Ids] = {}
        weights: dict[Callable[[Process], None], float] = {
            self.put: 3,
            self.drop: self.lot.choice([0.5, 2]),
            self.leave_to: self.lot.choice([1, 4]),
            self.submit: self.lot.choice([2, 4]),
            self.start_loading: 8,
            self.finish_loading: 6,
            self.finish: 8,
            self.yield_item: self.lot.choice([0, 1]),
            self.mail_arrives: self.lot.choice([10, 20]),
            self.die: 0.1 if mortal else 0,
        }
        self.events, self.weights = list(weights), list(weights.values())

    def post(self, sender: bytes, receiver: bytes, message: tuple[Any, ...]) -> bool:
        if receiver not in self.processes:
            return False
        self.mail.setdefault((sender, receiver), deque()).append(message)
        return True

    def deliver(self, key: tuple[bytes, bytes]) -> None:
        sender, receiver = key
        queue = self.mail[key]
        message = queue.popleft()
        if not queue:
            del self.mail[key]
        process = self.processes[receiver]
        if message[0] == "gone":
            process.process_gone(message[1])
        else:
            process.receive(sender, message)

    def some(self, choices: Iterable[bytes]) -> Ids:
        """None, one or two of the choices; it may be twice the same."""
        available = sorted(choices)
        return self.lot.choices(available, k=self.lot.choice([0, 1, 1, 2])) if available else []

    def some_of(self, process: Process) -> Ids:
        """Some references that a program has, rather those that came from others."""
        borrowed = [i for i in process.user if owner_of(i) != process.id]
        return self.some(borrowed if borrowed and self.lot.random() < 0.7 else process.user)

    def without_rings(self, result: bytes, refs: Ids) -> Ids:
        """Those of *refs* that *result* can contain without containing itself.

        Results that are not there yet can be made to contain one another. As with every
        reference count, such a ring is never freed.
        """

        def leads_to_result(identity: bytes) -> bool:
            inside = self.inside.get(identity, ())
            return identity == result or any(map(leads_to_result, inside))

        kept = [ref for ref in refs if not leads_to_result(ref)]
        self.inside[result] = kept
        return kept

    def dropped(self, process: Process, identities: Ids) -> Ids:
        """Those of *identities* that the program lets go of."""
        dropped = [i for i in identities if self.lot.random() < 0.5]
        counted = Counter(dropped)
        return [i for i in dropped if process.user[i] >= counted[i]]

    # What may happen ----------------------------------------------------------------------

    def let_go(self, process: Process, identities: Iterable[bytes]) -> None:
        """The program lets go of most of these."""
        for identity in identities:
            if process.user[identity] and self.lot.random() < 0.7:
                process.drop(identity)

    def put(self, process: Process) -> None:
        inner = self.some_of(process)
        self.inside[process.put(inner)] = inner
        self.let_go(process, inner)

    def drop(self, process: Process) -> None:
        self.let_go(process, list(process.user))

    def leave_to(self, process: Process) -> None:
        """All other programs let go of what this one has."""
        for identity in self.some_of(process):
            for other in self.processes.values():
                while other is not process and other.user[identity]:
                    other.drop(identity)

    def submit(self, process: Process) -> None:
        worker = self.lot.choice([other for other in self.processes if other != process.id])
        entries = process.references.entries
        slots = self.some(i for i in process.user if entries[i].content is not None)
        nested = self.some_of(process)
        process.submit(worker, slots, nested)
        self.let_go(process, slots + nested)

    def start_loading(self, process: Process) -> None:
        entries = process.references.entries
        borrowed = [
            i for i in process.user if owner_of(i) != process.id and entries[i].content != ()
        ]
        for identity in borrowed[:2] or self.some(process.user):
            process.start_loading(identity)

    def finish_loading(self, process: Process) -> None:
        if process.loading:
            loading = self.lot.choice(process.loading)
            process.finish_loading(loading, self.dropped(process, loading.inner))
            self.let_go(process, [loading.outer])

    def finish(self, process: Process) -> None:
        if process.jobs:
            job = self.lot.choice(process.jobs)
            refs = self.without_rings(object_id(job.task, 0), self.some_of(process))
            process.finish(job, refs, self.dropped(process, job.brought))

    def yield_item(self, process: Process) -> None:
        if process.jobs:
            job = self.lot.choice(process.jobs)
            item = object_id(job.task, job.yielded + 1)
            process.yield_item(job, self.without_rings(item, self.some_of(process)))

    def mail_arrives(self, _process: Process) -> None:
        waiting = sorted(self.mail)
        if waiting:
            key = self.lot.choice([key for key in waiting if key not in self.slow] or waiting)
            self.deliver(key)

    def die(self, process: Process) -> None:
        if len(self.processes) <= 2:
            return
        del self.processes[process.id]
        for key in list(self.mail):
            if key[1] == process.id:
                del self.mail[key]
        # The node tells the others, before or after what the dead one had sent.
        for survivor in self.processes:
            self.mail.setdefault((b"node", survivor), deque()).append(("gone", process.id))

    def step(self) -> None:
        [happens] = self.lot.choices(self.events, self.weights)
        able = [p for p in self.processes.values() if happens != self.finish or p.jobs]
        if able:
            happens(self.lot.choice(able))
        self.check()

    # What must be so ----------------------------------------------------------------------

    def check(self) -> None:
        for process in self.processes.values():
            process.check()
            # Who has a reference from a process that died may come too late to keep the value.
            if not process.mortal:
                for identity in process.in_use:
                    owner = self.processes[owner_of(identity)]
                    assert identity in owner.references.entries, "freed while it is in use"

    def wind_up(self) -> None:
        """When all programs have ended and all mail has arrived, nothing is left."""
        for _ in range(100):
            for process in self.processes.values():
                for loading in list(process.loading):
                    process.finish_loading(loading, [])
                for job in list(process.jobs):
                    process.finish(job, [], [])
                for identity in list(process.user.elements()):
                    process.drop(identity)
            for key in sorted(self.mail):
                while key in self.mail:
                    self.deliver(key)
            self.check()
            if not self.mail and not any(p.user or p.jobs for p in self.processes.values()):
                break
        for process in self.processes.values():
            process.check_empty()


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 150))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_value_is_freed_while_it_is_in_use_and_none_is_leaked(seed: int, steps: int) -> None:
    world = World(seed, mortal=False)
    for _ in range(steps):
        world.step()
    world.wind_up()


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 150))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_none_is_leaked_when_processes_die(seed: int, steps: int) -> None:
    world = World(seed, mortal=True)
    for _ in range(steps):
        world.step()
    world.wind_up()
