"""How many entries each table of a process has: to see what grows that should not.

Everything that a process of the cluster knows hangs on one object, its client or its node. All
tables that can be reached from there are counted, whatever they are called: a new one that nobody
thinks of is counted too.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import Any

_OURS = "air_cluster."
_TABLES = (dict, list, set, frozenset, tuple, deque)


def count_entries(root: object) -> dict[str, int]:
    """Sizes of all tables that can be reached from *root*; those of one name are added up.

    A name is made of the attributes on the way, such as ``references.entries``, with ``[]`` for
    what is inside a table. Empty tables are left out.
    """
    counts: Counter[str] = Counter()
    seen = {id(root)}
    paths: deque[tuple[str, object]] = deque([("", root)])
    while paths:
        path, thing = paths.popleft()
        for name, value in _attributes(thing):
            _look_at(f"{path}.{name}".lstrip("."), value, counts, seen, paths)
    return dict(counts)


def _look_at(
    path: str, value: object, counts: Counter[str], seen: set[int], paths: deque[tuple[str, object]]
) -> None:
    if id(value) in seen:
        return
    if isinstance(value, _TABLES):
        if not value:
            return
        seen.add(id(value))
        counts[path] += len(value)
        inside: Collection[Any] = value.values() if isinstance(value, dict) else value
        for item in list(inside):
            if isinstance(item, _TABLES) or _is_ours(item):
                _look_at(f"{path}[]", item, counts, seen, paths)
    elif _is_ours(value):
        seen.add(id(value))
        paths.append((path, value))


def _is_ours(value: object) -> bool:
    return type(value).__module__.startswith(_OURS)


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    names: dict[str, None] = dict.fromkeys(getattr(thing, "__dict__", ()))
    for cls in type(thing).__mro__:
        slots = getattr(cls, "__slots__", ())
        names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    for name in names:
        value = getattr(thing, name, None)
        if value is not None:
            yield name, value
