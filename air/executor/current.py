"""The executor that this process uses, started at the first call that needs one."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from dataclasses import replace

from air.errors import BackendError, InvalidOption, NotInitialized
from air.executor.interface import Executor, InitConfig
from air.executor.registry import load

DEFAULT_BACKEND = "cluster"
BACKEND_VARIABLE, ADDRESS_VARIABLE = "AIR_BACKEND", "AIR_ADDRESS"

_lock = threading.RLock()
_executor: Executor | None = None
_exit_hook_installed = False


def get_executor() -> Executor:
    """The running executor; the first call starts the default backend."""
    executor = _executor
    if executor is not None:
        return executor
    return start(None, InitConfig())


def is_initialized() -> bool:
    """Whether a backend is running in this process."""
    return _executor is not None


def start(backend: str | None, config: InitConfig, *, reuse: bool = True) -> Executor:
    """Start a backend, unless one is running.

    ``backend`` falls back to ``AIR_BACKEND``, then ``"cluster"``; ``config.address`` falls
    back to ``AIR_ADDRESS`` (for every backend but ``local``).

    Raises:
        RuntimeError: one is running and *reuse* is false.
    """
    global _executor, _exit_hook_installed
    with _lock:
        if _executor is not None:
            if reuse:
                return _executor
            raise RuntimeError(
                f"air is initialized already, with backend {_executor.name!r}: call"
                " air.shutdown() first, or air.init(..., ignore_reinit_error=True)"
            )
        sources = []  # of what may be wrong, when it is not in the program
        if backend is None:
            backend = os.environ.get(BACKEND_VARIABLE)
            sources += [f"{BACKEND_VARIABLE}={backend}"] if backend else []
        backend = backend or DEFAULT_BACKEND
        address = config.address
        if address is None and backend != "local":
            address = os.environ.get(ADDRESS_VARIABLE) or None
            sources += [f"{ADDRESS_VARIABLE}={address}"] if address else []
        if backend == "local" and address is not None:
            raise InvalidOption(
                f"backend 'local' runs in this process and takes no address, got {address!r}"
            )
        try:
            # Other programs of a cluster see what is registered in a namespace that has a name.
            namespace = config.namespace or f"anonymous-{os.urandom(8).hex()}"
            executor = load(backend)(replace(config, address=address, namespace=namespace))
        except (InvalidOption, BackendError) as error:
            if sources:
                error.args = (f"{error} (the environment says {' and '.join(sources)})",)
            raise
        _executor = executor
        if not _exit_hook_installed:
            atexit.register(_shut_down_at_exit)
            _exit_hook_installed = True
        return executor


def connect(address: str) -> Executor:
    """One more executor, of a cluster that runs already, for the caller alone to shut down.

    Raises:
        InvalidOption: the backend in use, or that of ``AIR_BACKEND``, is in one process.
        BackendError: there is no such cluster.
    """
    running = _executor
    name = running.name if running is not None else os.environ.get(BACKEND_VARIABLE)
    if name == "local":
        raise InvalidOption(
            "backend 'local' runs in this process and takes no address: what it does can only be"
            f" asked by the program itself, got address {address!r}"
        )
    return load(name or DEFAULT_BACKEND)(InitConfig(address=address, log_to_driver=False))


def install(executor: Executor | None) -> None:
    """Use *executor* from now on: for backends, in the workers they start, and for tests."""
    global _executor
    with _lock:
        _executor = executor


def shutdown() -> None:
    """End the running backend, if there is one.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed meanwhile; it has ended all the same.
    """
    executor = _executor
    if executor is None:
        return
    # Meanwhile it stays the running one: what the user's code does while it ends (a thread that
    # was waiting, a __del__) must not start another. And it stays if it refuses, as in a task.
    try:
        _end(executor)
    except KeyboardInterrupt:
        _end(executor)  # what is left of it; it is not to be half ended
        raise


def _shut_down_at_exit() -> None:
    _let_daemon_threads_end()
    with contextlib.suppress(KeyboardInterrupt):  # the program is over already
        shutdown()


def _let_daemon_threads_end() -> None:
    """Of daemon threads that still wait for values nothing is said, as of any that still waits."""
    excepthook = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        is_daemon = args.thread is not None and args.thread.daemon
        if not (is_daemon and isinstance(args.exc_value, NotInitialized)):
            excepthook(args)

    threading.excepthook = hook


def _end(executor: Executor) -> None:
    global _executor
    executor.shutdown()
    with _lock:
        if _executor is executor:
            _executor = None
