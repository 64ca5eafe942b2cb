"""Datasets whose rows are asked for by key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from air.core.api import get, kill, put, remote
from air.data.blocks.block import Schema, accessor
from air.data.execution.exchange.partitioners import equal_edges
from air.data.random_access.keys import keys_as, searchable
from air.data.random_access.search import first_at_least
from air.data.random_access.shard import Shard, ShardStats
from air.data.splitting import divide
from air.data.viewing.shown import Shown, counted, size_text
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.handles import ActorHandle, ObjectRef
from air.executor.keywords import methods_suggest_keywords

if TYPE_CHECKING:
    from air.data.consumption import Consumption

_WORKERS_PER_NODE = 4
_TRIES = 3


@methods_suggest_keywords
class RandomAccessDataset:
    """The rows of a dataset by key, sorted and divided among actors, which hold them in memory.

    Made by ``Dataset.to_random_access_dataset``. Of rows with equal keys the first one is found, as
    the dataset had them; rows whose key is missing (null, NaN) are left out. A key is looked for as
    a Python dictionary would do it: 1.0 finds 1, and what no row has, ``None`` and NaN among that,
    gives ``None``.

    It can be sent to tasks and actors. The actors end with :meth:`close`, at the end of a ``with``
    block, or when nothing refers to them any more; one that dies is made anew.
    """

    def __init__(self, rows: Consumption, key: str, num_workers: int | None) -> None:
        """Use ``Dataset.to_random_access_dataset()``: *rows* are sorted, and all have a key."""
        began = time.monotonic()
        handles = list(rows.materialize().run())
        count = sum(handle.num_rows for handle in handles)
        wanted = num_workers or _WORKERS_PER_NODE * len(get_executor().nodes())
        parts = divide(handles, equal_edges(count, min(wanted, count))) if count else []
        options: dict[str, Any] = {"scheduling_strategy": "SPREAD"}
        if Capability.ACTOR_RESTARTS in get_executor().capabilities:
            options |= {"max_restarts": _TRIES, "max_task_retries": _TRIES}
        actor = remote(Shard).options(**options)
        self._key = key
        self._shards: list[ActorHandle] = [actor.remote(part, key) for part in parts]
        self._is_closed = False
        lasts = get([shard.last_key.remote() for shard in self._shards])
        self._lasts: pa.Array = pa.concat_arrays(lasts) if lasts else _no_keys(rows.schema(), key)
        self._seconds = time.monotonic() - began

    def get_async(self, key: Any) -> ObjectRef[Any]:
        """A reference to the row with *key*, a dictionary; to ``None`` if there is none.

        Raises:
            UnsupportedValue: *key* is of another kind than the column; names it and the types.
            RuntimeError: this is closed.
        """
        asked, shards = self._asked([key], "get_async")
        if shards[0] == len(self._shards):
            return put(None)
        ref: ObjectRef[Any] = self._shards[shards[0]].get.remote(asked)
        return ref

    def multiget(self, keys: Iterable[Any]) -> list[dict[str, Any] | None]:
        """The row for each of *keys*, in their order; ``None`` for those that no row has.

        Each actor is asked once, all at the same time, so this takes far less time than as many
        calls of :meth:`get_async`.

        Args:
            keys: a list, an array, a column of a frame; the same key may be there several times.

        Raises:
            UnsupportedValue, RuntimeError: as for :meth:`get_async`.
        """
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise TypeError(f"multiget takes a list of keys, got {keys!r:.80}")
        if isinstance(keys, (pa.Array, pa.ChunkedArray)):
            keys = keys.to_pylist()
        asked, shards = self._asked(list(keys), "multiget")
        places = [np.flatnonzero(shards == number) for number in range(len(self._shards))]
        answers = [
            shard.multiget.remote(asked.take(pa.array(there)))
            for shard, there in zip(self._shards, places, strict=True)
            if len(there)
        ]
        rows: list[dict[str, Any] | None] = [None] * len(asked)
        for there, (is_found, table) in zip(filter(len, places), get(answers), strict=True):
            hits = there[is_found.to_numpy(zero_copy_only=False)]
            for place, row in zip(hits.tolist(), accessor(table).rows(), strict=True):
                rows[place] = row
        return rows

    def stats(self) -> str:
        """What the actors hold, how many keys they were asked for, and how long that took."""
        self._check_open()
        return Shown(_described(self._key, self._seconds, self._shard_stats()))

    def close(self) -> None:
        """End the actors; also those that copies of this refer to."""
        if not self._is_closed:
            self._is_closed = True
            for shard in self._shards:
                kill(shard)

    def _shard_stats(self) -> list[ShardStats]:
        found: list[ShardStats] = get([shard.stats.remote() for shard in self._shards])
        return found

    def _asked(self, keys: Sequence[Any], what: str) -> tuple[pa.Array, np.ndarray]:
        """*keys* as the column has them, and which shard may have each; one beyond for none."""
        self._check_open()
        asked = keys_as(keys, self._lasts.type, self._key, what)
        shards = first_at_least(self._lasts, asked)
        there = asked.is_valid().to_numpy(zero_copy_only=False)
        return asked, np.where(there, shards, len(self._shards))

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this RandomAccessDataset is closed; make another of the dataset")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "closed" if self._is_closed else f"in {counted(len(self._shards), 'worker')}"
        return f"RandomAccessDataset(key={self._key!r}, {where})"


def _no_keys(schema: Schema | None, key: str) -> pa.Array:
    """The keys of no rows, of whose columns something may be known."""
    if not isinstance(schema, pa.Schema) or key not in schema.names:
        return pa.nulls(0)
    return searchable(pa.chunked_array([], schema.field(key).type)).combine_chunks()


def _described(key: str, seconds: float, shards: Sequence[ShardStats]) -> str:
    rows, asked = sum(one.rows for one in shards), sum(one.asked for one in shards)
    found, busy = sum(one.found for one in shards), sum(one.seconds for one in shards)
    workers = counted(len(shards), "worker")
    began = f"which took {seconds:.2f} s to begin"
    lines = [f"RandomAccessDataset: {counted(rows, 'row')} by {key!r} in {workers}, {began}"]
    if shards:
        lines += [
            f"  rows of a worker: {_spread([one.rows for one in shards])}",
            f"  bytes of a worker: {_spread([one.size_bytes for one in shards], size_text)}",
            f"  keys asked of a worker: {_spread([one.asked for one in shards])}",
        ]
    mean = f", {busy / asked * 1e6:,.0f} us for each" if asked else ""
    return "\n".join([*lines, f"  {counted(asked, 'key')} asked for, {found:,} found{mean}"])


def _spread(numbers: Sequence[int], shown: Callable[[float], str] = "{:,}".format) -> str:
    mean = sum(numbers) / len(numbers)
    return f"{shown(min(numbers))} to {shown(max(numbers))}, {shown(round(mean))} in the mean"
