"""The link between a node and the head, over real sockets that are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.daemon.head import HeadService
from air_cluster.daemon.head_memory import HeadMemory
from air_cluster.daemon.head_store import HeadStore
from air_cluster.daemon.membership import Membership
from air_cluster.daemon.uplink import Uplink
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.ids import NO_NODE, new_process_id
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

TOKEN = b"token of this cluster"
LOOPBACK = "tcp:127.0.0.1:0"


def end(peers: Peers) -> None:
    """What the end of a process does to its connections."""
    peers.on_lost = lambda _connection, _reason: None
    peers.close()


class Head:
    """A head, and what nodes have told it."""

    def __init__(self, reactor: Reactor, address: str = LOOPBACK, state: str = "") -> None:
        self.peers = Peers(reactor, TOKEN, new_process_id(NO_NODE))
        self.service = HeadService(reactor)
        self.members = Membership(self.service, self.peers)
        self.store = HeadStore(state) if state else None
        if self.store is not None:
            self.service.memory = HeadMemory(self.service, self.store)
            self.service.memory.restore(self.members)
        self.heard: list[str] = []
        self.service.on_node(wire.ProcessEnded, lambda _n, m, _p: self.heard.append(m.reason))
        self.peers.on_lost = self.members.lost
        self.address = self.peers.listen(address)

    def link(self) -> Any:
        [record] = self.service.nodes.values()
        return record.link

    def say(self, text: str) -> None:
        self.link().send(wire.ToClient(b"", text.encode()))

    def close(self) -> None:
        end(self.peers)
        if self.store is not None:
            self.store.close()


class Node:
    """A node, and what the head has told it."""

    def __init__(self, reactor: Reactor, head: str) -> None:
        self.peers = Peers(reactor, TOKEN, new_process_id(NO_NODE))
        address = self.peers.listen(LOOPBACK)
        self.number = 0
        self.heard: list[str] = []
        self.lost: list[str] = []
        self.came_back: list[bool] = []
        self.away = 0
        self.uplink = Uplink(reactor, self.peers, head, self)
        self.peers.on_lost = self.uplink.connection_lost
        entry = NodeEntry(0, "n", "127.0.0.1", self.peers.process_id, address, "", {}, {})
        self.uplink.join(entry)

    def from_head(self, message: Any, _payload: bytes) -> None:
        if isinstance(message, wire.Joined):
            self.number = message.number
        elif isinstance(message, wire.ToClient):
            self.heard.append(message.body.decode())

    def head_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def head_away(self, reason: str) -> None:
        self.away += 1

    def head_back(self, is_new: bool) -> None:
        self.came_back.append(is_new)

    def say(self, text: str) -> None:
        self.uplink.send(wire.ProcessEnded(b"", text))

    def close(self) -> None:
        end(self.peers)

    @property
    def connection(self) -> Connection:
        return self.uplink._connection


class World:
    """One loop for both sides."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.things: list[Any] = []

    def head(self, *arguments: str) -> Head:
        with self.reactor.lock:
            made = Head(self.reactor, *arguments)
        self.things.append(made)
        return made

    def node(self, head: Head) -> Node:
        with self.reactor.lock:
            made = Node(self.reactor, head.address)
        self.things.append(made)
        self.until(lambda: made.number)
        return made

    def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        import time

        assert self.reactor.wait_for(condition, time.monotonic() + seconds)

    def do(self, action: Callable[[], object]) -> None:
        with self.reactor.lock:
            action()

    def close(self) -> None:
        with self.reactor.lock:
            for thing in self.things:
                thing.close()
        self.reactor.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("side", ["head", "node"])
def test_a_link_that_is_cut_is_resumed(world: World, side: str) -> None:
    head = world.head()
    node = world.node(head)
    expected = []
    for text in ("a", "b", "c", "d"):
        expected.append(text)

        def speak_and_cut(text: str = text) -> None:
            head.say(text)
            node.say(text)
            cut = head.link().connection if side == "head" else node.connection
            cut.close("cut")

        world.do(speak_and_cut)
        world.until(lambda: len(node.came_back) == len(expected))
        world.until(lambda: head.heard == expected and node.heard == expected)
    assert node.away == 4
    assert not any(node.came_back)  # it was the same head all the time
    assert not node.lost
    assert list(head.service.nodes) == [node.number]


def test_what_is_said_meanwhile_waits(world: World) -> None:
    head = world.head()
    node = world.node(head)
    world.do(lambda: node.connection.close("cut"))
    world.until(lambda: node.away)
    world.do(lambda: (node.say("a"), node.say("b"), head.say("c")))
    world.until(lambda: head.heard == ["a", "b"] and node.heard == ["c"])


def test_what_has_arrived_is_kept_no_longer(world: World) -> None:
    head = world.head()
    node = world.node(head)
    world.do(lambda: (node.say("a"), head.say("b")))
    outboxes = [node.uplink._outbox, head.link().outbox]
    world.until(lambda: all(box.acknowledged == box.sent >= 1 for box in outboxes))


def test_a_node_whose_process_is_gone_is_not_waited_for(world: World) -> None:
    head = world.head()
    node = world.node(head)
    world.do(node.close)
    world.until(lambda: not head.service.nodes, seconds=3.0)  # sooner than silence would tell


def test_a_node_that_was_taken_for_dead_hears_it(world: World) -> None:
    head = world.head()
    node = world.node(head)

    def forget() -> None:
        head.members._remove(head.members._guests[node.number], "for a test")
        node.connection.close("cut")

    world.do(forget)
    world.until(lambda: node.lost)
    assert node.lost == ["the head has taken this node for dead"]


def test_another_head_at_the_same_address(world: World) -> None:
    head = world.head()
    node = world.node(head)
    world.do(head.close)
    world.things.remove(head)
    world.until(lambda: node.away)
    world.head(head.address)
    world.until(lambda: node.lost)
    assert node.lost == ["the head is that of another cluster by now"]


def test_the_same_head_started_again(world: World, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    head = world.head(LOOPBACK, state)
    node = world.node(head)
    world.do(lambda: (node.say("before"), head.say("before")))
    world.until(lambda: head.heard == ["before"] and node.heard == ["before"])
    # On disk, but not sent: the head dies at that moment.
    world.do(lambda: (head.link().connection.close("cut"), head.say("late"), head.service.settle()))
    world.do(head.close)
    world.things.remove(head)
    world.do(lambda: node.say("meanwhile"))
    again = world.head(head.address, state)
    world.until(lambda: node.came_back == [True])
    world.until(lambda: node.heard == ["before", "late"])
    world.until(lambda: "meanwhile" in again.heard)
    # What was committed before does not come twice.
    assert again.heard == ["meanwhile"]
    assert list(again.service.nodes) == [node.number]
    assert again.service.incarnation == head.service.incarnation + 1
