"""Values for the option ``scheduling_strategy`` of tasks and actors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from air.core.placement_group import PlacementGroup
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.labels import LabelRule, Operator
from air.executor.scheduling import GroupPlacement, LabelPlacement, NodePlacement
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


class In:
    """The node has the label, with one of *values*."""

    operator = Operator.IN

    def __init__(self, *values: str) -> None:
        """Say which values.

        Raises:
            InvalidOption: there are none, or one is not text.
        """
        self.values = _check_values(type(self).__name__, values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"


class NotIn(In):
    """The node has the label with none of *values*, or does not have it."""

    operator = Operator.NOT_IN


class Exists:
    """The node has the label, whatever its value."""

    operator = Operator.EXISTS
    values: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class DoesNotExist(Exists):
    """The node does not have the label."""

    operator = Operator.DOES_NOT_EXIST


LabelExpression = In | Exists
"""What must hold of a label; :class:`NotIn` and :class:`DoesNotExist` are some of these."""


@methods_suggest_keywords
@dataclass(frozen=True)
class NodeLabelSchedulingStrategy:
    """Run on a node with certain labels, as nodes got them from ``air start --labels``.

    Where no node has the labels of *hard*, ``Unschedulable`` names what was wanted and the labels
    that the nodes have.

    Attributes:
        hard: label -> :class:`In`, :class:`NotIn`, :class:`Exists` or :class:`DoesNotExist`, which
            must all hold; text means ``In`` with that value.
        soft: the same, for what should hold: a node that matches all of it is chosen as long as
            one has room, and then any.
    """

    hard: Mapping[str, LabelExpression | str]
    soft: Mapping[str, LabelExpression | str] | None = None

    def __post_init__(self) -> None:
        if not self.to_placement().hard and not self.soft:
            raise InvalidOption(
                "NodeLabelSchedulingStrategy needs a condition, such as hard={'zone': In('a')}"
            )

    def to_placement(self) -> LabelPlacement:
        """What a backend sees of this."""
        soft = {} if self.soft is None else self.soft
        return LabelPlacement(_rules(self.hard, "hard"), _rules(soft, "soft"))


def _rules(conditions: object, name: str) -> tuple[LabelRule, ...]:
    if not isinstance(conditions, Mapping):
        raise InvalidOption(
            f"{name} must map labels to conditions, such as {{'zone': In('a')}}, got"
            f" {conditions!r:.80}"
        )
    for key in conditions:
        check_text(key, f"a key of {name}")
    return tuple(_rule(key, conditions[key], f"{name}[{key!r}]") for key in sorted(conditions))


def _rule(key: str, condition: object, name: str) -> LabelRule:
    if isinstance(condition, str):
        condition = In(check_text(condition, name, empty=True))
    if not isinstance(condition, (In, Exists)):
        raise InvalidOption(
            f"{name} must be text, In(...), NotIn(...), Exists() or DoesNotExist(), got"
            f" {condition!r:.80}"
        )
    return LabelRule(key, condition.operator, condition.values)


def _check_values(what: str, values: tuple[object, ...]) -> tuple[str, ...]:
    if not values:
        raise InvalidOption(f"{what} needs at least one value, such as {what}('a')")
    name = f"a value of {what}"
    return tuple(dict.fromkeys(check_text(value, name, empty=True) for value in values))
