"""The head's scheduler and those of the nodes together, with messages that cross each other.

Clients with tasks and actors run on a small cluster that is made up. Every message takes its
time; those of one sender to one receiver stay in order. Whatever the order, all tasks are done
and all actors placed in the end, save what no node could ever hold, which is refused.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable

import pytest

from air.executor.resources import Resources
from air_cluster.core.cluster import ClusterScheduler
from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Redirect,
    Refuse,
    RefuseActor,
    SendActor,
)
from air_cluster.core.cluster_shapes import ClusterShape, NodeView
from air_cluster.core.instructions import (
    Grant,
    Instruction,
    LeaseLost,
    Place,
    Reclaim,
    RefusePlacement,
    StartWorker,
    StopWorker,
)
from air_cluster.core.instructions import Refuse as NodeRefuse
from air_cluster.core.leases import NodeScheduler
from air_cluster.core.listings import Unmet
from air_cluster.core.shapes import RefusalKind, ShapeKey
from air_cluster.core.waiting import Kind

TICK = 0.5


class Client:
    """A process with tasks of one shape, which uses every worker that it is lent."""

    def __init__(self, name: bytes, home: int, shape: ClusterShape, tasks: int) -> None:
        self.name = name
        self.home = home
        self.shape = shape
        self.queued = tasks
        self.running: set[tuple[int, int]] = set()  # node and lease
        self.refused = False

    def __repr__(self) -> str:
        return f"{self.name!r} at n{self.home}: {self.queued} x {self.shape} queued"


class World:
    """A cluster without machines."""

    def __init__(self, seed: int, totals: list[Resources]) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.head = ClusterScheduler()
        self.nodes: dict[int, NodeScheduler] = {}
        self.clients: dict[bytes, Client] = {}
        self.actors: dict[bytes, tuple[ClusterShape, int]] = {}
        self.placed: dict[bytes, int] = {}
        self.refused_actors: set[bytes] = set()
        self.channels: dict[tuple[object, object], deque[Callable[[], None]]] = {}
        self.elsewhere: Counter[bytes] = Counter()  # demand that a home does not try to meet
        self.told_unmet: Counter[bytes] = Counter()
        self.told_free: dict[int, Resources] = {}
        self.grants = 0
        for number, total in enumerate(totals, 1):
            self.join(number, total)

    # Messages -----------------------------------------------------------------------------

    def send(self, sender: object, receiver: object, deliver: Callable[[], None]) -> None:
        self.channels.setdefault((sender, receiver), deque()).append(deliver)

    def deliver_some(self, count: int) -> bool:
        """Deliver up to *count* messages, each the first of a channel drawn by lot."""
        for _ in range(count):
            channels = [channel for channel in self.channels.values() if channel]
            if not channels:
                return False
            self.random.choice(channels).popleft()()
        return True

    # Nodes --------------------------------------------------------------------------------

    def join(self, number: int, total: Resources) -> None:
        self.nodes[number] = NodeScheduler(f"n{number}", total, 2, alone=False)
        self.told_free[number] = total
        view = NodeView(number, f"n{number}", total)
        self.follow_head(self.head.node_joined(view, self.now))

    def lose(self, number: int) -> None:
        """A node dies, with its clients. Clients run again what ran there, and so do actors."""
        del self.nodes[number]
        dead = {name for name, client in self.clients.items() if client.home == number}
        self.clients = {n: client for n, client in self.clients.items() if n not in dead}
        for channel, messages in self.channels.items():
            if number in channel or not dead.isdisjoint(channel) or f"pool{number}" in channel:
                messages.clear()
        self.follow_head(self.head.node_lost(number, self.now))
        for client in self.clients.values():
            lost = {lease for lease in client.running if lease[0] == number}
            client.running -= lost
            client.queued += len(lost)
            self.demand(client)
        for actor in [actor for actor, where in self.placed.items() if where == number]:
            del self.placed[actor]
            self.place(actor)
        for other, node in self.nodes.items():
            for name in sorted(dead):
                self.follow_node(other, node.owner_gone(name, self.now))

    def follow_node(self, number: int, instructions: list[Instruction]) -> None:
        todo = deque(instructions)
        while todo:
            instruction = todo.popleft()
            node = self.nodes[number]
            match instruction:
                case StartWorker(worker):
                    self.send(f"pool{number}", number, lambda w=worker: self.ready(number, w))
                case StopWorker(worker):
                    todo.extend(node.worker_died(worker, self.now))
                case Grant(owner, shape, lease, _):
                    self.send(
                        number,
                        owner,
                        lambda o=owner, s=shape, i=lease: self.granted(o, s, number, i),
                    )
                case NodeRefuse(owner, shape, RefusalKind.BUSY, _, count):
                    self.send(number, "head", lambda o=owner, c=count: self.busy(o, number, c))
                case NodeRefuse(owner, _, _, _, _):
                    if owner in self.clients:
                        self.clients[owner].refused = True
                        self.clients[owner].queued = 0
                case Reclaim(lease, owner):
                    self.send(
                        number, owner, lambda o=owner, i=lease: self.finish(o, (number, i), True)
                    )
                case Place(actor, worker):
                    self.send(
                        number, "head", lambda a=actor, w=worker: self.actor_placed(a, number, w)
                    )
                case RefusePlacement(actor, reason, _):
                    assert reason is RefusalKind.BUSY
                    self.send(
                        number,
                        "head",
                        lambda a=actor: self.follow_head(
                            self.head.place_refused(a, number, self.now)
                        ),
                    )
                case LeaseLost():
                    raise AssertionError(instruction)
        self.report(number)

    def report(self, number: int) -> None:
        """Tell the head what has changed on a node."""
        node = self.nodes[number]
        free = node.available()
        if free != self.told_free[number]:
            self.told_free[number] = free
            slots = [1.0] * int(free.get("GPU", 0.0))
            self.send(
                number,
                "head",
                lambda: self.follow_head(self.head.load(number, free, self.now, gpus=slots)),
            )
        unmet: dict[bytes, Unmet] = {}
        for each in node.unmet():
            if each.kind is Kind.LEASE:
                assert isinstance(each.subject, bytes)
                unmet[each.subject] = each
        for client in self.clients.values():
            if client.home == number:
                if client.shape.starts_at(number, f"n{number}", {}):
                    count = unmet[client.name].count if client.name in unmet else 0
                else:  # though it may have been sent back to wait here
                    count = self.elsewhere[client.name]
                if count != self.told_unmet[client.name]:
                    self.told_unmet[client.name] = count
                    self.send(
                        number,
                        "head",
                        lambda c=client, n=count: self.follow_head(
                            self.head.unmet(c.home, c.name, c.shape, n, 0, self.now)
                        ),
                    )

    def ready(self, number: int, worker: str) -> None:
        if number in self.nodes:
            self.follow_node(number, self.nodes[number].worker_ready(worker, self.now))

    # Clients ------------------------------------------------------------------------------

    def start(self, client: Client) -> None:
        self.clients[client.name] = client
        self.demand(client)

    def demand(self, client: Client) -> None:
        """State a client's demand to its home."""
        count = client.queued
        self.send(client.name, client.home, lambda: self.on_demand(client, count))

    def on_demand(self, client: Client, count: int) -> None:
        number = client.home
        if number not in self.nodes or client.name not in self.clients:
            return
        if client.shape.starts_at(number, f"n{number}", {}):
            self.follow_node(
                number,
                self.nodes[number].set_demand(client.name, client.shape.key, count, 0, self.now),
            )
        else:
            self.elsewhere[client.name] = count
            self.report(number)

    def granted(self, owner: bytes, shape: ShapeKey, number: int, lease: int) -> None:
        self.grants += 1
        client = self.clients.get(owner)
        if client is None or number not in self.nodes:
            return
        if not client.queued:
            node = self.nodes[number]
            self.send(
                owner, number, lambda: self.follow_node(number, node.return_lease(lease, self.now))
            )
            return
        client.queued -= 1
        client.running.add((number, lease))
        self.demand(client)

    def finish(self, owner: bytes, lease: tuple[int, int], give_back: bool) -> None:
        """A task has ended (by magic at once, where its lease is asked back)."""
        client = self.clients.get(owner)
        if client is None or lease not in client.running:
            return
        if client.queued and not give_back:
            client.queued -= 1
            self.demand(client)
            return
        client.running.discard(lease)
        number, lease_id = lease
        self.send(
            owner,
            number,
            lambda: self.follow_node(number, self.nodes[number].return_lease(lease_id, self.now)),
        )

    def busy(self, owner: bytes, number: int, count: int) -> None:
        client = self.clients.get(owner)
        if client is not None:
            self.follow_head(self.head.busy(owner, client.shape, number, count, self.now))

    # The head -----------------------------------------------------------------------------

    def follow_head(self, instructions: list[ClusterInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Redirect(client, shape, number, count, pinned):
                    self.send(
                        "head",
                        client,
                        lambda c=client, s=shape, n=number, k=count, p=pinned: self.send(
                            c, n, lambda: self.redirected(c, s, n, k, p)
                        ),
                    )
                case SendActor(actor, number, pinned):
                    self.send(
                        "head", number, lambda a=actor, n=number, p=pinned: self.look(a, n, p)
                    )
                case RecallActor(actor, number):
                    self.send(
                        "head",
                        number,
                        lambda a=actor, n=number: self.follow_node(
                            n, self.nodes[n].cancel_placement(a, self.now)
                        ),
                    )
                case Refuse(client, shape, reason, message):
                    self.send(
                        "head",
                        self.clients[client].home,
                        lambda c=self.clients[client], r=reason, m=message: self.refused(c, r, m),
                    )
                case RefuseActor(actor, _, _):
                    self.refused_actors.add(actor)
        self.head.check()

    def redirected(
        self, owner: bytes, shape: ClusterShape, number: int, count: int, pinned: bool
    ) -> None:
        if number in self.nodes and owner in self.clients:
            self.follow_node(
                number,
                self.nodes[number].set_demand(
                    owner, shape.key, count, 0, self.now, once=not pinned
                ),
            )

    def refused(self, client: Client, reason: RefusalKind, message: str) -> None:
        client.refused, client.queued = True, 0
        self.elsewhere[client.name] = self.told_unmet[client.name] = 0
        self.follow_node(
            client.home,
            self.nodes[client.home].refuse(
                client.name, client.shape.key, reason, message, self.now
            ),
        )

    def start_actor(self, name: bytes, home: int, shape: ClusterShape) -> None:
        self.actors[name] = shape, home
        self.place(name)

    def place(self, name: bytes) -> None:
        shape, home = self.actors[name]
        self.follow_head(self.head.place(name, shape, home=home, owner=name, depth=0, now=self.now))

    def look(self, actor: bytes, number: int, pinned: bool) -> None:
        key = self.actors[actor][0].key
        node = self.nodes[number]
        self.follow_node(
            number,
            node.place(actor, key, owner=b"head", depth=0, now=self.now, once=not pinned),
        )

    def actor_placed(self, actor: bytes, number: int, worker: str) -> None:
        if actor in self.placed:
            if self.placed[actor] != number:  # the registry stops the second one
                self.follow_node(number, self.nodes[number].cancel_placement(actor, self.now))
            return
        self.placed[actor] = number
        self.follow_head(self.head.placed(actor, number, self.now))

    # Time ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Half a second: messages travel, some tasks end."""
        self.now += TICK
        self.deliver_some(self.random.randrange(200))
        for client in list(self.clients.values()):
            for lease in sorted(client.running):
                if self.random.random() < 0.5:
                    self.finish(client.name, lease, give_back=False)
        for actor, number in self.placed.items():
            if self.random.random() < 0.2:  # it ends; to end it again does nothing
                self.follow_node(number, self.nodes[number].cancel_placement(actor, self.now))
        self.follow_head(self.head.tick(self.now))
        for number in self.nodes:
            self.follow_node(number, self.nodes[number].tick(self.now))
            self.nodes[number].check()

    def is_done(self) -> bool:
        idle = not any(client.queued or client.running for client in self.clients.values())
        settled = self.actors.keys() == self.placed.keys() | self.refused_actors
        return idle and settled and not any(self.channels.values())

    def run(self, seconds: float) -> None:
        """Let time pass until all is done, for no longer than that."""
        until = self.now + seconds
        while not self.is_done():
            assert self.now < until, (
                [c for c in self.clients.values() if c.queued or c.running],
                self.actors.keys() - self.placed.keys(),
                self.head.demands(),
            )
            self.step()
            self.deliver_some(self.random.choice([0, 100, 10_000]))


def shape(cpus: float = 0, **more: object) -> ClusterShape:
    gpus = more.pop("gpus", 0)
    return ClusterShape(Resources({"CPU": cpus, "GPU": gpus}), **more)  # type: ignore[arg-type, dict-item]


SHAPES = [
    shape(1),
    shape(2),
    shape(4),
    shape(0.5),
    shape(0),
    shape(1, gpus=1),
    shape(gpus=2),
    shape(1, spread=True),
    shape(1, node="n2"),
    shape(1, node="n3", soft=True),
    shape(1, preferred=3),
]
TOTALS = [Resources(), *(Resources({"CPU": c, "GPU": g}) for c, g in ((4, 0), (2, 0), (4, 2)))]


@pytest.mark.parametrize("seed", range(25))
def test_everything_is_served_in_the_end(seed: int) -> None:
    world = World(seed, TOTALS)
    populate(world)
    world.run(seconds=400)
    assert not world.refused_actors
    assert not any(client.refused for client in world.clients.values())
    assert world.head.demands() == []


@pytest.mark.parametrize("seed", range(25))
def test_everything_else_is_served_when_nodes_die_and_join(seed: int) -> None:
    world = World(seed, TOTALS)
    populate(world)
    for number in (4, 2):
        world.step()
        world.deliver_some(world.random.randrange(30))
        world.lose(number)
        world.deliver_some(world.random.randrange(30))
        world.join(number + 10, TOTALS[number - 1])
    world.run(seconds=400)
    assert not world.refused_actors
    refused = {client.shape for client in world.clients.values() if client.refused}
    assert refused <= {shape(1, node="n2")}  # there is no such node any more
    assert world.head.demands() == []


@pytest.mark.parametrize("seed", range(3))
def test_who_comes_late_gets_its_share_of_a_full_cluster(seed: int) -> None:
    """Drivers without resources of their own: nobody has any of them on record but by the head."""
    world = World(seed, [Resources()] * 3 + [Resources({"CPU": 4})] * 8)
    first = Client(b"A", 1, shape(1), 1000)
    world.start(first)
    for _ in range(6):
        world.step()
        world.deliver_some(10_000)
    assert len(first.running) == 32
    small, late = Client(b"B", 2, shape(1), 1), Client(b"C", 3, shape(1), 200)
    world.start(small)
    world.start(late)
    shares = []
    while late.queued:
        world.step()
        world.deliver_some(10_000)
        assert not small.queued or not shares
        shares.append(len(late.running))
    assert shares.count(16) >= 10
    assert max(shares) == 16
    world.run(seconds=100)
    assert world.grants < 150


def populate(world: World) -> None:
    """Start some clients and actors, drawn by lot, while messages travel."""
    draw = world.random
    for index in range(draw.randrange(1, 8)):
        name = f"C{index}".encode()
        tasks = draw.choice([1, 3, 50])
        world.start(Client(name, draw.randrange(1, 5), draw.choice(SHAPES), tasks))
        world.deliver_some(draw.randrange(20))
    for index in range(draw.randrange(3)):
        wanted = draw.choice([shape(1), shape(0), shape(1, gpus=1), shape(0.5, spread=True)])
        world.start_actor(f"a{index}".encode(), draw.randrange(1, 5), wanted)
