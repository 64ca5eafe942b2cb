"""What the head keeps for whom: programs end, and so do the processes of detached actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from air.executor.resources import Resources
from air_cluster.core.workers import SERIAL_DIGITS
from air_cluster.daemon.head import HeadService, NodeRecord
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.codec import Message, encode
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.ids import IdMaker, new_process_id
from air_cluster.protocol.messages import INLINE, CreateActor, CreateGroup, Shape, Value
from air_cluster.transport.reactor import Reactor

SPACE = "tests"
WORKER = "1".zfill(SERIAL_DIGITS)


class Wire:
    """To a node that takes in what it is told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        self.sent.append(message)

    def greet(self, hello: wire.Joined) -> None:
        self.sent.append(hello)


class Cluster:
    """A head with two nodes: programs are on the first, what they start is on the second."""

    def __init__(self) -> None:
        self._reactor = Reactor()
        self._makers: dict[bytes, IdMaker] = {}
        self.head = HeadService(self._reactor)
        self.first, self.second = self._node("a"), self._node("b")

    def _node(self, name: str) -> NodeRecord:
        entry = NodeEntry(0, name * 16, "127.0.0.1", b"", "", "", {"CPU": 4.0}, {})
        return self.head.admit(entry, Wire(), lambda: Resources({"CPU": 4.0}))

    def close(self) -> None:
        self._reactor.close()

    def process(self, node: NodeRecord) -> bytes:
        return new_process_id(node.entry.number)

    def identity(self, process: bytes) -> bytes:
        return self._makers.setdefault(process, IdMaker(process)).task()

    def program(self) -> bytes:
        process = self.process(self.first)
        self.head.receive(self.first, wire.DriverHere(process, False), b"")
        return process

    def ended(self, node: NodeRecord, process: bytes) -> None:
        self.head.receive(node, wire.ProcessEnded(process, "it ended"), b"")

    def says(self, process: bytes, message: Message) -> None:
        """A client of the second node says something to the head."""
        self.head.receive(self.second, wire.FromClient(process, encode(message)), b"")

    def make_actor(self, process: bytes, job: bytes, name: str, *, detached: bool = False) -> bytes:
        actor_id = self.identity(process)
        shape = Shape({}, b"", -1, "", False, False)
        nothing = Value(INLINE, [])
        self.says(
            process,
            CreateActor(
                1, actor_id, "Class", b"", name, SPACE, detached, False, 0, 1, shape, False, b"",
                0, 1, "", nothing, [], [], job,
            ),
        )  # fmt: skip
        return actor_id

    def up(self, actor_id: bytes) -> bytes:
        """An actor has got a process of the second node; returns that."""
        process = self.process(self.second)
        worker = self.second.entry.name + WORKER
        self.head.receive(self.second, wire.ActorPlaced(actor_id, worker, process, []), b"")
        self.head.receive(self.second, wire.ActorUp(actor_id, False, "unix:/s/w.sock"), b"")
        return process

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.head.actors.names()]

    @property
    def groups(self) -> list[str]:
        infos = self.head.groups.infos()
        return [info["name"] for info in infos if info["state"] != "REMOVED"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


def make_group(
    cluster: Cluster, process: bytes, owner: bytes, name: str, *, detached: bool = False
) -> None:
    identity = cluster.identity(process)
    cluster.says(
        process, CreateGroup(1, identity, [{"CPU": 1.0}], "PACK", name, detached, owner, SPACE)
    )


def test_a_program_takes_along_all_but_what_is_detached(cluster: Cluster) -> None:
    program, worker = cluster.program(), cluster.process(cluster.second)
    cluster.make_actor(worker, program, "plain")
    cluster.make_actor(worker, program, "lasting", detached=True)
    make_group(cluster, worker, program, "group")
    make_group(cluster, cluster.process(cluster.second), program, "stays", detached=True)
    cluster.ended(cluster.first, program)
    assert cluster.names == ["lasting"]
    assert cluster.groups == ["stays"]


def test_what_a_program_wants_after_its_end_ends_at_once(cluster: Cluster) -> None:
    """It comes from another node, by another way than the news of the end."""
    program, worker = cluster.program(), cluster.process(cluster.second)
    cluster.ended(cluster.first, program)
    cluster.make_actor(worker, program, "plain")
    cluster.make_actor(cluster.process(cluster.second), program, "lasting", detached=True)
    make_group(cluster, worker, program, "group")
    assert cluster.names == ["lasting"]
    assert cluster.groups == []


@pytest.mark.parametrize("how", ["its process", "its node"])
def test_the_process_of_a_detached_actor_is_what_a_program_is(cluster: Cluster, how: str) -> None:
    program = cluster.program()
    lasting = cluster.make_actor(cluster.process(cluster.second), program, "lasting", detached=True)
    root = cluster.up(lasting)
    cluster.ended(cluster.first, program)
    worker = cluster.process(cluster.first)
    cluster.make_actor(worker, root, "child")
    make_group(cluster, worker, root, "group")
    assert cluster.names == ["child", "lasting"]
    assert cluster.groups == ["group"]
    if how == "its process":
        cluster.head.receive(
            cluster.second, wire.WorkerGone(cluster.second.entry.name + WORKER, "it died"), b""
        )
        cluster.ended(cluster.second, root)
    else:
        cluster.head.node_lost(cluster.second.entry.number, "it is gone")
        cluster.second = cluster.first
    assert cluster.names == []
    assert cluster.groups == []
    cluster.make_actor(cluster.process(cluster.first), root, "late")
    assert cluster.names == []
