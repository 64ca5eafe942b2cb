"""Whatever a streaming task returned, as an iterator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from air.executor.returns import not_a_generator


def as_iterator(value: Any, name: str) -> Iterator[Any]:
    """Whatever a streaming task returned, as an iterator in this thread."""
    if hasattr(value, "__aiter__"):
        from air_cluster.worker.coroutines import drive

        return drive(value)
    try:
        return iter(value)
    except TypeError:
        raise not_a_generator(value, name) from None
