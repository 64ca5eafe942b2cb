"""Clusters of several nodes: their daemons run on this machine, and talk over TCP."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

import air
from air.testing.executor_suite.harness import eventually
from air_cluster.credentials import Credentials
from air_cluster.directories import make_directory
from air_cluster.launch import DaemonProcess, Network, NodeOptions

MB = 1_000_000


class Node:
    """A daemon that was started; ``name`` is what ``air.nodes()`` calls it."""

    def __init__(self, credentials: Credentials, head: str, options: NodeOptions) -> None:
        self.directory = make_directory()
        self.process = DaemonProcess(
            self.directory, credentials, options, Network("127.0.0.1", 0, head), stays=True
        )
        ready = self.process.wait_until_ready()
        self.number = ready.number
        self.address = ready.address
        self.is_head = not head

    @property
    def processes(self) -> list[psutil.Process]:
        """The daemon, its templates and workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            daemon = psutil.Process(self.process.pid)
            return [daemon, *daemon.children(recursive=True)]
        return []

    def stop(self) -> None:
        """End it in an orderly way."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(10)

    def kill(self) -> None:
        """End it as a failing machine does: all its processes at the same moment."""
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in reversed(self.processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)


class Machines:
    """A cluster that grows by :meth:`start`; the first node is the head."""

    def __init__(self) -> None:
        self._credentials = Credentials.fresh(tls=False)
        self.nodes: list[Node] = []

    def start(
        self, *, num_cpus: float = 1, resources: Mapping[str, float] = {}, **options: Any
    ) -> Node:
        """One more node."""
        head = self.nodes[0].address if self.nodes else ""
        offered = NodeOptions(
            num_cpus=num_cpus,
            num_gpus=options.pop("num_gpus", 0),
            resources=resources,
            object_store_memory=options.pop("object_store_memory", 200 * MB),
            **options,
        )
        node = Node(self._credentials, head, offered)
        self.nodes.append(node)
        return node

    def join(self, **options: Any) -> None:
        """Have this program use the cluster, by its head's node."""
        air.init(address=self.nodes[0].address, log_to_driver=False, **options)

    def stop(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self.nodes):
            node.stop()
        for node in self.nodes:
            assert eventually(lambda node=node: not node.processes)  # type: ignore[misc]
            assert not Path(node.directory).exists()


@pytest.fixture
def machines() -> Iterator[Machines]:
    """No nodes yet; what was started is ended."""
    made = Machines()
    try:
        yield made
    finally:
        air.shutdown()
        made.stop()


@pytest.fixture
def two(machines: Machines) -> Machines:
    """Two nodes of one CPU each, of which the second has a ``widget``."""
    machines.start()
    machines.start(resources={"widget": 1})
    machines.join()
    return machines
