"""A program's membership of a cluster: one of its own, or one that runs already."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from air.errors import BackendError, InvalidOption
from air.executor.interface import InitConfig
from air.executor.interrupts import HeldInterrupts
from air.executor.program import entrypoint, failure
from air_cluster.credentials import Credentials
from air_cluster.directories import RunningNode, end_what_is_left, keep_logs, make_directory
from air_cluster.heads import check_token_file, find_head, nodes_here, read_credentials
from air_cluster.launch import DaemonProcess, Network, NodeOptions
from air_cluster.session_files import waits_for_head

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.client.console import ConsoleOptions
    from air_cluster.executor import ClusterExecutor
    from air_cluster.transport.interrupts import InterruptGuard

logger = logging.getLogger("air.cluster")

_STOP_TIMEOUT_S = 5.0
_CRASH_S = 1.0
_JOIN_S = 10.0
"""A node that runs already welcomes a program in milliseconds, as a rule."""

_PRELOADED = ("numpy", "pandas", "pyarrow", "torch", "xgboost", "sklearn")
"""Large libraries: if the program has loaded one, its tasks are likely to need it as well."""


def connect(config: InitConfig) -> ClusterExecutor:
    """Join a cluster, or start one on this machine if *config* has no address.

    Raises:
        InvalidOption: a variable of the environment holds what it may not, or *config* says what
            a node offers that runs already.
        BackendError: the daemon does not start, or the cluster cannot be joined.
    """
    from air_cluster.client.console import ConsoleOptions

    session, shown = None, ConsoleOptions.from_environment(os.environ)
    try:
        with HeldInterrupts():  # or a daemon would have been started that nobody knows of
            if config.address is None:
                session = Session.of_its_own(config)
            else:
                session = Session.of_cluster(config.address, config)
        return session.join(config, shown)
    except BaseException:
        if session is not None:
            session.stop()
        raise


class Session:
    """This program's client, and the daemon if it was started for it."""

    def __init__(self, directory: str, credentials: Credentials) -> None:
        self._directory = directory
        self._credentials = credentials
        self._daemon: DaemonProcess | None = None
        self._node = 0
        self._host = ""
        self._client: Client | None = None
        self._is_shared = True  # with other programs
        self._guard: InterruptGuard | None = None

    @classmethod
    def of_its_own(cls, config: InitConfig) -> Session:
        """A cluster of this machine, for this program alone; gone with it."""
        session = cls(make_directory(), Credentials(secrets.token_bytes(32)))
        session._is_shared = False
        session._start(_options(config), None)
        return session

    @classmethod
    def of_cluster(cls, address: str, config: InitConfig) -> Session:
        """A cluster that runs: by this machine's node of it, or by one made for this program.

        Args:
            address: ``HOST:PORT`` of the head, or ``auto`` for that of this machine's node.

        Raises:
            InvalidOption: *address* has another form, or *config* says what the node offers,
                which was said when it was started.
            BackendError: there is none, or this machine's node waits for its head.
        """
        nodes = nodes_here(address)
        if nodes:
            # Where several run on one machine, as in tests, the head's is the one that is named.
            node = max(nodes, key=lambda node: (not node.waits_since, node.is_head))
            refuse_what_is_of_nodes(config, guest=False)
            check_token_file(node)
            return cls._on_node(node)
        if address == "auto":
            raise BackendError(
                "address='auto' looks for a node of this user on this machine, and none runs;"
                " give the head's HOST:PORT, or leave address out to start a cluster here"
            )
        refuse_what_is_of_nodes(config, guest=True)
        head = find_head(address)
        credentials = read_credentials(address)  # first: it may be refused
        session = cls(make_directory(), credentials)
        guest = NodeOptions(object_store_memory=config.object_store_memory, is_guest=True)
        session._start(guest, Network(host="", head=head))
        return session

    @classmethod
    def _on_node(cls, node: RunningNode) -> Session:
        if node.waits_since:
            raise BackendError(waits_for_head(node.why_it_waits, node.waits_since))
        session = cls(node.directory, node.credentials)
        session._node, session._host = node.number, node.host
        return session

    def _start(self, options: NodeOptions, network: Network | None) -> None:
        try:
            self._daemon = DaemonProcess(
                self._directory, self._credentials, options, network, stays=False
            )
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise

    def join(self, config: InitConfig, shown: ConsoleOptions) -> ClusterExecutor:
        """Wait for the daemon and register with it."""
        # Imported while the daemon starts, in parallel with it.
        from air_cluster.client.client import Client
        from air_cluster.client.console import Console
        from air_cluster.executor import ClusterExecutor
        from air_cluster.protocol.ids import new_process_id
        from air_cluster.transport.interrupts import InterruptGuard

        if self._daemon is not None:
            ready = self._daemon.wait_until_ready()
            self._node, self._host = ready.number, ready.host
        client = self._client = Client(
            self._directory,
            self._credentials.token,
            new_process_id(self._node),
            "driver",
            host=self._host,
            namespace=config.namespace,
            console=Console(shown) if config.log_to_driver else None,
            entrypoint=entrypoint() if config.namespace else "",  # commands only look
        )
        if threading.current_thread() is threading.main_thread():
            self._guard = InterruptGuard.for_keyboard(client.reactor)
        executor = ClusterExecutor(client, self.stop)
        client.connect(timeout=_JOIN_S if self._is_shared else None)
        client.head.wait()
        client.reactor.start_background("air-background")
        client.environments.of_program(config.runtime_env, shared=self._is_shared)
        loaded = [name for name in _PRELOADED if name in sys.modules]
        if loaded:
            executor.preload(loaded)
        return executor

    def stop(self) -> None:
        """Leave; a daemon that was started for this program ends with all that is its own.

        Ctrl-C meanwhile is raised when that is done.
        """
        guard, self._guard = self._guard, None
        try:
            with HeldInterrupts():
                self._stop()
        finally:
            if guard is not None:
                guard.remove()

    def _stop(self) -> None:
        crash = None
        if self._daemon is not None:
            # When its connection is lost, it may take another moment to end.
            is_lost = self._client is not None and self._client.is_lost
            crash = self._daemon.crash(_CRASH_S if is_lost else 0.0)
        patience = 0.0  # a daemon that nobody has joined waits for somebody, and is killed
        if self._client is not None:
            from air_cluster.protocol.messages import Exit

            client, self._client = self._client, None
            if hasattr(client, "daemon"):
                patience = _STOP_TIMEOUT_S
                # It sends what workers have printed so far, then closes the connection.
                client.leaving = True
                with client.reactor.lock:
                    client.daemon.send(Exit(failure=failure()))
                deadline = time.monotonic() + patience
                client.reactor.wait_for(lambda: client.daemon.closed, deadline)
            client.close()
        if self._daemon is not None:
            self._daemon.wait(patience)
            if self._daemon.crash(0.0) is not None:  # maybe in this very moment
                end_what_is_left(self._directory)
            if crash is None:
                shutil.rmtree(self._directory, ignore_errors=True)
            elif kept := keep_logs(self._directory):
                logger.warning("the node's daemon %s; its log files are in %s", crash, kept)


_OF_NODES = ("num_cpus", "num_gpus", "memory", "resources", "labels", "object_store_memory")


def refuse_what_is_of_nodes(config: InitConfig, *, guest: bool) -> None:
    """Complain about options that say what a node offers, where none is started for tasks.

    Args:
        guest: whether a daemon is started for the program alone, which has a store of values.

    Raises:
        InvalidOption: the program gives one; names it, and where it belongs.
    """
    for name in _OF_NODES:
        value = getattr(config, name)
        if value is None or value == {}:
            continue
        if guest and name == "object_store_memory":
            continue
        option = f"--{name.replace('_', '-')}"
        raise InvalidOption(
            f"{name} says what a node offers, and this program joins a cluster whose nodes run"
            f" already (address={config.address!r}): leave it out here, and give {option} to the"
            f" 'air start' of the node that it is about; got {name}={value!r}"
        )


def _options(config: InitConfig) -> NodeOptions:
    return NodeOptions(
        config.num_cpus,
        config.num_gpus,
        config.resources,
        config.labels,
        config.memory,
        config.object_store_memory,
    )
