"""Where a task or an actor should run: placement groups and scheduling strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from air.errors import InvalidOption
from air.executor.labels import LabelRule
from air.executor.resources import Resources, check_bundle
from air.executor.validation import check_text, listing, nearest

PLACEMENT_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


@dataclass(frozen=True, slots=True)
class GroupPlacement:
    """Run inside a bundle of a placement group.

    Attributes:
        group_id: the group.
        bundle_index: which bundle; -1 takes any that has room.
        capture_child_tasks: whether tasks started from inside run in the group too.
    """

    group_id: bytes
    bundle_index: int = -1
    capture_child_tasks: bool = False


@dataclass(frozen=True, slots=True)
class NodePlacement:
    """Run on one node; ``soft`` allows another one while that node is full, or when it is gone."""

    node_id: str
    soft: bool = False


@dataclass(frozen=True, slots=True)
class SpreadPlacement:
    """Spread over the nodes, each task for itself, instead of filling one first."""


@dataclass(frozen=True, slots=True)
class LabelPlacement:
    """Run on a node with certain labels.

    Attributes:
        hard: rules that the node must match.
        soft: rules that it should match, all of them, if one that does has room.
        spread: whether to spread over those that match.
    """

    hard: tuple[LabelRule, ...] = ()
    soft: tuple[LabelRule, ...] = ()
    spread: bool = False


Placement = GroupPlacement | NodePlacement | SpreadPlacement | LabelPlacement | None
"""How a backend sees ``scheduling_strategy``; ``None`` is the default strategy."""


@dataclass(frozen=True, slots=True)
class PlacementGroupSpec:
    """A request to reserve bundles of resources together.

    Attributes:
        bundles: at least one non-empty set of resources.
        strategy: one of :data:`PLACEMENT_STRATEGIES`.
        name: unique in its namespace while the group is there; empty for none.
        detached: whether the group outlives the program that made it.
        namespace: of the name.
    """

    bundles: tuple[Resources, ...]
    strategy: str = "PACK"
    name: str = ""
    detached: bool = False
    namespace: str = ""

    @classmethod
    def checked(
        cls,
        bundles: Sequence[Mapping[str, float]],
        strategy: str = "PACK",
        name: str = "",
        lifetime: str | None = None,
    ) -> PlacementGroupSpec:
        """Validate what a user typed.

        Raises:
            InvalidOption: no bundles, an empty or negative bundle, an unknown strategy or
                lifetime, or a name that is not text.
        """
        if isinstance(bundles, Mapping) or not isinstance(bundles, Sequence) or not bundles:
            raise InvalidOption(
                f"bundles must be a non-empty list such as [{{'CPU': 1}}], got {bundles!r}"
            )
        if strategy not in PLACEMENT_STRATEGIES:
            raise InvalidOption(
                f"unknown placement strategy {strategy!r}.{nearest(strategy, PLACEMENT_STRATEGIES)}"
                f" Strategies are: {listing(PLACEMENT_STRATEGIES)}"
            )
        check_text(name, "the name of a placement group", empty=True)
        return cls(
            bundles=tuple(check_bundle(bundle, index) for index, bundle in enumerate(bundles)),
            strategy=strategy,
            name=name,
            detached=check_lifetime(lifetime),
        )


def check_lifetime(lifetime: str | None) -> bool:
    """Return whether ``lifetime`` asks for a detached actor or group."""
    if lifetime in (None, "non_detached"):
        return False
    if lifetime == "detached":
        return True
    raise InvalidOption(f"lifetime must be None or 'detached', got {lifetime!r}")
