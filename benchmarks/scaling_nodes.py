"""Tasks a second by the number of nodes; the nodes are daemons on this machine."""

from __future__ import annotations

import os
import signal
import time

from air_cluster.credentials import Credentials
from air_cluster.directories import make_directory
from air_cluster.launch import DaemonProcess, Network, NodeOptions

CPUS = 2
PAUSE_S = 0.02
_STORE_BYTES = 100_000_000


class Nodes:
    """A cluster that grows; every node offers :data:`CPUS`, whatever the machine has."""

    def __init__(self) -> None:
        self._credentials = Credentials.fresh(tls=False)
        self._head = ""
        self._daemons: list[DaemonProcess] = []

    def add(self) -> None:
        """One more node; returns when it has joined."""
        options = NodeOptions(num_cpus=CPUS, num_gpus=0, object_store_memory=_STORE_BYTES)
        daemon = DaemonProcess(
            make_directory(),
            self._credentials,
            options,
            Network("127.0.0.1", 0, self._head),
            stays=True,
        )
        self._daemons.append(daemon)
        ready = daemon.wait_until_ready()
        self._head = self._head or ready.address

    @property
    def address(self) -> str:
        """Where the head listens."""
        return self._head

    def stop(self) -> None:
        """End all, the head last."""
        for daemon in reversed(self._daemons):
            os.kill(daemon.pid, signal.SIGTERM)
            daemon.wait(10)


def measure(counts: list[int], tasks: int) -> dict[str, dict[int, float]]:
    """Seconds for one task, by kind and the number of nodes.

    Args:
        counts: numbers of nodes, rising.
        tasks: how many tasks are submitted at once.
    """
    import air

    table: dict[str, dict[int, float]] = {}
    cluster = Nodes()
    try:
        made = 0
        for count in counts:
            while made < count:
                cluster.add()
                made += 1
            air.init(address=cluster.address, log_to_driver=False)
            try:
                for name, seconds in _rates(count, tasks).items():
                    table.setdefault(name, {})[count] = seconds
            finally:
                air.shutdown()
    finally:
        cluster.stop()
    return table


def _rates(count: int, tasks: int) -> dict[str, float]:
    import air

    @air.remote
    def nothing() -> None:
        pass

    @air.remote
    def pause() -> str:
        time.sleep(PAUSE_S)
        return str(air.get_runtime_context().get_node_id())

    found: dict[str, float] = {}
    air.get([pause.remote() for _ in range(4 * CPUS * count)])  # workers are there
    some = max(2 * CPUS * count, tasks // 20)
    for name, options in (
        (f"task of {PAUSE_S * 1000:.0f} ms", {}),
        (f"task of {PAUSE_S * 1000:.0f} ms, SPREAD", {"scheduling_strategy": "SPREAD"}),
    ):
        started = time.perf_counter()
        where = air.get([pause.options(**options).remote() for _ in range(some)])
        found[name] = (time.perf_counter() - started) / some
        assert len(set(where)) <= count
    started = time.perf_counter()
    air.get([nothing.remote() for _ in range(tasks)])
    found["task that does nothing"] = (time.perf_counter() - started) / tasks
    alone = max(50, tasks // 50)
    started = time.perf_counter()
    for _ in range(alone):
        air.get(nothing.options(scheduling_strategy="SPREAD").remote())
    found["one by one, SPREAD"] = (time.perf_counter() - started) / alone
    return found
