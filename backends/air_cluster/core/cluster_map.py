"""The supplies of a cluster: which there are, and which may meet what."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from air.executor.labels import Operator
from air.executor.resources import Resources
from air_cluster.core.accounts import Account
from air_cluster.core.cluster_selection import Selection
from air_cluster.core.cluster_shapes import NodeView, Where
from air_cluster.core.cluster_supply import Supply
from air_cluster.core.shapes import ANY_BUNDLE

_GONE_REMEMBERED = 1000

_UNUSED_KEPT = 16
"""How many selections that nothing waits in are kept, as the next demand may be like the last."""


class Group(msgspec.Struct, eq=False):
    """A placement group: what its bundles are, and those that are somewhere.

    Attributes:
        hopeless: why none of them ever will be; empty if that may be.
    """

    resources: tuple[Resources, ...]
    bundles: dict[int, Supply] = msgspec.field(default_factory=dict)
    hopeless: str = ""

    def could_fit(self, request: Resources, index: int) -> bool:
        """Whether there would be room in a bundle if it were empty, and somewhere."""
        if self.hopeless:
            return False
        chosen = self.resources if index == ANY_BUNDLE else self.resources[index : index + 1]
        return any(Account(each).could_fit(request) for each in chosen)


class ClusterMap:
    """Nodes, placement groups, and selections of supplies.

    Attributes:
        nodes: the nodes, by number, in the order in which they joined.
        groups: the placement groups that are not removed.
        gone: names of nodes that were lost, the last thousand.
        having: for each resource, the nodes that have some.
        labelled: for each label and each of its values, the nodes that have that.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, Supply] = {}
        self.groups: dict[bytes, Group] = {}
        self.gone: dict[str, None] = {}
        self.having: dict[str, dict[Supply, None]] = {}
        self.labelled: dict[str, dict[str, dict[Supply, None]]] = {}
        self._by_name: dict[str, Supply] = {}
        self._bundles_on: dict[int, dict[tuple[bytes, int], Supply]] = {}
        self._selections: dict[Where, Selection] = {}
        self._unused: dict[Where, None] = {}
        # Selections of one node, of one group's bundles, and (None) of any nodes.
        self._families: dict[str | bytes | None, dict[Where, Selection]] = {}

    # Nodes ------------------------------------------------------------------------------

    def add_node(self, view: NodeView) -> Supply:
        """There is a new node, empty."""
        node = Supply(view, view.total)
        self.nodes[view.number] = self._by_name[view.name] = node
        self.gone.pop(view.name, None)
        for name in view.total:
            self.having.setdefault(name, {})[node] = None
        for key, value in view.labels.items():
            self.labelled.setdefault(key, {}).setdefault(value, {})[node] = None
        self._join_selections(node, None)
        self._join_selections(node, view.name)
        return node

    def all_on(self, number: int) -> list[Supply]:
        """A node, and the bundles on it."""
        return [self.nodes[number], *self._bundles_on.get(number, {}).values()]

    def remove_node(self, number: int) -> None:
        """A node is gone, with the bundles that were on it."""
        for bundle in self.all_on(number)[1:]:
            self.remove_bundle(bundle)
        node = self.nodes.pop(number)
        view = node.node
        if self._by_name.get(view.name) is node:
            del self._by_name[view.name]
            self.gone[view.name] = None
            if len(self.gone) > _GONE_REMEMBERED:
                del self.gone[next(iter(self.gone))]
        for name in view.total:
            del self.having[name][node]
            if not self.having[name]:
                del self.having[name]
        for key, value in view.labels.items():
            del self.labelled[key][value][node]
            if not self.labelled[key][value]:
                del self.labelled[key][value]
            if not self.labelled[key]:
                del self.labelled[key]
        self._leave_selections(node)

    def node_named(self, name: str) -> Supply | None:
        """The node of that name."""
        return self._by_name.get(name)

    # Bundles ----------------------------------------------------------------------------

    def add_bundle(self, group_id: bytes, index: int, node: Supply) -> Supply:
        """A bundle of a group is on a node now, empty."""
        group = self.groups[group_id]
        bundle = Supply(node.node, group.resources[index], (group_id, index))
        group.bundles[index] = bundle
        self._bundles_on.setdefault(node.number, {})[group_id, index] = bundle
        self._join_selections(bundle, group_id)
        return bundle

    def remove_bundle(self, bundle: Supply) -> None:
        """A bundle is where it was no more."""
        assert bundle.bundle is not None
        group_id, index = bundle.bundle
        del self.groups[group_id].bundles[index]
        here = self._bundles_on[bundle.number]
        del here[bundle.bundle]
        if not here:
            del self._bundles_on[bundle.number]
        self._leave_selections(bundle)

    def bundle(self, number: int, group_id: bytes, index: int) -> Supply | None:
        """A bundle, if it is on that node."""
        return self._bundles_on.get(number, {}).get((group_id, index))

    # Selections -------------------------------------------------------------------------

    def select(self, where: Where) -> Selection:
        """The supplies that *where* admits."""
        self._unused.pop(where, None)
        selection = self._selections.get(where)
        if selection is None:
            selection = Selection(where, ())
            for supply in self._candidates(where):
                if selection.admits(supply):
                    selection.add(supply)
            self._selections[where] = selection
            self._families.setdefault(_family(where), {})[where] = selection
        return selection

    def release(self, selection: Selection) -> None:
        """Nothing waits for what is in it: it may go, but rather not at once."""
        assert not selection.lanes
        self._unused[selection.where] = None
        if len(self._unused) > _UNUSED_KEPT:
            where = next(iter(self._unused))
            del self._unused[where]
            self._selections.pop(where).dissolve()
            family = self._families[_family(where)]
            del family[where]
            if not family:
                del self._families[_family(where)]

    def changed(self, supply: Supply) -> None:
        """What is free on it has changed."""
        for selection in supply.selections.values():
            selection.refresh(supply)

    def supplies_on(self, number: int, group: bytes | None) -> Iterator[Supply]:
        """The node, or the bundles of a group that are on it."""
        if group is None:
            if number in self.nodes:
                yield self.nodes[number]
            return
        for (group_id, _), bundle in self._bundles_on.get(number, {}).items():
            if group_id == group:
                yield bundle

    def _candidates(self, where: Where) -> Collection[Supply]:
        """Some supplies, and all that *where* admits among them."""
        if where.group is not None:
            group = self.groups.get(where.group)
            return () if group is None else list(group.bundles.values())
        if where.node is not None:
            node = self._by_name.get(where.node)
            return () if node is None else (node,)
        smallest: Collection[Supply] = self.nodes.values()
        for name in where.customs:
            smallest = min(smallest, self.having.get(name, {}), key=len)
        for rule in where.labels:
            if rule.operator is Operator.IN:
                values = self.labelled.get(rule.key, {})
                having = [node for value in {*rule.values} for node in values.get(value, ())]
                smallest = min(smallest, having, key=len)
        return smallest

    def _join_selections(self, supply: Supply, family: str | bytes | None) -> None:
        for selection in self._families.get(family, {}).values():
            if selection.admits(supply):
                selection.add(supply)

    def _leave_selections(self, supply: Supply) -> None:
        for selection in list(supply.selections.values()):
            selection.remove(supply)

    def check(self) -> None:
        """Assert that indexes and selections agree with the nodes and bundles."""
        bundles = [b for group in self.groups.values() for b in group.bundles.values()]
        supplies = [*self.nodes.values(), *bundles]
        for supply in supplies:
            supply.check()
        on_nodes = [b for here in self._bundles_on.values() for b in here.values()]
        assert {id(bundle) for bundle in on_nodes} == {id(bundle) for bundle in bundles}
        for name, having in self.having.items():
            assert set(having) == {node for node in self.nodes.values() if name in node.total}
        for where, selection in self._selections.items():
            assert self._families[_family(where)][where] is selection
            assert set(selection.members) == {s for s in supplies if selection.admits(s)}
            assert bool(selection.lanes) != (where in self._unused)
            selection.check()
        assert sum(map(len, self._families.values())) == len(self._selections)
        assert len(self._unused) <= _UNUSED_KEPT


def _family(where: Where) -> str | bytes | None:
    return where.node if where.group is None else where.group
