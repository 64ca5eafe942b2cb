"""Placement groups: bundles of resources that are reserved together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.handles import ObjectRef
from air.executor.interface import PlacementGroupInfo
from air.executor.keywords import suggests_keywords
from air.executor.scheduling import PlacementGroupSpec
from air.executor.validation import check_text, check_timeout, listing, nearest


class PlacementGroup:
    """Bundles that are reserved together, or will be; see :func:`placement_group`."""

    def __init__(self, group_id: bytes, bundles: Sequence[Mapping[str, float]]) -> None:
        self._id = group_id
        self._bundles = [dict(bundle) for bundle in bundles]

    @property
    def id(self) -> str:
        """The identity, as hexadecimal text."""
        return self._id.hex()

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """The bundles, as they were asked for."""
        return [dict(bundle) for bundle in self._bundles]

    @property
    def bundle_count(self) -> int:
        """How many bundles there are."""
        return len(self._bundles)

    def ready(self) -> ObjectRef[bool]:
        """A reference that becomes ``True`` once all bundles are reserved.

        ``air.get`` of it raises ``ActorPlacementError`` if the group was removed, and
        ``Unschedulable`` a second after the last nodes died that could ever have held the bundles,
        as do tasks and actors in the group. The group is still placed when others join.

        A group that has been reserved and has lost bundles with a node waits for another node, as
        do the tasks and actors in those bundles. That is logged, and told by a ``GetTimeout``.
        """
        return get_executor().placement_group_ready(self._id)

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether all bundles are reserved within *timeout_seconds*.

        Raises:
            ActorPlacementError: the group was removed.
            Unschedulable: see :meth:`ready`.
        """
        seconds = check_timeout(timeout_seconds, "timeout_seconds")
        executor, ref = get_executor(), self.ready()
        found, _ = executor.wait([ref], 1, seconds, True)
        return bool(found and executor.get(found, None)[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"PlacementGroup({self.id}, {self._bundles})"


@suggests_keywords
def placement_group(
    bundles: Sequence[Mapping[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
) -> PlacementGroup:
    """Ask for bundles of resources to be reserved, all of them or none.

    Does not wait: use :meth:`PlacementGroup.ready` or :meth:`PlacementGroup.wait`.

    Args:
        bundles: such as ``[{"CPU": 1}, {"CPU": 1, "GPU": 1}]``.
        strategy: ``PACK`` on few nodes, ``SPREAD`` over many; ``STRICT_PACK`` on one node
            and ``STRICT_SPREAD`` on as many as there are bundles, or not at all.
        name: for :func:`get_placement_group`; unique in this program's namespace.
        lifetime: ``"detached"`` to last until it is removed or the cluster ends; else it ends with
            this program, or with the actor whose method has made it.

    Raises:
        InvalidOption: a bundle or the strategy is not valid, or the name is taken.
        Unschedulable: the nodes that there are could never hold the bundles.
    """
    spec = PlacementGroupSpec.checked(bundles, strategy, name, lifetime)
    executor = get_executor()
    if spec.detached:
        executor.require(Capability.DETACHED_ACTORS)
    if spec.name:
        spec = replace(spec, namespace=executor.context().namespace)
    return PlacementGroup(executor.create_placement_group(spec), spec.bundles)


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Give the bundles back. Tasks and actors inside them are ended."""
    _check_is_group(placement_group, "remove_placement_group")
    get_executor().remove_placement_group(placement_group._id)


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """The placement group of that name in this program's namespace.

    Raises:
        ValueError: there is none; names those that there are.
    """
    check_text(placement_group_name, "the name of a placement group")
    here = get_executor().context().namespace
    named = {info.name: info for info in _alive() if info.name and info.namespace == here}
    if placement_group_name not in named:
        raise ValueError(
            f"no placement group is named {placement_group_name!r} in namespace {here!r}."
            f"{nearest(placement_group_name, named)} Named ones: {listing(named) or 'none'}"
        )
    info = named[placement_group_name]
    return PlacementGroup(info.group_id, info.bundles)


def get_current_placement_group() -> PlacementGroup | None:
    """The placement group in which the calling task or actor runs."""
    current = get_executor().context().placement_group_id
    for info in _alive():
        if info.group_id.hex() == current:
            return PlacementGroup(info.group_id, info.bundles)
    return None


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """State of one placement group, or of all, by identity.

    Raises:
        TypeError: *placement_group* is none.
    """
    if placement_group is not None:
        _check_is_group(placement_group, "placement_group_table")
    table = {
        info.group_id.hex(): {
            "placement_group_id": info.group_id.hex(),
            "name": info.name,
            "bundles": {index: dict(bundle) for index, bundle in enumerate(info.bundles)},
            "bundles_to_node_id": dict(enumerate(info.bundle_nodes)),
            "strategy": info.strategy,
            "state": info.state,
        }
        for info in get_executor().placement_groups()
    }
    if placement_group is None:
        return table
    return table.get(placement_group.id, {})


def _check_is_group(given: object, what: str) -> None:
    if not isinstance(given, PlacementGroup):
        raise TypeError(f"{what} takes a PlacementGroup, got {given!r:.80}")


def _alive() -> list[PlacementGroupInfo]:
    return [info for info in get_executor().placement_groups() if info.state != "REMOVED"]
