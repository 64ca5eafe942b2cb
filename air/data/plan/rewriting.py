"""Plans made of other plans, step by step in the order of the data.

In a loop: functions that call themselves would be deeper for plans of hundreds of steps than
Python lets them be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from air.data.plan.node import Map, Node
from air.data.udf.calling import Call


def rewritten(plan: Node, change: Callable[[Node], Node | None], *, once: bool = False) -> Node:
    """The plan with what *change* gives for each step, after the steps that it works on.

    Args:
        change: ``None`` leaves a step as it is.
        once: what is given for a step stays. Otherwise this and all below it is looked at again,
            until nothing changes any more; not steps of which that is known: that would take time
            that grows with the square of their number.
    """
    settled: dict[int, Node] = {}  # by identity, which no other node gets as long as it is here
    todo: list[tuple[Node, bool]] = [(plan, False)]
    made: list[Node] = []  # of steps that those in *todo* work on
    while todo:
        node, is_next = todo.pop()
        if not is_next and id(node) not in settled:
            todo.append((node, True))
            todo.extend((one, False) for one in reversed(node.inputs))
            continue
        if is_next:
            node = _on_made(node, made)
            changed = change(node)
            if changed is not None and not once:
                todo.append((changed, False))
                continue
            if changed is not None:
                node = changed
            elif not once:
                settled[id(node)] = node
        made.append(node)
    return made.pop()


def _on_made(node: Node, made: list[Node]) -> Node:
    """The step on the last of *made* in place of its inputs; they are taken from there."""
    first = len(made) - len(node.inputs)
    inputs = tuple(made[first:])
    del made[first:]
    is_same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
    return node if is_same else node.with_inputs(inputs)


def told_apart(plan: Node) -> Node:
    """The plan with other names for operators that call functions of the same name.

    The second one in the order of the data is called ``map(f #2)``, and so on.
    """
    maps = [node for node in plan.walk() if isinstance(node, Map)]
    names = [node.name for node in maps if isinstance(node.transform, Call)]
    if len(set(names)) == len(names):
        return plan
    seen: Counter[str] = Counter()

    def numbered(node: Node) -> Node | None:
        if not isinstance(node, Map) or not isinstance(node.transform, Call):
            return None
        seen[node.name] += 1
        number = seen[node.name]
        return replace(node, transform=node.transform.numbered(number)) if number > 1 else None

    return rewritten(plan, numbered, once=True)
