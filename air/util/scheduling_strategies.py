"""Values for the option ``scheduling_strategy`` of tasks and actors."""

from __future__ import annotations

from dataclasses import dataclass

from air.core.placement_group import PlacementGroup
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.scheduling import GroupPlacement, NodePlacement
from air.executor.validation import check_flag, check_number, check_text


@methods_suggest_keywords
@dataclass(frozen=True)
class PlacementGroupSchedulingStrategy:
    """Run inside a bundle of a placement group.

    Attributes:
        placement_group: the group.
        placement_group_bundle_index: which bundle; -1 takes any that has room.
        placement_group_capture_child_tasks: whether tasks and actors started from inside
            run in the group too.
    """

    placement_group: PlacementGroup
    placement_group_bundle_index: int = -1
    placement_group_capture_child_tasks: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.placement_group, PlacementGroup):
            raise InvalidOption(
                f"placement_group must be a PlacementGroup, got {self.placement_group!r}"
            )
        check_number(
            self.placement_group_bundle_index,
            "placement_group_bundle_index",
            minimum=-1,
            maximum=self.placement_group.bundle_count - 1,
            integer=True,
        )
        if self.placement_group_capture_child_tasks is not None:
            check_flag(
                self.placement_group_capture_child_tasks, "placement_group_capture_child_tasks"
            )

    def to_placement(self) -> GroupPlacement:
        """What a backend sees of this."""
        return GroupPlacement(
            bytes.fromhex(self.placement_group.id),
            self.placement_group_bundle_index,
            bool(self.placement_group_capture_child_tasks),
        )


@methods_suggest_keywords
@dataclass(frozen=True)
class NodeAffinitySchedulingStrategy:
    """Run on one node.

    Attributes:
        node_id: as in ``air.nodes()``.
        soft: whether another node will do when that one is gone or full.
    """

    node_id: str
    soft: bool

    def __post_init__(self) -> None:
        check_text(self.node_id, "node_id (one of those in air.nodes())")
        check_flag(self.soft, "soft")

    def to_placement(self) -> NodePlacement:
        """What a backend sees of this."""
        return NodePlacement(self.node_id, bool(self.soft))
