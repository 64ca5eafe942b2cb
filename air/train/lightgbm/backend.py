"""The network: how LightGBM's workers find one another, and agree on what a round came to."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.core.actor import ActorClass
from air.core.api import kill
from air.executor.handles import ActorHandle
from air.train.backend import Backend, BackendConfig
from air.train.lightgbm.agreement import Agreement

if TYPE_CHECKING:
    from air.train.worker_group import WorkerGroup

NETWORK_KEY = "network"


@dataclass(frozen=True, slots=True)
class LightGBMConfig(BackendConfig):
    """Workers that train one model together."""

    @property
    def backend_cls(self) -> type[Backend]:
        return LightGBMBackend


@dataclass(frozen=True, slots=True)
class Network:
    """Where the workers are.

    Attributes:
        machines: address and port of each, in the order of their ranks.
        agreement: the actor that they meet at after each round.
    """

    machines: tuple[tuple[str, int], ...]
    agreement: ActorHandle

    def params(self, rank: int) -> dict[str, Any]:
        """What LightGBM is told in the worker of this rank."""
        return {
            "machines": ",".join(f"{address}:{port}" for address, port in self.machines),
            "num_machines": len(self.machines),
            "local_listen_port": self.machines[rank][1],
            "pre_partition": True,
        }


class LightGBMBackend(Backend):
    """Gives each worker a port to listen at; LightGBM connects them by itself."""

    modules = ("lightgbm", "air.train.lightgbm.trainer", "air.train.lightgbm.worker")

    def __init__(self) -> None:
        self._agreement: ActorHandle | None = None

    def on_start(self, workers: WorkerGroup, config: BackendConfig) -> dict[str, Any]:
        size = len(workers.placements)
        if size == 1:
            return {NETWORK_KEY: None}
        is_one_node = len({info.node_id for info in workers.infos}) == 1
        addresses = ["127.0.0.1" if is_one_node else info.address for info in workers.infos]
        machines = tuple(zip(addresses, _ports(workers), strict=True))
        self._agreement = ActorClass(Agreement, {"num_cpus": 0}).remote(size)
        return {NETWORK_KEY: Network(machines, self._agreement)}

    def close(self) -> None:
        if self._agreement is not None:
            kill(self._agreement)

    def is_consequence(self, error: BaseException) -> bool:
        return is_broken_network(error)


def is_broken_network(error: BaseException) -> bool:
    """Whether a worker failed because another one is gone, which it notices in its next call."""
    is_own = any(base.__name__ == "LightGBMError" for base in type(error).__mro__)
    return is_own and any(word in str(error) for word in ("Socket", "socket", "connect"))


def _ports(workers: WorkerGroup) -> list[int]:
    """A free port for each worker, in the order of their ranks."""
    ports = [0] * len(workers.infos)
    nodes = [info.node_id for info in workers.infos]
    for node in dict.fromkeys(nodes):
        ranks = [rank for rank, other in enumerate(nodes) if other == node]
        found = workers.execute_single(ranks[0], free_ports, len(ranks))
        for rank, port in zip(ranks, found, strict=True):
            ports[rank] = port
    return ports


def free_ports(count: int) -> list[int]:
    """So many different ports of this machine that nobody listens at."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
