"""Which node gets which bundle of a placement group.

:func:`plan` is pure and deterministic. It takes time in proportion to nodes times distinct
bundles, plus bundles times the logarithm of nodes; ``STRICT_SPREAD`` may add the cube of the
number of bundles.

``STRICT_PACK`` and ``STRICT_SPREAD`` find a plan whenever there is one. For the other two that
is bin packing, which nobody does fast: if the quick ways fail, a search of bounded length
follows, which is complete for a few bundles on a few kinds of nodes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from air.executor.resources import Resources, describe, missing_hint

Nodes = Mapping[str, Resources]

_SEARCH_WORK = 50_000
"""How often the search may look at whether a bundle fits on a node."""

_SEARCH_BUNDLES = 64
"""Groups of more bundles are not searched for."""

_NODES_NAMED = 8


def plan(bundles: Sequence[Resources], strategy: str, nodes_free: Nodes) -> list[str] | None:
    """The node of each bundle, or ``None`` if they do not fit.

    Args:
        bundles: what to reserve.
        strategy: PACK (few nodes), SPREAD (many), STRICT_PACK (one) or STRICT_SPREAD (as many
            as there are bundles).
        nodes_free: what is free on each node. Among equals, earlier nodes are preferred.
    """
    needed = _total(bundles)
    if len(nodes_free) == 1:
        [(only, free)] = nodes_free.items()
        may_be_there = strategy != "STRICT_SPREAD" or len(bundles) == 1
        return [only] * len(bundles) if may_be_there and needed.fits_in(free) else None
    total = _total(nodes_free.values())
    if not nodes_free or not needed.fits_in(total):
        return None
    size = _Size(total)
    if strategy == "STRICT_PACK":
        return _on_one(bundles, nodes_free, size)
    if strategy == "STRICT_SPREAD":
        return _on_different(bundles, nodes_free, size)
    if strategy == "SPREAD":
        ways = (_on_different, _in_turn, _search)
    else:
        ways = (_on_one, _filling_up, _search)
    for way in ways:
        if (found := way(bundles, nodes_free, size)) is not None:
            return found
    return None


def why_never(bundles: Sequence[Resources], strategy: str, nodes_total: Nodes) -> str | None:
    """Why the bundles cannot be placed even if all nodes were empty; ``None`` if they can."""
    if plan(bundles, strategy, nodes_total) is not None:
        return None
    counts = Counter(describe(bundle) for bundle in bundles)
    wanted = ", ".join(f"{n} x {text}" if n > 1 else text for text, n in counts.items())
    named = [
        f"{node_id!r} has {describe(total)}"
        for node_id, total in list(nodes_total.items())[:_NODES_NAMED]
    ]
    if len(nodes_total) > _NODES_NAMED:
        named.append(f"{len(nodes_total) - _NODES_NAMED} more nodes")
    supply = "; ".join(named) or "there are no nodes"
    hint = missing_hint(_total(bundles), _total(nodes_total.values()))
    return (
        f"no nodes could ever hold the bundles {wanted} with strategy {strategy}: {supply}.{hint}"
    )


class _Size:
    """Measures resources by their share of what the whole cluster has, summed up."""

    def __init__(self, total: Resources) -> None:
        self._total = total

    def __call__(self, resources: Resources) -> float:
        return sum(
            amount / self._total[name]
            for name, amount in resources.items()
            if self._total.get(name, 0.0) > 0
        )


def _total(many: Iterable[Resources]) -> Resources:
    each = list(many)
    if len(each) == 1:
        return each[0]
    amounts: dict[str, float] = {}
    for resources in each:
        for name, amount in resources.items():
            amounts[name] = amounts.get(name, 0.0) + amount
    return Resources(amounts)


def _by_shape(bundles: Sequence[Resources], size: _Size) -> dict[Resources, list[int]]:
    """Indexes of equal bundles together, the largest first."""
    indexes: dict[Resources, list[int]] = {}
    for index in sorted(range(len(bundles)), key=lambda i: (-size(bundles[i]), i)):
        indexes.setdefault(bundles[index], []).append(index)
    return indexes


def _on_one(bundles: Sequence[Resources], nodes: Nodes, size: _Size) -> list[str] | None:
    """All on one node: the one that has least left afterwards."""
    needed = _total(bundles)
    candidates = [node_id for node_id, free in nodes.items() if needed.fits_in(free)]
    if not candidates:
        return None
    return [min(candidates, key=lambda node_id: size(nodes[node_id]))] * len(bundles)


def _on_different(bundles: Sequence[Resources], nodes: Nodes, size: _Size) -> list[str] | None:
    """Each on a node of its own, the emptiest where there is a choice.

    This is a bipartite matching, found by augmenting paths. As many candidates as there are
    bundles are enough for each: with that many, one is always left.
    """
    if len(bundles) > len(nodes):
        return None
    measure = {node_id: size(free) for node_id, free in nodes.items()}
    shapes = _by_shape(bundles, size)
    candidates = {}
    for shape in shapes:
        fitting = [node_id for node_id, free in nodes.items() if shape.fits_in(free)]
        candidates[shape] = heapq.nlargest(len(bundles), fitting, key=measure.__getitem__)
    taken_by: dict[str, int] = {}
    for indexes in shapes.values():
        for index in indexes:
            if not _augment(index, bundles, candidates, taken_by):
                return None
    found = {index: node_id for node_id, index in taken_by.items()}
    return [found[index] for index in range(len(bundles))]


def _augment(
    start: int,
    bundles: Sequence[Resources],
    candidates: Mapping[Resources, Sequence[str]],
    taken_by: dict[str, int],
) -> bool:
    """Find a node for bundle *start*, moving others to other nodes if need be."""
    reached_from: dict[str, int] = {}
    queue = [start]
    for index in queue:  # grows while it is walked
        for node_id in candidates[bundles[index]]:
            if node_id in reached_from:
                continue
            reached_from[node_id] = index
            if node_id in taken_by:
                queue.append(taken_by[node_id])
                continue
            held = {index: node_id for node_id, index in taken_by.items()}
            step: str | None = node_id
            while step is not None:  # each bundle on the path moves one node on
                mover = reached_from[step]
                taken_by[step], step = mover, held.get(mover)
            return True
    return False


def _in_turn(bundles: Sequence[Resources], nodes: Nodes, size: _Size) -> list[str] | None:
    """Each on the node with the fewest bundles so far, the emptiest of these."""
    free, used = dict(nodes), Counter[str]()
    order = {node_id: position for position, node_id in enumerate(nodes)}
    found: dict[int, str] = {}
    for shape, indexes in _by_shape(bundles, size).items():
        heap = [
            (used[node_id], -size(left), order[node_id], node_id)
            for node_id, left in free.items()
            if shape.fits_in(left)
        ]
        heapq.heapify(heap)
        for index in indexes:
            if not heap:
                return None
            node_id = heapq.heappop(heap)[-1]
            found[index] = node_id
            used[node_id] += 1
            free[node_id] -= shape
            if shape.fits_in(free[node_id]):
                entry = (used[node_id], -size(free[node_id]), order[node_id], node_id)
                heapq.heappush(heap, entry)
    return [found[index] for index in range(len(bundles))]


def _filling_up(bundles: Sequence[Resources], nodes: Nodes, size: _Size) -> list[str] | None:
    """As many as possible on the emptiest node, then on the next."""
    found: dict[int, str] = {}
    left = {shape: list(reversed(same)) for shape, same in _by_shape(bundles, size).items()}
    for node_id in sorted(nodes, key=lambda node_id: -size(nodes[node_id])):
        free = nodes[node_id]
        for shape, indexes in list(left.items()):
            while indexes and shape.fits_in(free):
                free -= shape
                found[indexes.pop()] = node_id
            if not indexes:
                del left[shape]
        if not left:
            return [found[index] for index in range(len(bundles))]
    return None


def _search(bundles: Sequence[Resources], nodes: Nodes, size: _Size) -> list[str] | None:
    """Largest bundle first, tightest node first, backtracking; nodes with equal rooms are one."""
    if len(bundles) > _SEARCH_BUNDLES:
        return None
    order = [index for same in _by_shape(bundles, size).values() for index in same]
    free, found, work = dict(nodes), dict[int, str](), _SEARCH_WORK

    def place(position: int) -> bool:
        nonlocal work
        if position == len(order):
            return True
        index = order[position]
        bundle = bundles[index]
        work -= len(free)
        kinds = {left: node_id for node_id, left in reversed(free.items()) if bundle.fits_in(left)}
        for left in sorted(kinds, key=size):
            if work <= 0:
                return False
            node_id = kinds[left]
            found[index], free[node_id] = node_id, left - bundle
            if place(position + 1):
                return True
            free[node_id] = left
        return False

    return [found[index] for index in range(len(bundles))] if place(0) else None
