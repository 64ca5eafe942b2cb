"""Values that several processes need: stored once, and read by each."""

from __future__ import annotations

from typing import TypeVar

from air.core.api import put
from air.errors import SerializationError
from air.executor import serialization
from air.executor.handles import ObjectRef

T = TypeVar("T")


def share(value: T, what: str) -> ObjectRef[T]:
    """Store *value*, which errors call *what*.

    Raises:
        SerializationError: it cannot be sent to another process; names *what* and the path in it
            to the part that cannot.
    """
    try:
        return put(value)
    except SerializationError:
        serialization.dumps(value, what)  # raises the same under the better name
        raise
