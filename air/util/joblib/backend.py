"""The backend that joblib is given."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from joblib._parallel_backends import SequentialBackend
from joblib.parallel import ParallelBackendBase

from air.core.api import cancel, cluster_resources, put, remote
from air.core.runtime_context import get_runtime_context
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.handles import ObjectRef
from air.executor.resources import CPU

SHARED_BYTES = 1 << 20
"""Arguments of this size and more are stored once, whatever number of calls has them."""


class AirBackend(ParallelBackendBase):
    """Runs each batch of joblib's calls as a task."""

    supports_retrieve_callback = True

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **options: Any,
    ) -> None:
        """*options* are those of a task; see :func:`air.util.joblib.register_air`."""
        super().__init__(nesting_level, inner_max_num_threads)
        self._task = remote(_call).options(name="joblib", **options)
        self._cpus = float(options.get("num_cpus", 1))
        self._running: dict[Future[Any], ObjectRef[Any]] = {}
        self._stored: dict[int, tuple[Any, ObjectRef[Any]]] = {}
        self._is_begun = False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls are made at a time; see :func:`air.util.joblib.register_air`.

        Raises:
            ValueError: *n_jobs* is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs is 0: give a number of calls at a time, or -1 for all CPUs")
        if n_jobs is None or Capability.PARALLEL_TASKS not in get_executor().capabilities:
            return 1
        held = get_runtime_context().get_assigned_resources().get(CPU, 0)
        spare = cluster_resources().get(CPU, 0) - held
        room = math.floor(spare / self._cpus if self._cpus else spare)
        if room < 1:  # each call would wait for what its caller holds
            return 1
        return n_jobs if n_jobs > 0 else max(room + 1 + n_jobs, 1)

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Future[Any]], None] | None = None
    ) -> Future[Any]:
        """Start a batch of calls; *callback* is called with the future once it has ended."""
        if not self._is_begun:
            self._is_begun = True
            get_executor().preload(_modules_of(func))
        shared: dict[int, ObjectRef[Any]] = {}
        ref = self._task.remote(self._slim(func, shared), list(shared), *shared.values())
        future = ref.future()
        self._running[future] = ref
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """What the batch came to; raises what one of its calls raised."""
        self._running.pop(out, None)
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what is running or waits."""
        running, self._running = self._running, {}
        for ref in running.values():
            cancel(ref)

    def stop_call(self) -> None:
        """Let go of the arguments of the calls."""
        self._stored.clear()

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """What calls use that a call makes: each holds a CPU, and has no others."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def _slim(self, batch: Any, shared: dict[int, ObjectRef[Any]]) -> Any:
        """The batch with places for its large arguments, which are put into *shared* by number."""

        def place(value: Any) -> Any:
            if _size_of(value) < SHARED_BYTES:
                return value
            key = id(value)
            if key not in self._stored:  # with the value, which so keeps its identity
                self._stored[key] = value, put(value)
            shared[key] = self._stored[key][1]
            return _Place(key)

        return _changed(batch, place)


@dataclass(frozen=True, slots=True)
class _Place:
    """Stands for an argument that travels by itself."""

    key: int


def _call(batch: Any, keys: list[int], *values: Any) -> Any:
    """Run a batch of calls, with its large arguments back in their places."""
    found = dict(zip(keys, values, strict=True))
    return _changed(batch, lambda arg: found[arg.key] if isinstance(arg, _Place) else arg)()


def _changed(batch: Any, change: Callable[[Any], Any]) -> Any:
    """A batch whose calls have other arguments: joblib keeps them as ``items``."""
    other = copy.copy(batch)
    other.items = [
        (function, [change(arg) for arg in args], {n: change(arg) for n, arg in kwargs.items()})
        for function, args, kwargs in batch.items
    ]
    return other


def _modules_of(batch: Any) -> list[str]:
    """Modules that the calls of a batch need, which processes may then start with."""
    found = {"joblib.parallel"}
    for function, args, kwargs in batch.items:
        for each in (function, *args, *kwargs.values()):
            module = getattr(each, "__module__", None) or type(each).__module__
            if module not in ("__main__", "builtins"):
                found.add(module)
    return sorted(found)


def _size_of(value: Any) -> int:
    """Bytes of an array, a matrix of SciPy, a DataFrame or a Series; 0 for anything else."""
    if hasattr(value, "memory_usage"):
        used = value.memory_usage()
        return int(used if isinstance(used, int) else used.sum())
    if hasattr(value, "nbytes"):
        return value.nbytes if isinstance(value.nbytes, int) else 0
    parts = (getattr(value, name, None) for name in ("data", "indices", "indptr"))
    return sum(int(getattr(part, "nbytes", 0)) for part in parts)
