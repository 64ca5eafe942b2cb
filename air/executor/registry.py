"""Finds backends by their entry points; the built-in ones are found the same way.

A distribution adds a backend with::

    [project.entry-points."air.backends"]
    mine = "my_package:connect"

where ``connect(config: InitConfig) -> Executor``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from air.errors import BackendError, InvalidOption
from air.executor.interface import Executor, InitConfig
from air.executor.validation import listing, nearest

GROUP = "air.backends"
Connect = Callable[[InitConfig], Executor]


def backends() -> dict[str, EntryPoint]:
    """The entry points of all installed backends, by name, sorted."""
    found = entry_points(group=GROUP)
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def load(name: str) -> Connect:
    """The function that starts or reaches the backend *name*.

    Raises:
        InvalidOption: no installed distribution offers it.
        BackendError: it is installed, but importing it fails.
    """
    found = backends()
    if name not in found:
        raise InvalidOption(
            f"unknown backend {name!r}.{nearest(name, found)}"
            f" Installed backends: {listing(found) or 'none (is airloom installed?)'}"
        )
    try:
        return cast(Connect, found[name].load())
    except ImportError as error:
        raise BackendError(
            f"backend {name!r} is installed but cannot be imported: {error}."
            f' Try: pip install "airloom[{name}]"'
        ) from error
