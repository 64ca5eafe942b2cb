"""Finds backends by their entry points; the built-in ones are found the same way.

A distribution adds a backend with::

    [project.entry-points."air.backends"]
    mine = "my_package:connect"

where ``connect(config: InitConfig) -> Executor``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from air.errors import BackendError, InvalidOption
from air.executor.interface import Executor, InitConfig
from air.executor.validation import listing, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "air.backends"
DISTRIBUTION = "airloom"
Connect = Callable[[InitConfig], Executor]


def backends() -> dict[str, EntryPoint]:
    """The entry points of all installed backends, by name, sorted."""
    # Takes long to import, and workers never look for a backend.
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def load(name: str) -> Connect:
    """The function that starts or reaches the backend *name*.

    Raises:
        InvalidOption: no installed distribution offers it.
        BackendError: it is installed, but importing it fails.
    """
    point = _own(name)
    if point is None:
        found = backends()
        if name not in found:
            raise InvalidOption(
                f"unknown backend {name!r}.{nearest(name, found)}"
                f" Installed backends: {listing(found) or 'none (is airloom installed?)'}"
            )
        point = found[name]
    try:
        return cast(Connect, point.load())
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"backend {name!r} ({point.value}) is installed but cannot be loaded: {error}."
            " Install again the distribution that provides it"
        ) from error


def _own(name: str) -> EntryPoint | None:
    """The entry point of that name in AIR's own distribution.

    Looking at one distribution is quick; looking at all takes longer than to start a task.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        points = distribution(DISTRIBUTION).entry_points.select(group=GROUP, name=name)
    except PackageNotFoundError:
        return None
    return next(iter(points), None)
