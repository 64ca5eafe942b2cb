"""Bringing together who waits and where there is room."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from air_cluster.core.cluster_instructions import ClusterInstruction, Redirect, SendActor
from air_cluster.core.cluster_lines import Lines
from air_cluster.core.cluster_map import ClusterMap
from air_cluster.core.cluster_promises import Promises
from air_cluster.core.cluster_shapes import ClusterShape, Need
from air_cluster.core.cluster_supply import Supply
from air_cluster.core.cluster_waiting import Lane, Rank, Waiter, WaitingRoom


class Matching:
    """Sends those who wait where there seems to be room.

    Two questions come up: who may have the room that has appeared on a supply (:meth:`offer`),
    and where there is room for a need (:meth:`seek`). What is tied to one node or bundle does
    not take part; it waits there (see :mod:`~air_cluster.core.cluster_lines`).
    """

    def __init__(
        self,
        cluster: ClusterMap,
        room: WaitingRoom,
        lines: Lines,
        promises: Promises,
        patience: float,
    ) -> None:
        """Match those in *room* with supplies of *cluster*.

        Args:
            lines: where they wait meanwhile.
            promises: takes down who was sent where.
            patience: for how many seconds a node is not tried again that had no room.
        """
        self._map = cluster
        self._room = room
        self._lines = lines
        self._promises = promises
        self._patience = patience
        self._shunned: deque[tuple[float, Supply, Need]] = deque()

    def offer(self, supply: Supply, now: float) -> list[ClusterInstruction]:
        """There may be more room on a supply: give it to those who wait, in their order."""
        out: list[ClusterInstruction] = []
        queue: list[tuple[Rank, Lane]] = []
        for selection in supply.selections.values():
            for lane in selection.lanes.values():
                if lane.need.where.pinned or not supply.fits(lane.need.resources):
                    continue
                if (head := self._room.head(lane)) is not None:
                    queue.append((self._room.rank(head), lane))
        heapq.heapify(queue)
        served: dict[Lane, None] = {}
        while queue:
            rank, lane = heapq.heappop(queue)
            head = self._room.head(lane)
            if head is None or not self.may_go(head, supply):
                continue
            if (place := self._room.rank(head)) == rank:
                alone = not queue and len(lane.waiters) == 1
                out += self._send(head, supply, head.wanting if alone else 1, now)
                served[lane] = None
                if (head := self._room.head(lane)) is None:
                    continue
                place = self._room.rank(head)
            heapq.heappush(queue, (place, lane))
        # Others are first now, to whom supplies may be open that were not to those before them.
        for lane in served:
            out += self.seek(lane, now)
        return out

    def seek(self, lane: Lane, now: float) -> list[ClusterInstruction]:
        """The first in a lane may be somebody else, or want more: find room for them."""
        out: list[ClusterInstruction] = []
        if lane.need.where.pinned:
            return out
        while (head := self._room.head(lane)) is not None:
            supply = self._choose(head)
            if supply is None:
                break
            alone = len(lane.waiters) == 1 and not head.shape.spread
            out += self._send(head, supply, head.wanting if alone else 1, now)
        return out

    def _choose(self, waiter: Waiter) -> Supply | None:
        """Where a waiter goes now."""
        lane, shape = waiter.lane, waiter.shape
        request, where = lane.need.resources, lane.need.where
        for number in self._favourites(waiter):
            for supply in self._map.supplies_on(number, where.group):
                if supply in lane.selection.members and self.may_go(waiter, supply):
                    return supply
        accepts = partial(self._is_open, waiter)
        if shape.preferred_labels:
            labels = (*where.labels, *shape.preferred_labels)
            better = self._map.select(msgspec.structs.replace(where, labels=labels))
            found = better.find(request, accepts, spread=shape.spread)
            if not better.lanes:
                self._map.release(better)
            if found is not None:
                return found
        return lane.selection.find(request, accepts, spread=shape.spread)

    def _favourites(self, waiter: Waiter) -> Iterator[int]:
        """The nodes that are better for a waiter than others, the best first."""
        shape = waiter.shape
        if shape.node is not None and (node := self._map.node_named(shape.node)) is not None:
            yield node.number
        if shape.preferred is not None:
            yield shape.preferred
        if waiter.actor_id is None:
            return
        home = self._map.nodes.get(waiter.home)
        if home is not None and shape.starts_at(home.number, home.node.name, home.node.labels):
            yield home.number

    def may_go(self, waiter: Waiter, supply: Supply) -> bool:
        """Whether there is room on a supply for a waiter."""
        return supply.fits(waiter.lane.need.resources) and self._is_open(waiter, supply)

    def _is_open(self, waiter: Waiter, supply: Supply) -> bool:
        """Whether a waiter may be sent to a supply if there is room: not where it is on record
        already, nor where it, or its like, was refused just now."""
        return (
            supply.number not in waiter.lines
            and not (waiter.at_home and supply.number == waiter.home)
            and waiter.lane.need not in supply.shunned
        )

    def _send(
        self, waiter: Waiter, supply: Supply, most: int, now: float
    ) -> list[ClusterInstruction]:
        """Send a waiter where there is room, for as many as there is room for."""
        need = waiter.lane.need
        count, taken = supply.take(need.resources, most)
        assert count, f"there is no room for {waiter} on {supply.node}"
        out: list[ClusterInstruction] = []
        if waiter.actor_id is None:
            out.append(Redirect(waiter.client, waiter.shape, supply.number, count, pinned=False))
        else:
            out += self._lines.leave(waiter)
            out.append(SendActor(waiter.actor_id, supply.number, pinned=False))
        self._promises.make(waiter, supply, taken, count, now)
        self._map.changed(supply)
        self._room.served(waiter)
        self._room.refresh(waiter)
        return out

    def shun(self, lane: Lane, number: int, now: float) -> None:
        """A node has no room for what a lane needs, whatever it seems."""
        until = now + self._patience
        for supply in self._map.supplies_on(number, lane.need.where.group):
            if supply in lane.selection.members:
                supply.shunned[lane.need] = until
                self._shunned.append((until, supply, lane.need))

    def stop_shunning(self, now: float) -> dict[Supply, None]:
        """The supplies that may be tried again after a while; they are to be offered anew."""
        found: dict[Supply, None] = {}
        while self._shunned and self._shunned[0][0] <= now:
            until, supply, need = self._shunned.popleft()
            if supply.shunned.get(need) == until:
                del supply.shunned[need]
                found[supply] = None
        return found


def merged(instructions: Iterable[ClusterInstruction]) -> list[ClusterInstruction]:
    """Redirects of a client to the same node, one at a time for fairness, made one again."""
    out: list[ClusterInstruction] = []
    counts: dict[tuple[bytes, ClusterShape, int], int] = {}
    for each in instructions:
        if isinstance(each, Redirect) and not each.pinned:
            key = each.client, each.shape, each.number
            if key not in counts:
                out.append(each)
            counts[key] = counts.get(key, 0) + each.count
        else:
            out.append(each)
    for position, each in enumerate(out):
        if isinstance(each, Redirect) and not each.pinned:
            count = counts[each.client, each.shape, each.number]
            if count != each.count:
                out[position] = msgspec.structs.replace(each, count=count)
    return out
