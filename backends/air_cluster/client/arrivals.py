"""Values that hold references, unpickled: the references are counted all together, at the end.

A value may hold ten thousand. Taking the lock for each, through all the layers that a single one
goes through, would cost three times as much as all the rest.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from air.executor.handles import ObjectRef, _import_ref
from air.executor.interface import Executor
from air_cluster.protocol.messages import Ref

_WHERE = _import_ref.__module__, _import_ref.__name__


class Arrivals:
    """The references of one value that is being unpickled.

    Until they are counted they are kept here, so that none of them can be counted off before.

    Args:
        sent: the references in the value, as its sender has noted them.

    Attributes:
        refs: those that have come, in order.
        counted: how many of them are.
        unknown: those of them whose owners do not know yet that this process has them.
    """

    __slots__ = ("_addresses", "_sent", "counted", "refs", "unknown")

    def __init__(self, sent: Sequence[Ref]) -> None:
        self._sent = sent
        self._addresses: dict[bytes, str] = {}
        self.refs: list[ObjectRef[Any]] = []
        self.counted = 0
        self.unknown: list[bytes] = []

    def address_of(self, object_id: bytes) -> str:
        """Where the owner of a reference listens."""
        if not self._addresses:
            self._addresses = {ref.id: ref.address for ref in self._sent}
        return self._addresses[object_id]

    def importer(self, executor: Executor) -> Callable[[tuple[bytes, str]], ObjectRef[Any]]:
        """Makes a reference of what was pickled in its place."""
        keep = self.refs.append

        def take(state: tuple[bytes, str]) -> ObjectRef[Any]:
            ref: ObjectRef[Any] = ObjectRef(state[0], executor)
            keep(ref)  # another thread may count it from here on
            return ref

        return take

    def load(self, stream: bytes | memoryview, buffers: Iterable[Any], executor: Executor) -> Any:
        """Rebuild the value; like ``air.executor.serialization.loads``."""
        return _Unpickler(io.BytesIO(stream), buffers, self.importer(executor)).load()


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, buffers: Iterable[Any], take: Callable[..., ObjectRef[Any]]
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._take = take

    def find_class(self, module: str, name: str) -> Any:
        # Once for each name in a stream, however often it occurs.
        if name == _WHERE[1] and module == _WHERE[0]:
            return self._take
        return super().find_class(module, name)
