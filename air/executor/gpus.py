"""The NVIDIA GPUs of this machine that this process may use; backends ask here.

Where NVIDIA's driver is there, its management library (NVML) tells how many there are and of which
kind. ``CUDA_VISIBLE_DEVICES`` says which of them are ours, as it does for CUDA.
"""

from __future__ import annotations

import ctypes
import os
import re
from typing import Any, NamedTuple

from air.executor.resources import ACCELERATOR, GPU

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
_NVML = "libnvidia-ml.so.1"
_TEXT_BYTES = 96  # NVML's own bounds on names and identities are no larger


class Gpu(NamedTuple):
    """One device: its identity, ``GPU-`` and a UUID, and what it is sold as."""

    uuid: str
    model: str


def gpu_resources() -> dict[str, float]:
    """What this machine's GPUs are as resources of a node, such as ``{"GPU": 8}``.

    With the library of the driver, also 1 of ``accelerator_type:KIND`` for each kind of them.
    """
    installed = installed_gpus()
    names = visible_names(installed)
    if names is None:
        found = [] if installed is None else installed
        count = _count_device_files() if installed is None else len(installed)
    else:
        found = [gpu for name in names if (gpu := _named(name, installed or [])) is not None]
        count = len(names)
    kinds = {kind: 1.0 for gpu in found if (kind := kind_of(gpu.model))}
    return {GPU: count, **{ACCELERATOR + kind: one for kind, one in kinds.items()}}


def visible_names(installed: list[Gpu] | None = None) -> list[str] | None:
    """What ``CUDA_VISIBLE_DEVICES`` lists; ``None`` if it is not set, and all are visible.

    CUDA ignores everything from the first invalid name on, such as -1.

    Args:
        installed: what there is, if that is known: what is not among it is invalid too.
    """
    text = os.environ.get(VISIBLE)
    if text is None:
        return None
    names: list[str] = []
    for name in map(str.strip, text.split(",")):
        known = installed is None or name.startswith("MIG-") or _named(name, installed)
        if not re.fullmatch(r"\d+|(GPU|MIG)-.+", name) or name in names or not known:
            break
        names.append(name)
    return names


def kind_of(model: str) -> str:
    """A short name: ``A100`` of ``NVIDIA A100-SXM4-80GB``; the first word with a digit."""
    return next((word for word in re.split(r"[\s-]+", model) if re.search(r"\d", word)), "")


def installed_gpus() -> list[Gpu] | None:
    """All GPUs of the machine, in the order of their places; ``None`` if nobody can tell."""
    if not os.path.exists("/dev/nvidiactl"):
        return None  # no driver: do not look for its library in all places that there are
    try:
        nvml: Any = ctypes.CDLL(_NVML)
    except OSError:
        return None
    return read_gpus(nvml)


def read_gpus(nvml: Any) -> list[Gpu] | None:
    """Ask NVML, a library of C functions that return 0 where they succeed."""
    if nvml.nvmlInit_v2():
        return None
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return None
        found = []
        for index in range(count.value):
            device = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)):
                return None  # as with one that has failed: what CUDA calls the others is unclear
            found.append(
                Gpu(_text(nvml.nvmlDeviceGetUUID, device), _text(nvml.nvmlDeviceGetName, device))
            )
        return found
    finally:
        nvml.nvmlShutdown()


def _text(function: Any, device: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    failed = function(device, text, ctypes.c_uint(_TEXT_BYTES))
    return "" if failed else text.value.decode(errors="replace")


def _named(name: str, installed: list[Gpu]) -> Gpu | None:
    """The GPU that CUDA knows by a number, or by the beginning of its identity."""
    if name.isdecimal():
        return installed[int(name)] if int(name) < len(installed) else None
    matching = [gpu for gpu in installed if gpu.uuid.startswith(name)]
    return matching[0] if len(matching) == 1 else None


def _count_device_files() -> int:
    return sum(1 for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
