"""Conditions on the labels of nodes: what a person types, and how it is matched."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from air.errors import InvalidOption
from air.executor.validation import check_text

Labels = Mapping[str, str]


class Operator(enum.Enum):
    """What a label rule demands."""

    IN = "in"
    """The node has the label, with one of these values; one value means equality."""

    NOT_IN = "not in"
    """The node has the label with none of these values, or does not have it."""

    EXISTS = "exists"
    DOES_NOT_EXIST = "does not exist"


@dataclass(frozen=True, slots=True)
class LabelRule:
    """A condition on one label of a node; *values* only for IN and NOT_IN."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Whether a node with these labels will do."""
        if self.operator is Operator.IN:
            return labels.get(self.key) in self.values
        if self.operator is Operator.NOT_IN:
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator is Operator.EXISTS)

    def __str__(self) -> str:
        if not self.values:
            return f"{self.key!r} {self.operator.value}"
        if self.operator is Operator.IN and len(self.values) == 1:
            return f"{self.key!r} = {self.values[0]!r}"
        return f"{self.key!r} {self.operator.value} ({', '.join(map(repr, self.values))})"


def all_match(rules: tuple[LabelRule, ...], labels: Labels) -> bool:
    """Whether a node with these labels will do for all of *rules*."""
    return all(rule.matches(labels) for rule in rules)


def describe_rules(rules: tuple[LabelRule, ...]) -> str:
    """Render rules for a message: ``'zone' = 'a' and 'gpu' exists``."""
    return " and ".join(map(str, rules))


_SEVERAL = re.compile(r"(!?)in\(([^()]*)\)")
_LIKE_SEVERAL = re.compile(r"(!|not\b)?\s*in\s*\(", re.IGNORECASE)
"""Begins what was meant to name several; taken as a value, it would match nothing in silence."""


def check_selector(selector: object) -> tuple[LabelRule, ...]:
    """The rules that ``label_selector={...}`` stands for, sorted by label.

    Each value is ``"a"`` (the label has that value), ``"!a"`` (it has another one, or is not
    there), ``"in(a, b)"`` or ``"!in(a, b)"``.

    Raises:
        InvalidOption: it does not map text to such text; names label and value.
    """
    if not isinstance(selector, Mapping):
        raise InvalidOption(
            "label_selector must map labels to what they must be, such as {'zone': 'a'}, got"
            f" {selector!r:.80}"
        )
    for key in selector:
        check_text(key, "a key of label_selector")
    return tuple(_selected(key, selector[key]) for key in sorted(selector))


def _selected(key: str, value: object) -> LabelRule:
    name = f"label_selector[{key!r}]"
    text = check_text(value, name)
    several = _SEVERAL.fullmatch(text)
    if several is not None:
        values = [part.strip() for part in several[2].split(",")]
        negated = several[1] == "!"
    else:
        negated = text.startswith("!")
        values = [text.removeprefix("!")]
    is_meant = several is None and _LIKE_SEVERAL.match(text.lstrip()) is not None
    if not all(values) or values[0].startswith("!") or is_meant:
        raise InvalidOption(f"{name} must be 'a', '!a', 'in(a, b)' or '!in(a, b)', got {value!r}")
    operator = Operator.NOT_IN if negated else Operator.IN
    return LabelRule(key, operator, tuple(dict.fromkeys(values)))
