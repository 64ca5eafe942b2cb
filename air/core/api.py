"""``air.init``, ``air.remote``, ``air.get`` and the other functions that a person types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from air.core.actor import ActorClass
from air.core.awaited import Awaited
from air.core.program_log import DEFAULT_LEVEL, check_format, check_level, configure
from air.core.remote_function import RemoteFunction
from air.errors import InvalidOption
from air.executor import current
from air.executor.environments import read_environment
from air.executor.handles import (
    ActorHandle,
    ObjectRef,
    ObjectRefGenerator,
    check_refs,
)
from air.executor.info import InitConfig
from air.executor.interface import Executor
from air.executor.keywords import suggests_keywords
from air.executor.options import ACTOR_KEYS, TASK_KEYS
from air.executor.resources import check_offered, check_quantity
from air.executor.validation import (
    check_flag,
    check_labels,
    check_number,
    check_text,
    check_timeout,
    reject_unknown,
)

_awaited = Awaited()
_MAX_GPUS = 1024  # of one machine; each is a numbered device
_INIT_KEYS = (
    "address backend num_cpus num_gpus memory resources labels object_store_memory namespace"
    " log_to_driver ignore_reinit_error configure_logging logging_level logging_format"
    " runtime_env"
).split()


def init(
    address: str | None = None,
    *,
    backend: str | None = None,
    num_cpus: float | None = None,
    num_gpus: int | None = None,
    memory: int | None = None,
    resources: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    object_store_memory: int | None = None,
    namespace: str | None = None,
    log_to_driver: bool = True,
    ignore_reinit_error: bool = False,
    runtime_env: Mapping[str, Any] | None = None,
    configure_logging: bool = True,
    logging_level: int | str = DEFAULT_LEVEL,
    logging_format: str | None = None,
    **unknown: Any,
) -> None:
    """Start a backend, or connect to a running cluster.

    Not needed: the first call that needs a backend starts one. Call it to choose which.

    What is said of the machine (``num_cpus``, ``num_gpus``, ``memory``, ``resources``, ``labels``,
    ``object_store_memory``) is for a cluster that this call starts. A cluster that runs already has
    been told by ``air start``, and the options are refused; only ``object_store_memory`` may be
    given where no node of it runs on this machine, for the memory that the program itself has then.

    Args:
        address: of a running cluster, ``"HOST:PORT"`` or ``"auto"``; ``AIR_ADDRESS`` in the
            environment when ``None``, and without that a cluster on this machine is started.
        backend: ``"cluster"`` (default), ``"local"`` (this process, in order, for tests and
            debugging) or the name of any installed backend; ``AIR_BACKEND`` when ``None``.
        num_cpus: CPUs that tasks may use together, instead of those that the machine has.
        num_gpus: GPUs that tasks may use together, instead of those that NVIDIA's driver tells of
            and ``CUDA_VISIBLE_DEVICES`` lets this program see. On ``cluster`` a task or an actor
            sees those in ``CUDA_VISIBLE_DEVICES`` that it has asked for, and no others.
        memory: bytes that tasks and actors may use together. Where more is used, the largest of
            them is ended with ``OutOfMemory``; the same happens, whatever is said here, when the
            machine or its container runs out.
        resources: custom resources of this machine, such as ``{"license": 2}``.
        labels: labels of this machine, which ``label_selector`` and
            ``NodeLabelSchedulingStrategy`` look at.
        object_store_memory: bytes of shared memory for values.
        namespace: where the names of actors and placement groups are registered; programs of
            one cluster that give the same one see each other's. One of its own when ``None``.
        log_to_driver: show what tasks and actors of this program print.
        ignore_reinit_error: do nothing if a backend is running already.
        runtime_env: the environment of this program's tasks and actors; see
            :mod:`air.runtime_env`.
        configure_logging: have what is logged to ``air`` in this program shown on standard error,
            as the next two say; where the root logger has handlers, these show it instead.
        logging_level: from which level on, as a name or a number of :mod:`logging`.
        logging_format: a format for :class:`logging.Formatter`; time, level and message when
            ``None``.

    Raises:
        InvalidOption: an unknown option (names the nearest) or backend, a bad value, or an option
            about the machine with the *address* of a cluster that runs already.
        RuntimeError: a backend is running already.
        BackendError: the backend cannot be started or reached.
    """
    if "local_mode" in unknown:
        raise InvalidOption("air.init has no option 'local_mode': use backend='local'")
    reject_unknown(unknown, _INIT_KEYS, what="air.init")
    if address is not None and (not isinstance(address, str) or not address):
        raise InvalidOption(f"address must be 'HOST:PORT' or 'auto', got {address!r}")
    if backend is not None:
        check_text(backend, "backend")
    if namespace is not None:
        check_text(namespace, "namespace")
    if num_cpus is not None:
        check_quantity(num_cpus, "num_cpus")
    if num_gpus is not None:
        check_number(num_gpus, "num_gpus", minimum=0, maximum=_MAX_GPUS, integer=True)
    check_flag(log_to_driver, "log_to_driver")
    check_flag(ignore_reinit_error, "ignore_reinit_error")
    environment = read_environment(runtime_env)
    if environment is not None:
        environment.check_files()
    check_flag(configure_logging, "configure_logging")
    level, formatter = check_level(logging_level), check_format(logging_format)
    config = InitConfig(
        address=address,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        resources=check_offered(resources or {}),
        labels=check_labels(labels or {}),
        memory=_check_bytes(memory, "memory"),
        object_store_memory=_check_bytes(object_store_memory, "object_store_memory"),
        namespace=namespace or "",
        log_to_driver=bool(log_to_driver),
        runtime_env=environment,
    )
    current.start(backend, config, reuse=ignore_reinit_error)
    if configure_logging:
        configure(level, formatter)


def _check_bytes(value: float | None, name: str) -> int | None:
    if value is None:
        return None
    what = f"{name} (in bytes)"
    if check_number(value, what, minimum=1) % 1 == 0:
        value = int(value)  # as in 2e9
    return int(check_number(value, what, minimum=1, integer=True))


def shutdown() -> None:
    """End everything that this program started; nothing is left behind. Safe to call twice.

    On a cluster, programs that tasks and actors have started end as well, with the processes of
    these and at the latest now, also in sessions of their own (``start_new_session=True``,
    ``setsid``, ``nohup``): a SIGTERM, and a second later a SIGKILL. What is to stay must be started
    by somebody else, such as ``systemd-run``.
    """
    current.shutdown()


def is_initialized() -> bool:
    """Whether a backend is running."""
    return current.is_initialized()


def remote(*args: Any, **options: Any) -> Any:
    """Make a function run as tasks, or a class as actors.

    ``@air.remote`` alone, or with options: ``@air.remote(num_cpus=2, max_retries=0)``.
    Functions take ``num_cpus`` (1), ``num_gpus``, ``memory`` (bytes), ``resources``,
    ``accelerator_type``, ``num_returns``, ``max_retries`` (3), ``retry_exceptions``,
    ``scheduling_strategy``, ``label_selector``, ``runtime_env`` (see :mod:`air.runtime_env`),
    ``bytes_ahead`` and ``name``; classes take ``num_cpus`` (0), ``num_gpus``, ``memory``,
    ``resources``, ``accelerator_type``, ``name``, ``namespace``, ``lifetime``, ``get_if_exists``,
    ``max_restarts``, ``max_task_retries``, ``max_concurrency``, ``concurrency_groups``,
    ``max_pending_calls``, ``scheduling_strategy``, ``label_selector`` and ``runtime_env``.
    :mod:`air.executor.options` says what each means.

    Raises:
        InvalidOption: an unknown option (names the nearest) or a value it cannot take.
        TypeError: neither a function nor a class.
    """
    if len(args) == 1 and not options:
        return _make_remote(args[0], {})
    if args:
        raise TypeError(
            "air.remote takes a function or class alone, or keyword options:"
            " @air.remote(num_cpus=2)"
        )
    reject_unknown(options, TASK_KEYS | ACTOR_KEYS, what="air.remote")
    return lambda target: _make_remote(target, options)


def _make_remote(target: Any, options: Mapping[str, Any]) -> RemoteFunction | ActorClass:
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already")
    if inspect.isclass(target):
        made = ActorClass(target, options)
        if made.actor_options.concurrency_groups:
            made.check_groups()
        return made
    if callable(target):
        return RemoteFunction(target, options)
    raise TypeError(f"air.remote takes a function or a class, got {type(target).__name__}")


@suggests_keywords
def get(
    object_refs: ObjectRef[Any] | Sequence[ObjectRef[Any]], *, timeout: float | None = None
) -> Any:
    """The value of a reference, or the list of values of a list of them, waiting for them.

    Each call gives new objects, but their large buffers (arrays of numpy, Arrow and pandas, from
    4096 bytes on) may be the ones that all others read, and so are read-only: change a copy
    (``array.copy()``). Tensors of torch may be written to: the system copies what is written, and
    nobody else sees it. All take memory of the object store for as long as anything uses them.

    Args:
        timeout: seconds; ``None`` waits as long as it takes.

    Raises:
        GetTimeout: names the tasks that were not finished in time, and what they wait for.
        TaskError: mixed into the class of the exception that the task raised.
        AirError: the system failed: see :mod:`air.errors`.
    """
    seconds = check_timeout(timeout)
    if isinstance(object_refs, ObjectRef):
        return _executor_for([object_refs]).get([object_refs], seconds)[0]
    if not isinstance(object_refs, (list, tuple)):
        stream = isinstance(object_refs, ObjectRefGenerator)
        iterate = "; iterate over it for its references" if stream else ""
        raise TypeError(
            "air.get takes a list of ObjectRef or a single one,"
            f" got {type(object_refs).__name__}{iterate}"
        )
    found = check_refs(object_refs, "air.get")
    return _executor_for(found).get(found, seconds)


@suggests_keywords
def put(value: Any) -> ObjectRef[Any]:
    """Store a copy of a value, to be shared by many tasks.

    Of a part of a larger array, table or frame (numpy, Arrow, pandas, tensors of torch) the part
    is stored and nothing else.

    Raises:
        SerializationError: names the path to what cannot be pickled.
        TypeError: the value is a reference already.
    """
    if isinstance(value, ObjectRef):
        raise TypeError("air.put takes a value, got an ObjectRef: it is stored already")
    return current.get_executor().put(value)


@suggests_keywords
def wait(
    object_refs: Sequence[ObjectRef[Any]],
    *,
    num_returns: int = 1,
    timeout: float | None = None,
    fetch_local: bool = True,
) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
    """Wait until *num_returns* of the references are ready, or *timeout* seconds have passed.

    Args:
        num_returns: how many to wait for, at least 1 and at most as many as there are.
        timeout: seconds; ``None`` waits as long as it takes.
        fetch_local: whether a value must be on this node to count as ready.

    Returns:
        The ready ones (at most *num_returns*) and all others, each in the given order.

    Raises:
        InvalidOption: a value that an argument cannot take, or the same reference twice.
    """
    found = check_refs(object_refs, "air.wait")
    identities = _awaited.check(found)
    seconds = check_timeout(timeout)
    check_flag(fetch_local, "fetch_local")
    num_returns = int(check_number(num_returns, "num_returns", minimum=1, integer=True))
    if num_returns > len(found):
        there = "there is 1 reference" if len(found) == 1 else f"there are {len(found)} references"
        raise InvalidOption(f"num_returns is {num_returns}, but {there}")
    ready, rest = _executor_for(found).wait(found, num_returns, seconds, fetch_local)
    _awaited.keep(identities, ready)
    return ready, rest


@suggests_keywords
def cancel(
    object_ref: ObjectRef[Any] | ObjectRefGenerator,
    *,
    force: bool = False,
    recursive: bool = True,
) -> None:
    """Cancel the task that computes a reference, or yields values; see :meth:`Executor.cancel`."""
    if not isinstance(object_ref, (ObjectRef, ObjectRefGenerator)):
        raise TypeError(
            "air.cancel takes an ObjectRef or an ObjectRefGenerator, got"
            f" {type(object_ref).__name__}"
        )
    check_flag(force, "force")
    check_flag(recursive, "recursive")
    if isinstance(object_ref, ObjectRef):
        executor = _executor_for([object_ref])
    else:
        executor = object_ref._executor
    executor.cancel(object_ref, force=force, recursive=recursive)


@suggests_keywords
def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """End an actor at once; its unfinished calls raise ``ActorDied``.

    Args:
        no_restart: whether it stays dead even if ``max_restarts`` would have it made anew.
    """
    if not isinstance(actor, ActorHandle):
        raise TypeError(f"air.kill takes an actor's handle, got {type(actor).__name__}")
    check_flag(no_restart, "no_restart")
    # Its own: for a handle that has outlived air.shutdown() there is no use in starting another.
    actor._executor.kill_actor(actor, no_restart=no_restart)


@suggests_keywords
def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """The live actor of that name.

    Args:
        namespace: where the name is registered; the program's own (see ``air.init``) when
            ``None``.

    Raises:
        ValueError: there is none; names those that there are.
    """
    check_text(name, "an actor's name")
    if namespace is not None:
        check_text(namespace, "namespace")
    return current.get_executor().find_actor(name, namespace)


@suggests_keywords
def list_named_actors(all_namespaces: bool = False) -> list[str] | list[dict[str, str]]:
    """The names of the live actors that have one, sorted.

    Args:
        all_namespaces: whether to list those of every namespace, and not of the program's own.

    Returns:
        Names; with *all_namespaces* dictionaries ``{"name": ..., "namespace": ...}``, sorted
        by namespace.
    """
    check_flag(all_namespaces, "all_namespaces")
    executor = current.get_executor()
    names = executor.actor_names()
    if all_namespaces:
        return [{"name": name, "namespace": namespace} for namespace, name in names]
    mine = executor.context().namespace
    return [name for namespace, name in names if namespace == mine]


def exit_actor() -> None:
    """End the actor from inside one of its methods, by an exception that leaves the method.

    This call and all others of the actor that have not ended raise ``ActorDied``, whether they run
    or wait; see :meth:`Executor.exit_actor`.

    Raises:
        RuntimeError: not called from a method of an actor.
    """
    current.get_executor().exit_actor()


def nodes() -> list[dict[str, Any]]:
    """The machines of the cluster: ``NodeID, Alive, NodeManagerAddress, Resources, Labels``."""
    return [
        {
            "NodeID": node.node_id,
            "Alive": node.alive,
            "NodeManagerAddress": node.address,
            "Resources": dict(node.resources),
            "Labels": dict(node.labels),
        }
        for node in current.get_executor().nodes()
    ]


def cluster_resources() -> dict[str, float]:
    """What all live nodes offer together, such as ``{"CPU": 8.0, "memory": 6.4e10}``."""
    return dict(current.get_executor().cluster_resources())


def available_resources() -> dict[str, float]:
    """What of :func:`cluster_resources` is free now."""
    return dict(current.get_executor().available_resources())


def get_gpu_ids() -> list[int]:
    """The numbers of the GPUs that the calling task or actor holds."""
    return list(current.get_executor().context().gpu_ids)


def _executor_for(refs: Sequence[ObjectRef[Any]]) -> Executor:
    """The running executor; after ``air.shutdown()`` the one that the references came from.

    That one complains, where starting another cluster for them would be of no use.
    """
    if refs and not current.is_initialized():
        return refs[0]._executor
    return current.get_executor()
