"""The process group: how workers that train one model with PyTorch find one another."""

from __future__ import annotations

import datetime
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.errors import InvalidOption
from air.executor.validation import check_number
from air.train.backend import Backend, BackendConfig
from air.train.torch.library import import_torch
from air.train.worker import WorkerInfo

if TYPE_CHECKING:
    from air.train.worker_group import Placement, WorkerGroup

_METHODS = ("env", "tcp")
_STATES = "torch.distributed.checkpoint.state_dict"

_VARIABLES = (
    *("MASTER_ADDR", "MASTER_PORT"),
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"),
)
"""Those that ``torchrun`` sets, which programs and other libraries go by."""


@dataclass(frozen=True)
class TorchConfig(BackendConfig):
    """How workers are joined.

    Attributes:
        backend: of ``torch.distributed``: ``"gloo"``, ``"nccl"`` or another that torch has;
            ``"nccl"`` where workers hold GPUs and ``"gloo"`` otherwise unless given.
        init_method: ``"env"`` sets the environment variables that ``torchrun`` sets as well, for
            programs and libraries that go by them; ``"tcp"`` leaves the environment alone.
        timeout_s: seconds that a worker waits for the others in a collective operation.
    """

    backend: str | None = None
    init_method: str = "env"
    timeout_s: int = 1800

    def __post_init__(self) -> None:
        if self.backend is not None and not isinstance(self.backend, str):
            raise InvalidOption(f"TorchConfig.backend must be a name, got {self.backend!r}")
        if self.init_method not in _METHODS:
            raise InvalidOption(
                f"TorchConfig.init_method must be 'env' or 'tcp', got {self.init_method!r}"
            )
        check_number(self.timeout_s, "TorchConfig.timeout_s", minimum=1)

    @property
    def backend_cls(self) -> type[Backend]:
        return TorchBackend


@dataclass(frozen=True, slots=True)
class Join:
    """What workers are told of their group.

    Attributes:
        address, port: where rank 0 keeps what all know.
        placements: of each worker, by its node and its process.
    """

    address: str
    port: int
    placements: Mapping[tuple[str, int], Placement]
    config: TorchConfig


class TorchBackend(Backend):
    """Starts a store in the worker of rank 0, at a port that is free, where all workers meet."""

    modules = (
        "torch",
        "torch.distributed",
        "torch.nn.parallel.distributed",
        _STATES,
        "torch._dynamo",  # the first DistributedDataParallel imports it, in a second or three
        "air.train.torch.preparing",
    )

    def on_start(self, workers: WorkerGroup, config: BackendConfig) -> dict[str, Any]:
        assert isinstance(config, TorchConfig)
        is_one_node = len({info.node_id for info in workers.infos}) == 1
        address = "127.0.0.1" if is_one_node else workers.infos[0].address
        port = workers.execute_single(0, start_store, address, config.timeout_s)
        pairs = zip(workers.infos, workers.placements, strict=True)
        placements = {(info.node_id, info.pid): place for info, place in pairs}
        workers.execute(join, Join(address, port, placements, config))
        return {}

    def on_shutdown(self, workers: WorkerGroup) -> None:
        workers.execute(leave)

    def close(self) -> None:
        leave()  # where the worker was this process

    def is_consequence(self, error: BaseException) -> bool:
        return is_broken_group(error)


def is_broken_group(error: BaseException) -> bool:
    """Whether a worker failed because another one is gone, which it notices in its next call."""
    names = {base.__name__ for base in type(error).__mro__}
    said = str(error)
    is_network = "DistNetworkError" in names or "DistBackendError" in names
    return is_network or (
        "RuntimeError" in names and ("gloo" in said or "Connection closed by peer" in said)
    )


_stores: list[Any] = []
"""Of this process: that of rank 0 works as long as it is referred to."""

_changed: dict[str, str | None] = {}
"""What environment variables were before."""


def start_store(address: str, timeout_s: float) -> int:
    """Start a store in this process; the port that it listens at."""
    torch = import_torch("TorchTrainer")
    store = torch.distributed.TCPStore(
        address,
        0,
        is_master=True,
        wait_for_workers=False,
        timeout=datetime.timedelta(seconds=timeout_s),
    )
    _stores[:] = [store]
    return int(store.port)


def join(to: Join) -> None:
    """Be part of the group."""
    torch = import_torch("TorchTrainer")
    # If it is imported later it keeps the store of that group, with its files, for ever.
    importlib.import_module(_STATES)
    here = WorkerInfo.here()
    place = to.placements[here.node_id, here.pid]
    timeout = datetime.timedelta(seconds=to.config.timeout_s)
    if place.world_rank:
        _stores[:] = [
            torch.distributed.TCPStore(to.address, to.port, is_master=False, timeout=timeout)
        ]
    if to.config.init_method == "env":
        _set_environment(to, place)
    backend = to.config.backend
    if backend is None:
        backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(
        backend,
        store=torch.distributed.PrefixStore("air", _stores[0]),
        rank=place.world_rank,
        world_size=place.world_size,
        timeout=timeout,
    )


def leave() -> None:
    """Be part of no group; nothing if this process is in none."""
    if not _stores:
        return
    torch = import_torch("TorchTrainer")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    _stores.clear()
    for name, value in _changed.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _changed.clear()


def _set_environment(to: Join, place: Placement) -> None:
    values: list[object] = [to.address, to.port, place.world_rank, place.world_size]
    values += [place.local_rank, place.local_world_size, place.node_rank]
    for name, value in zip(_VARIABLES, values, strict=True):
        _changed.setdefault(name, os.environ.get(name))
        os.environ[name] = str(value)
