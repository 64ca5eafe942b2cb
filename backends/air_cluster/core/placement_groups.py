"""The placement groups of a cluster (head service): reserving bundles in two phases.

See :class:`PlacementGroups`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec

from air.errors import InvalidOption, Unschedulable
from air.executor.info import PlacementGroupInfo
from air.executor.resources import Resources
from air.executor.scheduling import PlacementGroupSpec
from air_cluster.core.group_instructions import (
    Commit,
    ExpectGroup,
    GroupChanged,
    GroupInstruction,
    GroupSnapshot,
    GroupState,
    RemoveGroup,
    Reserve,
    UnmetGroup,
    Unreserve,
)
from air_cluster.core.group_prospects import Prospects
from air_cluster.core.placement import plan, why_never
from air_cluster.core.placement_index import RoomIndex


class _Phase(enum.Enum):
    UNPLACED = "unplaced"
    ASKED = "asked"
    RESERVED = "reserved"
    COMMITTED = "committed"


class _Bundle(msgspec.Struct, eq=False):
    resources: Resources
    phase: _Phase = _Phase.UNPLACED
    node_id: str | None = None
    lost_with: str | None = None  # the node that it was on, and has no successor of


class _Group(msgspec.Struct, eq=False):
    group_id: bytes
    spec: PlacementGroupSpec
    owner: bytes
    bundles: list[_Bundle]
    since: float
    state: GroupState = GroupState.PENDING
    attempt: int = 0
    waiting: bool = False  # this attempt asked nodes to reserve when they can
    refused_by: set[str] = msgspec.field(default_factory=set)  # by nodes, since they last reported
    missing: dict[int, _Bundle] = msgspec.field(default_factory=dict)

    @property
    def bundle_nodes(self) -> tuple[str | None, ...]:
        """Where bundles are that are reserved for good."""
        return tuple(
            bundle.node_id if bundle.phase is _Phase.COMMITTED else None for bundle in self.bundles
        )


class PlacementGroups:
    """All placement groups, and what is known of the nodes for placing them.

    ::

        PENDING --all bundles reserved--> CREATED --remove, owner_gone--> REMOVED
           ^----------node_lost-----------'             (from PENDING too)

    An attempt to place a group asks the nodes of a plan for all bundles that are missing
    (phase one). Once all are reserved, they are committed (phase two); if one is refused,
    all of the attempt are given back.

    Attempts go to what is free, first come first served; a group that does not fit is passed
    over. The oldest group for which that fails, but which would fit if nothing ran outside
    groups, makes a *waiting* attempt: nodes reserve its bundles as tasks end there. There is
    one waiting attempt at a time, so groups cannot wait for each other's halves; it is given
    up for an ordinary one if there is room on other nodes than those that it waits for.

    A group that lost bundles with a node is PENDING again until they have been placed anew;
    the others stay as they are. Owners take their groups along, save detached ones.

    What no node could ever hold is refused when it is created. If that comes to be so later, as
    nodes die, it is said once it has been so for *grace* seconds, and taken back when a node joins
    that could: see :class:`~air_cluster.core.group_instructions.GroupHopeless`. The group stays
    PENDING and is placed then.

    Events about groups and attempts that are over do nothing. The last *max_removed* removed
    groups are remembered.

    Attributes:
        expects_nodes: whether nodes may be added for what waits (there is an autoscaler): then
            nothing is refused or said to be without hope.
    """

    def __init__(
        self,
        *,
        max_removed: int = 1000,
        attempts: int = 0,
        grace: float = 1.0,
        expects_nodes: bool = False,
    ) -> None:
        self.expects_nodes = expects_nodes
        self._prospects = Prospects(grace)
        self._max_removed = max_removed
        self._groups: dict[bytes, _Group] = {}
        self._removed: dict[bytes, None] = {}
        self._names: dict[tuple[str, str], bytes] = {}  # namespace and name
        self._owned: dict[bytes, dict[bytes, None]] = {}
        self._pending: dict[bytes, _Group] = {}
        self._totals: dict[str, Resources] = {}
        self._room = RoomIndex()
        self._reserved: dict[str, Resources] = {}  # by groups, or asked for
        self._attempts = attempts  # so many have been made before
        self._changed: dict[bytes, None] = {}

    # Nodes ------------------------------------------------------------------------------

    def node_joined(self, node_id: str, total: Resources, now: float) -> list[GroupInstruction]:
        """There is a new node, empty."""
        self._totals[node_id] = total
        self._room.put(node_id, total)
        self._reserved[node_id] = Resources()
        hopes = self._judge(self._prospects.doubted(), now)
        return [*hopes, *self._advance(now)]

    def node_lost(self, node_id: str, now: float) -> list[GroupInstruction]:
        """A node is gone, with the bundles on it."""
        if node_id not in self._totals:
            return []
        del self._totals[node_id]
        self._room.remove(node_id)
        out: list[GroupInstruction] = []
        for group in self._groups.values():
            lost = [bundle for bundle in group.bundles if bundle.node_id == node_id]
            if not lost or group.state is GroupState.REMOVED:
                continue
            if group.state is GroupState.PENDING:
                out += self._abort(group, gone=node_id)
            self._changed[group.group_id] = None
            for bundle in lost:
                if bundle.phase is _Phase.COMMITTED:
                    bundle.lost_with = node_id
                bundle.phase, bundle.node_id = _Phase.UNPLACED, None
            group.missing = _missing(group)
            if group.state is GroupState.CREATED:
                group.state, group.since = GroupState.PENDING, now
                out.append(_changed(group))
        del self._reserved[node_id]
        self._pending = {
            group_id: group
            for group_id, group in self._groups.items()
            if group.state is GroupState.PENDING
        }
        return [*out, *self._judge(self._pending, now), *self._advance(now)]

    def resources_changed(
        self, nodes_free: Mapping[str, Resources], now: float
    ) -> list[GroupInstruction]:
        """What is free on those nodes where that may have changed.

        Among them are those that were asked for bundles. Needed only while :meth:`unmet` is not
        empty, and before :meth:`create`.
        """
        for node_id, free in nodes_free.items():
            if node_id in self._totals:
                self._note_free(node_id, free)
        for group in self._pending.values():
            if group.refused_by:
                group.refused_by -= nodes_free.keys()
        return self._advance(now)

    # Groups -----------------------------------------------------------------------------

    def create(
        self, group_id: bytes, spec: PlacementGroupSpec, owner: bytes, now: float
    ) -> list[GroupInstruction]:
        """A new group; ``GroupChanged`` tells when it is CREATED.

        Raises:
            InvalidOption: another group has that name.
            Unschedulable: no node that there is could ever hold it. In both cases nothing has
                changed.
        """
        if group_id in self._groups:  # the request was sent again
            return []
        if spec.name and (spec.namespace, spec.name) in self._names:
            raise InvalidOption(f"the name {spec.name!r} is taken by another placement group")
        nodes = self._room.plan(spec.bundles, spec.strategy)
        group = _Group(group_id, spec, owner, [_Bundle(r) for r in spec.bundles], now)
        group.missing = _missing(group)
        if nodes is None and (message := self._why_never(group)) is not None:
            raise Unschedulable(message)
        self._add(group)
        if nodes is not None:  # those before it that wait would have been placed, had they room
            return self._ask(group, nodes, wait=False)
        return [ExpectGroup(group_id), *self._advance(now)]

    def reserved(
        self, group_id: bytes, index: int, attempt: int, now: float
    ) -> list[GroupInstruction]:
        """A node has set a bundle aside."""
        group = self._current(group_id, attempt)
        if group is None or group.bundles[index].phase is not _Phase.ASKED:
            return []
        group.bundles[index].phase = _Phase.RESERVED
        if any(bundle.phase is not _Phase.RESERVED for bundle in group.missing.values()):
            return []
        nodes: dict[str, None] = {}
        for bundle in group.missing.values():
            bundle.phase, bundle.lost_with = _Phase.COMMITTED, None
            assert bundle.node_id is not None
            nodes[bundle.node_id] = None
        group.missing, group.waiting = {}, False
        group.state, group.since = GroupState.CREATED, now
        self._changed[group_id] = None
        del self._pending[group_id]
        commits = [Commit(group_id, node_id) for node_id in nodes]
        hopes = self._prospects.forget(group_id)
        return [*commits, _changed(group), *hopes, *self._advance(now)]

    def refused(
        self, group_id: bytes, index: int, attempt: int, now: float
    ) -> list[GroupInstruction]:
        """A node has no room for a bundle."""
        group = self._current(group_id, attempt)
        if group is None or group.bundles[index].phase is not _Phase.ASKED:
            return []
        bundle = group.bundles[index]
        assert bundle.node_id is not None
        group.refused_by.add(bundle.node_id)
        self._forget_request(bundle)
        return self._abort(group) + self._advance(now)

    def remove(self, group_id: bytes, now: float) -> list[GroupInstruction]:
        """A group is not needed any more."""
        group = self._groups.get(group_id)
        if group is None or group.state is GroupState.REMOVED:
            return []
        for bundle in group.bundles:
            if bundle.node_id is not None:
                self._forget_request(bundle)
        group.missing, group.waiting = {}, False
        group.state, group.since = GroupState.REMOVED, now
        self._changed[group_id] = None
        self._pending.pop(group_id, None)
        self._prospects.forget(group_id)
        if group.spec.name:
            del self._names[group.spec.namespace, group.spec.name]
        if not group.spec.detached:
            owned = self._owned[group.owner]
            del owned[group_id]
            if not owned:
                del self._owned[group.owner]
        self._removed[group_id] = None
        if len(self._removed) > self._max_removed:
            oldest = next(iter(self._removed))
            del self._removed[oldest], self._groups[oldest]
        return [RemoveGroup(group_id), _changed(group), *self._advance(now)]

    def bundles(self, group_id: bytes) -> list[Resources]:
        """What a group reserves, bundle by bundle."""
        return [bundle.resources for bundle in self._groups[group_id].bundles]

    def places(self, group_id: bytes) -> list[str | None]:
        """The nodes on which bundles of a group are reserved for good, bundle by bundle."""
        group = self._groups[group_id]
        if group.state is GroupState.REMOVED:
            return [None] * len(group.bundles)
        return list(group.bundle_nodes)

    def owner(self, group_id: bytes) -> bytes:
        """The process that has made a group."""
        return self._groups[group_id].owner

    def name(self, group_id: bytes) -> str:
        """The name of a group; empty for none."""
        return self._groups[group_id].spec.name

    def lost(self, group_id: bytes) -> list[str | None]:
        """The nodes that bundles of a group were on and were lost with, bundle by bundle."""
        return [bundle.lost_with for bundle in self._groups[group_id].bundles]

    def tick(self, now: float) -> list[GroupInstruction]:
        """Time has passed: call this about twice a second."""
        return [*self._prospects.due(now)]

    def why_hopeless(self, group_id: bytes) -> str:
        """Why who waits for a group waits in vain; empty if that is not so, or not known yet."""
        return self._prospects.why_hopeless(group_id)

    def owners(self) -> list[bytes]:
        """The processes that groups would go with."""
        return list(self._owned)

    def owner_gone(self, owner: bytes, now: float) -> list[GroupInstruction]:
        """A process is dead: its groups are removed, save detached ones."""
        out: list[GroupInstruction] = []
        for group_id in list(self._owned.get(owner, ())):
            out += self.remove(group_id, now)
        return out

    def _add(self, group: _Group) -> None:
        group_id, spec = group.group_id, group.spec
        self._groups[group_id] = group
        self._changed[group_id] = None
        if group.missing:
            self._pending[group_id] = group
        if spec.name:
            self._names[spec.namespace, spec.name] = group_id
        if not spec.detached:
            self._owned.setdefault(group.owner, {})[group_id] = None

    # Keeping them -----------------------------------------------------------------------

    def take_changed(self) -> list[bytes]:
        """The groups of which :meth:`snapshot` may have changed since this was last asked."""
        changed, self._changed = self._changed, {}
        return list(changed)

    def snapshot(self, group_id: bytes) -> GroupSnapshot | None:
        """What has to be kept of a group; ``None`` if it was removed."""
        group = self._groups.get(group_id)
        if group is None or group.state is GroupState.REMOVED:
            return None
        spec = group.spec
        committed = [bundle.phase is _Phase.COMMITTED for bundle in group.bundles]
        places = [bundle.node_id for bundle in group.bundles]
        return GroupSnapshot(
            group_id,
            [bundle.to_dict() for bundle in spec.bundles],
            spec.strategy,
            spec.name,
            spec.detached,
            group.owner,
            [node if done else None for node, done in zip(places, committed, strict=True)],
            [None if done else node for node, done in zip(places, committed, strict=True)],
            spec.namespace,
            [bundle.lost_with for bundle in group.bundles],
        )

    def restore(self, kept: GroupSnapshot, now: float) -> list[GroupInstruction]:
        """Take up a group that another one of these has known, as it was then.

        To be called when the nodes have joined. What was being tried is given up, and tried
        anew by the next event. The order of calls is the order in which groups are served.
        """
        spec = PlacementGroupSpec(
            bundles=tuple(Resources(bundle) for bundle in kept.bundles),
            strategy=kept.strategy,
            name=kept.name,
            detached=kept.detached,
            namespace=kept.namespace,
        )
        group = _Group(kept.group_id, spec, kept.owner, [_Bundle(r) for r in spec.bundles], now)
        for index, (bundle, node_id) in enumerate(zip(group.bundles, kept.nodes, strict=True)):
            if node_id is not None and node_id in self._totals:
                bundle.phase, bundle.node_id = _Phase.COMMITTED, node_id
                self._reserved[node_id] += bundle.resources
                self._note_free(node_id, self._room.free[node_id])
            else:
                bundle.lost_with = node_id or (kept.lost[index] if kept.lost else None)
        group.missing = _missing(group)
        self._add(group)
        if not group.missing:
            group.state = GroupState.CREATED
        self._judge([kept.group_id] if group.missing else [], now)
        return [
            Unreserve(kept.group_id, index, node_id)
            for index, node_id in enumerate(kept.asked)
            if node_id is not None and node_id in self._totals
        ]

    # Queries ----------------------------------------------------------------------------

    def state(self, group_id: bytes) -> GroupState | None:
        """The state of a group; ``None`` if it never was, or was removed long ago."""
        group = self._groups.get(group_id)
        return group.state if group is not None else None

    def infos(self) -> list[PlacementGroupInfo]:
        """All groups that are remembered, in the order of their creation."""
        return [
            PlacementGroupInfo(
                group_id=group.group_id,
                name=group.spec.name,
                strategy=group.spec.strategy,
                bundles=tuple(bundle.to_dict() for bundle in group.spec.bundles),
                state=group.state.value,
                bundle_nodes=group.bundle_nodes,
                namespace=group.spec.namespace,
            )
            for group in self._groups.values()
        ]

    @property
    def any_unmet(self) -> bool:
        """Whether any group waits, or is being placed."""
        return bool(self._pending)

    def unmet(self) -> list[UnmetGroup]:
        """Groups that wait, with the bundles that are missing, oldest first."""
        return [
            UnmetGroup(
                group_id,
                tuple(bundle.resources for bundle in group.missing.values()),
                group.spec.strategy,
                group.since,
            )
            for group_id, group in self._pending.items()
        ]

    def check(self) -> None:
        """Assert that phases, states, indexes and sums agree."""
        sums = dict.fromkeys(self._totals, Resources())
        for group_id, group in self._groups.items():
            phases = {bundle.phase for bundle in group.bundles}
            pending = group.state is GroupState.PENDING
            assert (group_id in self._pending) == pending
            assert (group_id in self._removed) == (group.state is GroupState.REMOVED)
            assert pending == bool(group.missing)
            if group.state is GroupState.CREATED:
                assert phases == {_Phase.COMMITTED}, phases
            if group.state is GroupState.REMOVED:
                assert phases == {_Phase.UNPLACED}, phases
                continue
            for index, bundle in enumerate(group.bundles):
                assert (bundle.phase is _Phase.UNPLACED) == (bundle.node_id is None), bundle
                assert (index in group.missing) == (bundle.phase is not _Phase.COMMITTED), bundle
                if bundle.node_id is not None:
                    sums[bundle.node_id] += bundle.resources
            tried = [bundle.phase is not _Phase.UNPLACED for bundle in group.missing.values()]
            assert all(tried) or not any(tried), "an attempt for some of the missing bundles"
            assert not pending or group.waiting <= any(tried)
            self._check_strategy(group)
            if group.spec.name:
                assert self._names[group.spec.namespace, group.spec.name] == group_id
            assert (group_id in self._owned.get(group.owner, {})) != group.spec.detached
        assert sums == self._reserved, (sums, self._reserved)
        assert all(sums[node_id].fits_in(total) for node_id, total in self._totals.items())
        assert sum(group.waiting for group in self._groups.values()) <= 1
        assert len(self._removed) <= self._max_removed
        doubted = self._prospects.doubted()
        hopeless = {g for g, group in self._pending.items() if self._why_never(group) is not None}
        assert set(doubted) == hopeless, (doubted, hopeless)
        self._room.check()
        assert self._room.free.keys() == self._totals.keys()

    def _check_strategy(self, group: _Group) -> None:
        nodes = [bundle.node_id for bundle in group.bundles if bundle.node_id is not None]
        if group.spec.strategy == "STRICT_PACK":
            assert len(set(nodes)) <= 1, nodes
        if group.spec.strategy == "STRICT_SPREAD":
            assert len(set(nodes)) == len(nodes), nodes

    # Attempts ---------------------------------------------------------------------------

    def _current(self, group_id: bytes, attempt: int) -> _Group | None:
        group = self._pending.get(group_id)
        return group if group is not None and group.attempt == attempt else None

    def _advance(self, now: float) -> list[GroupInstruction]:
        """Try to place what is pending, oldest first."""
        out: list[GroupInstruction] = []
        hopeless: set[tuple[object, ...]] = set()  # what has been tried already
        anybody_waits = any(group.waiting for group in self._pending.values())
        for group in self._pending.values():
            trying = any(bundle.phase is not _Phase.UNPLACED for bundle in group.missing.values())
            if trying and not group.waiting:
                continue
            wanted = tuple(bundle.resources for bundle in group.missing.values())
            key = group.spec.strategy, wanted, group.bundle_nodes, frozenset(group.refused_by)
            nodes = None
            if key not in hopeless:
                nodes = self._plan(group)
                if nodes is None:
                    hopeless.add(key)
            if group.waiting:
                if nodes is not None and self._elsewhere(group, nodes):
                    out += self._abort(group)
                    out += self._ask(group, nodes, wait=False)
                    anybody_waits = False
            elif nodes is not None:
                out += self._ask(group, nodes, wait=False)
            elif not anybody_waits and (later := self._plan_for_later(group)) is not None:
                out += self._ask(group, later, wait=True)
                anybody_waits = True
        return out

    def _judge(self, group_ids: Iterable[bytes], now: float) -> list[GroupInstruction]:
        """The nodes are others: find out whether they could hold what these groups wait for."""
        out: list[GroupInstruction] = []
        known: dict[object, str | None] = {}  # groups are often alike
        for group_id in group_ids:
            group = self._pending[group_id]
            missing = group.missing.values()
            was_there = any(bundle.lost_with for bundle in missing)
            alike = tuple(b.resources for b in missing), group.spec.strategy, group.bundle_nodes
            if alike not in known:
                known[alike] = self._why_never(group)
            why = known[alike]
            out += self._prospects.judged(group_id, why, was_there=was_there, now=now)
        return out

    def _why_never(self, group: _Group) -> str | None:
        """Why no nodes could hold what a group misses if nothing else were on them."""
        if self.expects_nodes:
            return None
        barred, nodes = self._barred(group), dict(self._totals)
        for bundle in group.bundles:
            if bundle.phase is _Phase.COMMITTED:
                assert bundle.node_id is not None
                nodes[bundle.node_id] -= bundle.resources
        for node_id in barred:
            assert node_id is not None
            del nodes[node_id]
        wanted = [bundle.resources for bundle in group.missing.values()]
        return why_never(wanted, group.spec.strategy, nodes)

    def _plan(self, group: _Group) -> list[str] | None:
        """Nodes that have room for the missing bundles of *group*, in their order."""
        wanted = [bundle.resources for bundle in group.missing.values()]
        barred = self._barred(group) | group.refused_by
        if not barred:
            return self._room.plan(wanted, group.spec.strategy)
        nodes = {node: free for node, free in self._room.free.items() if node not in barred}
        return plan(wanted, group.spec.strategy, nodes)

    def _plan_for_later(self, group: _Group) -> list[str] | None:
        """Nodes that would have room if nothing ran on them outside of groups."""
        wanted = [bundle.resources for bundle in group.missing.values()]
        barred = self._barred(group)
        nodes = {
            node: total - self._reserved[node]
            for node, total in self._totals.items()
            if node not in barred
        }
        return plan(wanted, group.spec.strategy, nodes)

    def _barred(self, group: _Group) -> set[str | None]:
        """Where the missing bundles of *group* may not be, as others of it are there."""
        if group.spec.strategy != "STRICT_SPREAD":
            return set()
        return {b.node_id for b in group.bundles if b.phase is _Phase.COMMITTED}

    def _elsewhere(self, group: _Group, nodes: list[str]) -> bool:
        """Whether a plan avoids the nodes that *group* has been waiting for."""
        awaited = {b.node_id for b in group.missing.values() if b.phase is _Phase.ASKED}
        return awaited.isdisjoint(nodes)

    def _ask(self, group: _Group, nodes: list[str], *, wait: bool) -> list[GroupInstruction]:
        self._attempts += 1
        group.attempt, group.waiting = self._attempts, wait
        self._changed[group.group_id] = None
        out: list[GroupInstruction] = []
        for (index, bundle), node_id in zip(group.missing.items(), nodes, strict=True):
            bundle.phase, bundle.node_id = _Phase.ASKED, node_id
            self._reserved[node_id] += bundle.resources
            free = self._room.free[node_id]
            self._note_free(node_id, free if wait else free - bundle.resources)
            out.append(
                Reserve(group.group_id, index, node_id, bundle.resources, wait, group.attempt)
            )
        return out

    def _abort(self, group: _Group, gone: str | None = None) -> list[GroupInstruction]:
        """Give up an attempt: take back what was asked for, except on the node *gone*."""
        out: list[GroupInstruction] = []
        for index, bundle in group.missing.items():
            if bundle.node_id is not None:
                if bundle.node_id != gone:
                    out.append(Unreserve(group.group_id, index, bundle.node_id))
                self._forget_request(bundle)
        group.attempt, group.waiting = 0, False
        self._changed[group.group_id] = None
        return out

    def _note_free(self, node_id: str, free: Resources) -> None:
        """Count nothing as free that groups have reserved, or may: reports can be late.

        Nor is anything below zero, such as CPU that blocked workers have taken again.
        """
        most = self._totals[node_id] - self._reserved[node_id]
        if not free.fits_in(most) or free.is_negative():
            free = Resources(
                {name: max(0.0, min(amount, most.get(name, 0.0))) for name, amount in free.items()}
            )
        self._room.put(node_id, free)

    def _forget_request(self, bundle: _Bundle) -> None:
        assert bundle.node_id is not None
        self._reserved[bundle.node_id] -= bundle.resources
        bundle.phase, bundle.node_id = _Phase.UNPLACED, None


def _missing(group: _Group) -> dict[int, _Bundle]:
    return {
        index: bundle
        for index, bundle in enumerate(group.bundles)
        if bundle.phase is not _Phase.COMMITTED
    }


def _changed(group: _Group) -> GroupChanged:
    return GroupChanged(group.group_id, group.state, group.bundle_nodes)
