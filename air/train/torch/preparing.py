"""What a training function calls to train on several workers what was written for one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from air.core.api import get_gpu_ids
from air.errors import InvalidOption
from air.executor.validation import check_number
from air.train.session import Session, require_session
from air.train.torch.library import DataLoader, Device, Model, import_torch
from air.train.torch.precision import under_autocast

_Moved = TypeVar("_Moved")

_STRATEGIES = ("ddp", "fsdp")


def get_device() -> Device:
    """The device of this worker: its (first) GPU if it holds one, and the CPU otherwise.

    Raises:
        RuntimeError: outside of a training run.
    """
    torch = import_torch("get_device")
    require_session("get_device")
    # A worker sees the GPUs that it holds, and no others.
    device: Device = torch.device("cuda:0" if get_gpu_ids() else "cpu")
    return device


def prepare_model(
    model: Model,
    move_to_device: bool | Device = True,
    parallel_strategy: str | None = "ddp",
    parallel_strategy_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """The model, ready to be trained by all workers together.

    Args:
        model: the same on all workers.
        move_to_device: whether to put it on :func:`get_device`, or another device to put it on.
        parallel_strategy: ``"ddp"``: every worker has the model, and gradients are averaged
            (``DistributedDataParallel``); ``"fsdp"``: every worker has a part of each parameter
            (``torch.distributed.fsdp.fully_shard``, which shards *model* itself and returns it);
            ``None``: nothing of the kind. With one worker nothing is done for it.
        parallel_strategy_kwargs: what the strategy takes besides.

    Raises:
        InvalidOption: there is no such strategy.
        RuntimeError: outside of a training run.
    """
    if parallel_strategy is not None and parallel_strategy not in _STRATEGIES:
        raise InvalidOption(
            f"prepare_model: parallel_strategy must be 'ddp', 'fsdp' or None, got"
            f" {parallel_strategy!r}"
        )
    torch = import_torch("prepare_model")
    workers = require_session("prepare_model").world_size
    device = get_device() if isinstance(move_to_device, bool) else torch.device(move_to_device)
    if move_to_device is not False:
        model = model.to(device)
    model = under_autocast(model, device)
    options = dict(parallel_strategy_kwargs or {})
    if parallel_strategy is None or workers == 1:
        return model
    if parallel_strategy == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        options.setdefault("mesh", init_device_mesh(device.type, (workers,)))
        sharded: Model = fully_shard(model, **options)
        return sharded
    if device.type == "cuda":
        options.setdefault("device_ids", [device.index])
    return torch.nn.parallel.DistributedDataParallel(model, **options)


def full_state_dict(model: Model) -> dict[str, Any]:
    """The parameters of a model, as they are without the strategies of :func:`prepare_model`.

    On the CPU, under the names that they have in the model that was prepared. Of a model that is
    sharded every worker must ask, and rank 0 alone gets them; the others get an empty dict.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    inner: Any = getattr(model, "module", model)  # of DistributedDataParallel
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found: dict[str, Any] = get_model_state_dict(inner, options=options)
    return found


def prepare_data_loader(
    data_loader: DataLoader,
    add_dist_sampler: bool = True,
    move_to_device: bool = True,
    auto_transfer: bool = True,
) -> Any:
    """The loader, of which each worker sees its part, with batches on :func:`get_device`.

    Every worker sees equally many rows, so some are seen twice where they cannot be divided
    evenly. One that shuffles does so anew each time that it is gone through, in the same way on
    all workers.

    Args:
        data_loader: of a dataset with a length; one of an iterable dataset is not divided.
        add_dist_sampler: whether to divide it.
        move_to_device: whether to move tensors, in lists, tuples and dicts too.
        auto_transfer: whether to move them while the batch before is worked on, where that can be
            done (on GPUs, from pinned memory).

    Raises:
        InvalidOption: the loader is to be divided, and has a sampler of its own.
        RuntimeError: outside of a training run.
    """
    torch = import_torch("prepare_data_loader")
    session = require_session("prepare_data_loader")
    loader = data_loader
    own = loader.sampler
    is_divided = isinstance(own, torch.utils.data.distributed.DistributedSampler)
    is_indexed = not isinstance(loader.dataset, torch.utils.data.IterableDataset)
    if add_dist_sampler and session.world_size > 1 and is_indexed and not is_divided:
        loader = _divided(loader, session, torch)
    return _Prepared(loader, get_device() if move_to_device else None, auto_transfer)


def _divided(loader: Any, session: Session, torch: Any) -> Any:
    samplers = torch.utils.data
    is_usual = type(loader.sampler) in (samplers.SequentialSampler, samplers.RandomSampler)
    if not is_usual or (loader.batch_size is None and loader.batch_sampler is not None):
        own = loader.sampler if not is_usual else loader.batch_sampler
        raise InvalidOption(
            f"prepare_data_loader cannot divide the rows among workers, because the loader has a"
            f" sampler of its own, {type(own).__name__}: have that give each worker its rows (by"
            " get_world_rank and get_world_size), and say add_dist_sampler=False."
        )
    is_shuffled = isinstance(loader.sampler, samplers.RandomSampler)
    sampler = torch.utils.data.distributed.DistributedSampler(
        loader.dataset,
        num_replicas=session.world_size,
        rank=session.world_rank,
        shuffle=is_shuffled,
        drop_last=loader.drop_last,
    )
    return torch.utils.data.DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )


class _Prepared:
    """Batches of a loader, moved; all else is the loader's."""

    def __init__(self, loader: Any, device: Device | None, ahead: bool) -> None:
        self._loader = loader
        self._device = device
        self._ahead = ahead
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # of one that is being copied, and has nothing yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        sampler = self._loader.sampler
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self._epoch)
        self._epoch += 1
        if self._device is None:
            return iter(self._loader)
        return (_moved(batch, self._device, self._ahead) for batch in self._loader)


def _moved(batch: _Moved, device: Device, ahead: bool) -> _Moved:
    found: Any = batch
    if hasattr(batch, "to") and hasattr(batch, "device"):
        found = batch.to(device, non_blocking=ahead)
    elif isinstance(batch, Mapping):
        found = {name: _moved(value, device, ahead) for name, value in batch.items()}
    elif isinstance(batch, tuple) and hasattr(batch, "_fields"):
        found = type(batch)(*(_moved(value, device, ahead) for value in batch))
    elif isinstance(batch, (list, tuple)):
        found = type(batch)(_moved(value, device, ahead) for value in batch)
    return found


def enable_reproducibility(seed: int = 0) -> None:
    """Seed torch, numpy and Python, and have torch use deterministic algorithms only.

    Operations that torch has no such algorithm for raise. Training takes longer.
    """
    torch = import_torch("enable_reproducibility")
    check_number(seed, "enable_reproducibility: seed", minimum=0, integer=True)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
