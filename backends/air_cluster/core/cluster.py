"""Where demand goes in a cluster (head service): to which nodes, or to none that there is.

See :class:`ClusterScheduler`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from air.executor.resources import Resources
from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Refuse,
    RefuseActor,
)
from air_cluster.core.cluster_lines import Lines
from air_cluster.core.cluster_map import ClusterMap, Group
from air_cluster.core.cluster_matching import Matching, merged
from air_cluster.core.cluster_promises import Promises
from air_cluster.core.cluster_reasons import why_never
from air_cluster.core.cluster_shapes import ClusterShape, Need, NodeView
from air_cluster.core.cluster_supply import Supply
from air_cluster.core.cluster_waiting import Lane, Waiter, WaitingRoom


class ClusterDemand(msgspec.Struct, frozen=True):
    """What waits for the same, for autoscalers and listings.

    Attributes:
        need: what, and where it may be.
        workers: how many workers clients want that they have not got.
        actors: how many actors wait.
        clients: how many clients the workers are for.
        since: when the one that has waited longest came, or last made progress.
        feasible: whether there is a node that could ever meet it.
    """

    need: Need
    workers: int
    actors: int
    clients: int
    since: float
    feasible: bool


class ClusterScheduler:
    """Decides to which nodes demands and actors go.

    Every node grants workers by itself to the processes on it. What it cannot grant now, it
    tells here; the client is then *redirected* to nodes that seem to have room. Actors are
    *sent* to nodes. Events are the methods below; all but the queries return instructions, to
    be carried out in order. Events about what is unknown (any more) do nothing: they cross
    with others on the wire.

    Room. The view of what is free on a node is what the node reported last, less what has been
    sent there since (see :mod:`~air_cluster.core.cluster_promises`). Whatever it says, a node
    has the last word: who does not fit after all is refused there as busy, and goes somewhere
    else; that node is not tried again for the same until it reports, or *patience* has passed.

    Which node. A demand stays at its client's own node as long as that has room, as that node
    is asked first; an actor goes there, too. Then its preferred node (where its arguments are,
    or to which it is softly tied), then the nodes that match its preferred labels, then the
    others. Among these it goes where it leaves least, and to nodes with GPUs last if it wants
    none, so that large requests keep finding room; or, to spread, to the node with the least
    load. Tied to a node or a bundle, it is sent there to wait (*pinned*).

    Order. When room appears, who fits is served by depth, then in turn by client, then by
    arrival. Nobody is held up by one that does not fit. What has no room anywhere waits in
    line on some nodes, and these make room: see :mod:`~air_cluster.core.cluster_lines`.

    Never. What no node could meet even if it were empty is refused after *grace* seconds, as
    nodes may be about to join; not at all while :attr:`expects_nodes`, save what is tied to a
    node or a group that does not exist.

    Cost. An event takes time in proportion to the logarithm of the number of nodes, plus, if it
    brings room, to the number of different needs that wait and may be met on that node (not
    of those who have them); the first demand with new label rules or custom resources also
    to the number of nodes that match these.

    Attributes:
        expects_nodes: whether nodes may be added for what waits (there is an autoscaler).
    """

    def __init__(
        self, *, grace: float = 1.0, patience: float = 1.0, expects_nodes: bool = False
    ) -> None:
        self.expects_nodes = expects_nodes
        self._grace = grace
        self._map = ClusterMap()
        self._room = WaitingRoom()
        self._lines = Lines(self._map)
        self._promises = Promises(patience)
        self._matching = Matching(self._map, self._room, self._lines, self._promises, patience)
        self._demands: dict[tuple[bytes, ClusterShape], Waiter] = {}
        self._actors: dict[bytes, Waiter] = {}
        self._homes: dict[int, dict[tuple[bytes, ClusterShape], None]] = {}
        self._doomed: deque[tuple[float, Lane]] = deque()

    # Nodes ------------------------------------------------------------------------------

    def node_joined(self, node: NodeView, now: float) -> list[ClusterInstruction]:
        """There is a new node, empty."""
        if node.number in self._map.nodes:
            return []
        return self._supply_came(self._map.add_node(node), now)

    def node_lost(self, number: int, now: float) -> list[ClusterInstruction]:
        """A node is gone, with the clients and the bundles on it.

        What its clients wanted is forgotten; actors wait on until they are cancelled.
        """
        if number not in self._map.nodes:
            return []
        for key in list(self._homes.get(number, ())):
            self._drop_demand(self._demands[key])
        supplies = self._map.all_on(number)
        lanes = self._lanes_of(supplies)
        self._map.remove_node(number)
        moved = dict.fromkeys(self._lines.node_lost(number))
        return self._supplies_went(supplies, lanes, moved, now)

    def load(
        self,
        number: int,
        free: Resources,
        now: float,
        *,
        gpus: Sequence[float] | None = None,
        bundles: Mapping[tuple[bytes, int], Resources] = {},
    ) -> list[ClusterInstruction]:
        """A node reports what is free on it, outside of bundles.

        Args:
            gpus: the free share of each of its GPUs, 0 to 1; by default they are as whole as
                can be.
            bundles: what is free in bundles on it, those that have changed at least.
        """
        node = self._map.nodes.get(number)
        if node is None:
            return []
        before = node.account.free, node.free_vector(())
        grown = [node] if node.report(free, gpus) else []
        if (node.account.free, node.free_vector(())) != before:  # else it keeps its turn
            self._map.changed(node)
        for (group_id, index), left in bundles.items():
            bundle = self._map.bundle(number, group_id, index)
            if bundle is not None:
                grown += [bundle] if bundle.report(left, None) else []
                self._map.changed(bundle)
        return merged(i for supply in grown for i in self._matching.offer(supply, now))

    # Demands ----------------------------------------------------------------------------

    def unmet(
        self,
        home: int,
        client: bytes,
        shape: ClusterShape,
        count: int,
        depth: int,
        now: float,
        *,
        came: int = 0,
    ) -> list[ClusterInstruction]:
        """A node cannot grant *count* workers that a client on it wants, besides those it has.

        That is all that the client wants, if the shape does not start at its home (see
        :meth:`ClusterShape.starts_at <air_cluster.core.cluster_shapes.ClusterShape.starts_at>`),
        even if it was sent back to wait there.

        Replaces what was said before about this client and shape; 0 withdraws. *depth* is the
        number of blocked tasks above those that wait. *came* have come from where it was
        redirected to since that was said, though it may want more again; if it wants fewer by
        more than that, the others are taken to have come, too.
        """
        waiter = self._demands.get((client, shape))
        if count <= 0:
            return [] if waiter is None else self._withdraw(waiter, now)
        if waiter is None:
            node = self._map.nodes.get(home)
            if node is None:
                return []
            waiter = self._make(client, home, shape, depth, count, now)
            waiter.at_home = shape.starts_at(home, node.node.name, node.node.labels)
            self._demands[client, shape] = waiter
            self._homes.setdefault(home, {})[client, shape] = None
            return self._enter(waiter, now)
        fewer = waiter.count - count
        waiter.count, waiter.depth = count, depth
        if (settled := max(fewer, came)) > 0:
            self._promises.settle(waiter, settled)
            waiter.since = now
            self._lines.watch(waiter, now)
        self._room.refresh(waiter)
        out = self._matching.seek(waiter.lane, now)
        if waiter.lines and (fewer < 0 or waiter.wanting <= 0):
            return merged([*out, *self._lines.restate(waiter)])
        return merged([*out, *self._lines.join(waiter)])

    def busy(
        self, client: bytes, shape: ClusterShape, number: int, count: int, now: float
    ) -> list[ClusterInstruction]:
        """A client was redirected to a node, which had no room for *count* of these workers."""
        waiter = self._demands.get((client, shape))
        if waiter is None:
            return []
        self._promises.settle(waiter, count, number)
        self._matching.shun(waiter.lane, number, now)
        self._room.refresh(waiter)
        return merged([*self._matching.seek(waiter.lane, now), *self._lines.join(waiter)])

    # Actors -----------------------------------------------------------------------------

    def place(
        self,
        actor_id: bytes,
        shape: ClusterShape,
        *,
        home: int,
        owner: bytes,
        depth: int,
        now: float,
    ) -> list[ClusterInstruction]:
        """An actor needs a worker; *home* is the node of its *owner*.

        Repeating it while it waits does nothing.
        """
        if actor_id in self._actors:
            return []
        waiter = self._make(owner, home, shape, depth, 1, now, actor_id)
        self._actors[actor_id] = waiter
        return self._enter(waiter, now)

    def placed(self, actor_id: bytes, number: int, now: float) -> list[ClusterInstruction]:
        """A node has a worker for an actor: it is recalled from where else it was sent."""
        waiter = self._actors.pop(actor_id, None)
        if waiter is None:
            return []
        recalls = [i for i in self._recall(waiter) if i.number != number]
        self._forget(waiter)
        return [*recalls, *self._matching.seek(waiter.lane, now)]

    def place_refused(self, actor_id: bytes, number: int, now: float) -> list[ClusterInstruction]:
        """A node that an actor was sent to had no room for it: it goes somewhere else."""
        waiter = self._actors.get(actor_id)
        if waiter is None or not self._promises.settle(waiter, 1, number):
            return []
        self._matching.shun(waiter.lane, number, now)
        self._room.refresh(waiter)
        return merged([*self._matching.seek(waiter.lane, now), *self._lines.join(waiter)])

    def cancel_place(self, actor_id: bytes, now: float) -> list[ClusterInstruction]:
        """An actor that was not placed yet needs no worker any more."""
        waiter = self._actors.pop(actor_id, None)
        if waiter is None:
            return []
        recalls = self._recall(waiter)
        self._forget(waiter)
        return [*recalls, *self._matching.seek(waiter.lane, now)]

    # Placement groups -------------------------------------------------------------------

    def group_created(
        self, group_id: bytes, bundles: Sequence[Resources], now: float
    ) -> list[ClusterInstruction]:
        """There is a placement group; requests for its bundles wait for them."""
        if group_id not in self._map.groups:
            self._map.groups[group_id] = Group(tuple(bundles))
            for lane in self._lanes_in(group_id):
                self._judge(lane, now)
        return []

    def bundle_at(
        self, group_id: bytes, index: int, number: int | None, now: float
    ) -> list[ClusterInstruction]:
        """A bundle is committed on a node now, empty; or, if that is ``None``, on none."""
        group = self._map.groups.get(group_id)
        if group is None:
            return []
        out: list[ClusterInstruction] = []
        bundle = group.bundles.get(index)
        if bundle is not None:
            if bundle.number == number:
                return []
            lanes = self._lanes_of([bundle])
            self._map.remove_bundle(bundle)
            moved: dict[Waiter, None] = {}
            for waiter in [waiter for lane in lanes for waiter in lane.waiters]:
                if bundle.number in waiter.lines and not self._is_served_on(bundle.number, waiter):
                    out.append(self._lines.withdraw(waiter, bundle.number))
                    moved[waiter] = None
                elif bundle.number == waiter.home:
                    moved[waiter] = None
            out += self._supplies_went([bundle], lanes, moved, now)
        node = None if number is None else self._map.nodes.get(number)
        if node is not None:
            out += self._supply_came(self._map.add_bundle(group_id, index, node), now)
        return merged(out)

    def group_hopeless(self, group_id: bytes, why: str, now: float) -> list[ClusterInstruction]:
        """No node could ever hold a group that never had a place, and what waits for it is refused.

        Or one could, if *why* is empty.
        """
        group = self._map.groups.get(group_id)
        if group is None:
            return []
        group.hopeless = why
        lanes = self._lanes_in(group_id)
        if why:
            return [i for lane in lanes for i in self._refuse(lane)]
        for lane in lanes:
            self._judge(lane, now)
        return []

    def group_gone(self, group_id: bytes, now: float) -> list[ClusterInstruction]:
        """A placement group was removed: what waits for its bundles is refused."""
        group = self._map.groups.get(group_id)
        if group is None:
            return []
        for bundle in list(group.bundles.values()):
            self._map.remove_bundle(bundle)
        del self._map.groups[group_id]
        return [i for lane in self._lanes_in(group_id) for i in self._refuse(lane)]

    # Time -------------------------------------------------------------------------------

    def tick(self, now: float) -> list[ClusterInstruction]:
        """Time has passed: call this about twice a second, or more often."""
        out: list[ClusterInstruction] = []
        freed, broken = self._promises.expire(now)
        for promise in broken:
            self._matching.shun(promise.waiter.lane, promise.supply.number, now)
            self._room.refresh(promise.waiter)
        freed |= self._matching.stop_shunning(now)
        for supply in freed:
            self._map.changed(supply)
            out += self._matching.offer(supply, now)
        for lane in dict.fromkeys(promise.waiter.lane for promise in broken):
            out += self._matching.seek(lane, now)
        for promise in broken:
            out += self._lines.join(promise.waiter)
        for waiter in self._lines.to_look_after(now):
            out += self._lines.widen(waiter)
        return merged([*out, *self._refuse_doomed(now)])

    # Queries ----------------------------------------------------------------------------

    @property
    def anybody_waits(self) -> bool:
        """Whether there is anything to find room for."""
        return bool(self._demands or self._actors)

    def demands(self) -> list[ClusterDemand]:
        """What waits, each need once, in the order in which they came."""
        found = []
        for need, lane in self._room.lanes.items():
            demands = [waiter for waiter in lane.waiters if waiter.actor_id is None]
            found.append(
                ClusterDemand(
                    need=need,
                    workers=sum(waiter.count for waiter in demands),
                    actors=len(lane.waiters) - len(demands),
                    clients=len({waiter.client for waiter in demands}),
                    since=min(waiter.since for waiter in lane.waiters),
                    feasible=lane.feasible,
                )
            )
        return found

    def check(self) -> None:
        """Assert every invariant: indexes agree with what they show, and nothing waits
        that a node seems to have room for."""
        self._map.check()
        self._room.check()
        self._promises.check()
        self._lines.check(self._room)
        waiters = [*self._demands.values(), *self._actors.values()]
        assert set(waiters) == set(self._room)
        assert len(waiters) == len(set(waiters))
        homes = {(number, key) for number, keys in self._homes.items() for key in keys}
        assert homes == {(waiter.home, key) for key, waiter in self._demands.items()}
        for need, lane in self._room.lanes.items():
            assert lane.selection.lanes[need] is lane
            fitting = [s for s in lane.selection.members if s.could_fit(need.resources)]
            assert (lane.witness in fitting) if fitting else lane.witness is None
            assert lane.feasible or not fitting
            for waiter in lane.waiters:
                self._promises.check_waiter(waiter)
                assert waiter.shape.need == need
            if not need.where.pinned:
                wanting = [waiter for waiter in lane.waiters if waiter.wanting]
                for supply in lane.selection.members:
                    passed = [waiter for waiter in wanting if self._matching.may_go(waiter, supply)]
                    # Whom a node has on record it serves by itself, and so before others.
                    assert len(passed) < len(wanting) or not wanting, f"{passed} could go"

    # Supplies that come and go ----------------------------------------------------------

    def _supply_came(self, supply: Supply, now: float) -> list[ClusterInstruction]:
        """There is a new supply: it may be the first for some needs."""
        first_for = []
        for lane in self._lanes_of([supply]):
            if lane.witness is None and supply.could_fit(lane.need.resources):
                lane.witness, lane.feasible = supply, True
                first_for.append(lane)
        out = self._matching.offer(supply, now)
        for lane in first_for:
            for waiter in lane.waiters:
                out += self._lines.join(waiter)
        return merged(out)

    def _supplies_went(
        self,
        supplies: list[Supply],
        lanes: Iterable[Lane],
        moved: dict[Waiter, None],
        now: float,
    ) -> list[ClusterInstruction]:
        """Supplies are gone, which those in *lanes* could use.

        Args:
            moved: those who waited there.
        """
        out: list[ClusterInstruction] = []
        for supply in supplies:
            for waiter in self._promises.lost(supply):
                if waiter.actor_id is not None and supply.number in self._map.nodes:
                    out.append(RecallActor(waiter.actor_id, supply.number))
                self._room.refresh(waiter)
                moved[waiter] = None
        for lane in lanes:
            if lane.witness in supplies and lane.waiters:
                self._judge(lane, now)
        for lane in dict.fromkeys(waiter.lane for waiter in moved):
            out += self._matching.seek(lane, now)
        for waiter in moved:
            out += self._lines.join(waiter)
        return merged(out)

    def _judge(self, lane: Lane, now: float) -> None:
        """Find out whether what a lane needs could ever be met."""
        need = lane.need
        lane.witness = lane.selection.find_ever(need.resources, lambda _: True)
        group = None if need.where.group is None else self._map.groups.get(need.where.group)
        placed_yet = group is not None and group.could_fit(need.resources, need.where.index)
        if lane.witness is not None or placed_yet:
            lane.feasible = True
        elif lane.feasible:
            self._doom(lane, now)

    def _doom(self, lane: Lane, now: float) -> None:
        lane.feasible, lane.doomed_since = False, now
        self._doomed.append((now, lane))

    def _refuse_doomed(self, now: float) -> list[ClusterInstruction]:
        """Refuse what could not have been met for as long as nodes may take to join."""
        out: list[ClusterInstruction] = []
        while self._doomed and self._doomed[0][0] + self._grace <= now:
            since, lane = self._doomed.popleft()
            if lane.feasible or not lane.waiters or lane.doomed_since != since:
                continue
            if self.expects_nodes and not why_never(lane.need, self._map).lasting:
                self._doom(lane, now)
            else:
                out += self._refuse(lane)
        return out

    def _refuse(self, lane: Lane) -> list[ClusterInstruction]:
        """Refuse all who wait in a lane."""
        reason = why_never(lane.need, self._map)
        out: list[ClusterInstruction] = []
        for waiter in list(lane.waiters):
            if waiter.actor_id is None:
                out += self._lines.leave(waiter)
                self._drop_demand(waiter)
                out.append(Refuse(waiter.client, waiter.shape, reason.kind, reason.message))
            else:
                out += self._recall(waiter)
                del self._actors[waiter.actor_id]
                self._forget(waiter)
                out.append(RefuseActor(waiter.actor_id, reason.kind, reason.message))
        return out

    def _lanes_of(self, supplies: list[Supply]) -> dict[Lane, None]:
        """What waits that may be met by one of these."""
        return {
            lane: None
            for supply in supplies
            for selection in supply.selections.values()
            for lane in selection.lanes.values()
        }

    def _lanes_in(self, group_id: bytes) -> list[Lane]:
        """What waits for bundles of a group."""
        return [lane for lane in self._room.lanes.values() if lane.need.where.group == group_id]

    def _is_served_on(self, number: int, waiter: Waiter) -> bool:
        """Whether there is something on a node that may serve a waiter."""
        members, group = waiter.lane.selection.members, waiter.lane.need.where.group
        return any(supply in members for supply in self._map.supplies_on(number, group))

    # Waiters that come and go -----------------------------------------------------------

    def _make(
        self,
        client: bytes,
        home: int,
        shape: ClusterShape,
        depth: int,
        count: int,
        now: float,
        actor_id: bytes | None = None,
    ) -> Waiter:
        need = shape.need
        lane = self._room.lanes.get(need)
        if lane is None:
            lane = self._room.lanes[need] = Lane(need, self._map.select(need.where))
            lane.selection.lanes[need] = lane
            self._judge(lane, now)
        arrival = self._room.next_arrival()
        return Waiter(client, home, shape, lane, depth, count, now, arrival, actor_id)

    def _enter(self, waiter: Waiter, now: float) -> list[ClusterInstruction]:
        """A waiter is there: find room, or a line to stand in."""
        self._room.enter(waiter)
        self._lines.watch(waiter, now)
        return merged([*self._matching.seek(waiter.lane, now), *self._lines.join(waiter)])

    def _withdraw(self, waiter: Waiter, now: float) -> list[ClusterInstruction]:
        """A client wants no more workers of a shape."""
        out = self._lines.leave(waiter)
        self._drop_demand(waiter)
        return merged([*out, *self._matching.seek(waiter.lane, now)])

    def _drop_demand(self, waiter: Waiter) -> None:
        key = waiter.client, waiter.shape
        del self._demands[key]
        here = self._homes[waiter.home]
        del here[key]
        if not here:
            del self._homes[waiter.home]
        self._forget(waiter)

    def _recall(self, waiter: Waiter) -> list[RecallActor]:
        """Take an actor back from everywhere."""
        assert waiter.actor_id is not None
        sent_to = [promise.supply.number for promise in waiter.promises]
        numbers = dict.fromkeys([*sent_to, *waiter.lines])
        return [RecallActor(waiter.actor_id, number) for number in numbers]

    def _forget(self, waiter: Waiter) -> None:
        """A waiter is gone."""
        lane = waiter.lane
        self._lines.forget(waiter)
        self._promises.drop(waiter)
        self._room.leave(waiter)
        if not lane.waiters:
            del self._room.lanes[lane.need], lane.selection.lanes[lane.need]
            if not lane.selection.lanes:
                self._map.release(lane.selection)
