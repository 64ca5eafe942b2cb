"""What the head says of actors and placement groups that are not placed; no time passes."""

from __future__ import annotations

from typing import Any

import pytest

from air.executor.resources import Resources
from air_cluster.daemon.head import HeadService
from air_cluster.daemon.late import LateWatch
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.codec import encode
from air_cluster.protocol.ids import new_process_id
from air_cluster.protocol.messages import CreateActor, CreateGroup, Shape, Value
from air_cluster.transport.reactor import Reactor


class Link:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any, payload: Any = ()) -> None:
        self.sent.append(message)

    def greet(self, hello: Any) -> None:
        self.sent.append(hello)


class Head:
    """A head with one node of two CPUs, which does what it is told by the test."""

    def __init__(self) -> None:
        self.free = Resources({"CPU": 2})
        self.service = HeadService(Reactor())
        self.link = Link()
        entry = wire.NodeEntry(0, "node", "127.0.0.1", b"daemon00", "", "", {"CPU": 2.0}, {})
        self.node = self.service.admit(entry, self.link, lambda: self.free)
        self.service.own = self.node.entry
        self.program = new_process_id(self.node.entry.number)
        self.service.receive(self.node, wire.DriverHere(self.program, False), b"")
        self.watch = LateWatch(self.service)

    def ask(self, message: Any) -> None:
        self.service.receive(self.node, wire.FromClient(self.program, encode(message)), b"")

    def create(
        self, number: int, cpus: float, name: str = "", pool: tuple[bytes, int] = (b"", -1)
    ) -> bytes:
        actor_id = self.program + number.to_bytes(6, "big")
        spec: Any = {
            "request": 0,
            "actor_id": actor_id,
            "class_name": "Thing",
            "methods": b"",
            "name": name,
            "namespace": "default",
            "detached": False,
            "get_if_exists": False,
            "max_restarts": 0,
            "max_concurrency": 1,
            "shape": Shape({"CPU": cpus}, group=pool[0], bundle=pool[1]),
            "capture": False,
            "code": b"code",
            "code_bytes": 0,
            "depth": 1,
            "address": "",
            "args": Value(0, []),
            "slots": [],
            "slot_refs": [],
            "job_id": self.program,
        }
        self.ask(CreateActor(**spec))
        return actor_id

    def place(self, actor_id: bytes, cpus: float) -> None:
        """The node gives an actor a worker."""
        self.free = self.free - Resources({"CPU": cpus})
        worker = f"node{1:08x}"
        placed = wire.ActorPlaced(actor_id, worker, new_process_id(self.node.entry.number), [])
        self.service.receive(self.node, placed, b"")
        self.service.load_changed(self.node)


@pytest.fixture
def head() -> Any:
    made = Head()
    yield made
    made.service.reactor.close()


def test_an_actor_without_a_place_and_who_holds_it(head: Head) -> None:
    head.place(head.create(1, 2, "holder"), 2)
    waiting = head.create(2, 1, "patient")
    assert head.watch.look(1000.0) == []
    assert head.watch.look(1029.0) == []
    assert head.watch.look(1031.0) == [
        (
            head.program,
            (
                "actor Thing 'patient' has waited for 31.0 s for a worker with {'CPU': 1}: node"
                " node has 0 of 2 CPU free, held by actor Thing 'holder' ({'CPU': 2})"
            ),
        )
    ]
    assert head.watch.look(1036.0) == []
    [(_, again)] = head.watch.look(1070.0)
    assert "1 min 10 s" in again
    head.ask(messages.KillActor(waiting, True))
    assert head.watch.look(2000.0) == []


def test_a_group_without_a_place(head: Head) -> None:
    head.place(head.create(1, 2), 2)
    group_id = head.program + (7).to_bytes(6, "big")
    head.ask(CreateGroup(1, group_id, [{"CPU": 1.0}], "PACK", "", False))
    head.watch.look(1000.0)
    [(process, text)] = head.watch.look(1030.0)
    assert process == head.program
    assert f"placement group {group_id.hex()} (PACK) has waited for 30.0 s for bundles of" in text
    assert text.endswith("node node has 0 of 2 CPU free, held by actor Thing ({'CPU': 2})")
    head.ask(messages.RemoveGroup(group_id))
    assert head.watch.look(1100.0) == []


def test_what_waits_in_a_group(head: Head) -> None:
    head.place(head.create(1, 2), 2)
    group_id = head.program + (7).to_bytes(6, "big")
    head.ask(CreateGroup(1, group_id, [{"CPU": 1.0}], "PACK", "mine", False))
    head.create(2, 1, pool=(group_id, 0))
    head.watch.look(1000.0)
    [(_, of_actor), (_, of_group)] = head.watch.look(1030.0)
    assert of_group.startswith("placement group 'mine' (PACK) has waited for 30.0 s for bundles of")
    assert "with {'CPU': 1} in bundle 0 of placement group 'mine': 1 of its 1 bundles" in of_actor


def test_programs_are_told(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    head.place(head.create(1, 2), 2)
    head.create(2, 1)
    clock = [1000.0]
    monkeypatch.setattr("air_cluster.daemon.late.time.monotonic", lambda: clock[0])
    head.watch.tick()
    clock[0] += 31
    head.watch.tick()
    [told] = [m for m in head.link.sent if isinstance(m, wire.ToClient) and m.body[:1] == b"\x92"]
    assert told.process == head.program
    assert b"has waited for 31.0 s" in told.body
