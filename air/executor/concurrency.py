"""Concurrency groups: methods of one actor that do not wait for those of another group."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from air.errors import InvalidOption
from air.executor.validation import check_number, check_text, listing, nearest

_VERY_MANY = 2**31 - 1


def check_groups(value: object) -> dict[str, int]:
    """Validate ``concurrency_groups=``; ``None`` stands for none.

    Raises:
        InvalidOption: no dictionary, a name that is no text, or a size that is no whole number
            above 0.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidOption(
            "concurrency_groups must be a dict of names and sizes such as {'io': 2, 'compute': 4},"
            f" got {value!r}"
        )
    return {
        check_text(name, "the name of a concurrency group"): _size(value, name) for name in value
    }


def _size(sizes: Mapping[str, object], name: str) -> int:
    what = f"the size of concurrency group {name!r}"
    return min(int(check_number(sizes[name], what, minimum=1, integer=True)), _VERY_MANY)


def check_member(name: str, groups: Collection[str], what: str) -> None:
    """Complain unless an actor's class has the concurrency group that *what* is to run in.

    Raises:
        InvalidOption: it has not; names the nearest.
    """
    if name in groups:
        return
    if not groups:
        raise InvalidOption(
            f"{what} is to run in concurrency group {name!r}, but the actor's class has no groups:"
            f" declare it with @air.remote(concurrency_groups={{{name!r}: 2}})"
        )
    raise InvalidOption(
        f"{what} is to run in concurrency group {name!r}, which the actor's class does not have."
        f"{nearest(name, groups)} Groups are: {listing(sorted(groups))}"
    )
