"""How many GPUs there are, and of which kind: NVML and CUDA_VISIBLE_DEVICES together."""

from __future__ import annotations

import ctypes

import pytest

from air.executor import gpus
from air.executor.gpus import Gpu, gpu_resources, kind_of, read_gpus, visible_names

INSTALLED = [
    Gpu("GPU-aaaa1111-0000", "NVIDIA A100-SXM4-80GB"),
    Gpu("GPU-aaaa2222-0000", "NVIDIA A100-SXM4-80GB"),
    Gpu("GPU-bbbb3333-0000", "Tesla T4"),
]


class Nvml:
    """Stands for the library: its functions, called as from C."""

    def __init__(self, devices, failing=""):
        self.devices, self.failing, self.open = devices, failing, 0

    def __getattr__(self, name):
        function = getattr(type(self), f"_{name.removeprefix('nvml').removesuffix('_v2')}")
        return lambda *args: 9 if name == self.failing else function(self, *args)

    def _Init(self):
        self.open += 1
        return 0

    def _Shutdown(self):
        self.open -= 1
        return 0

    def _DeviceGetCount(self, count):
        count._obj.value = len(self.devices)
        return 0

    def _DeviceGetHandleByIndex(self, index, device):
        device._obj.value = 100 + index.value
        return 0

    def _DeviceGetUUID(self, device, text, size):
        return self._write(self.devices[device.value - 100].uuid, text, size)

    def _DeviceGetName(self, device, text, size):
        return self._write(self.devices[device.value - 100].model, text, size)

    def _write(self, value, text, size):
        assert ctypes.sizeof(text) == size.value
        text.value = value.encode()
        return 0


@pytest.fixture
def machine(monkeypatch):
    """A machine with these GPUs and this CUDA_VISIBLE_DEVICES; ``None`` for no driver."""

    def make(installed, visible=None):
        monkeypatch.setattr(gpus, "installed_gpus", lambda: installed)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return gpu_resources()

    return make


def test_what_the_library_tells():
    nvml = Nvml(INSTALLED)
    assert read_gpus(nvml) == INSTALLED
    assert nvml.open == 0
    assert read_gpus(Nvml([])) == []


@pytest.mark.parametrize(
    "failing", ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"]
)
def test_a_library_that_fails_tells_nothing(failing):
    nvml = Nvml(INSTALLED, failing)
    assert read_gpus(nvml) is None
    assert nvml.open == 0


def test_a_model_that_cannot_be_asked_for(machine):
    found = read_gpus(Nvml(INSTALLED, "nvmlDeviceGetName"))
    assert [gpu.model for gpu in found] == [""] * 3
    assert machine(found) == {"GPU": 3}


@pytest.mark.parametrize(
    ("visible", "resources"),
    [
        (None, {"GPU": 3, "accelerator_type:A100": 1, "accelerator_type:T4": 1}),
        ("", {"GPU": 0}),
        ("-1", {"GPU": 0}),
        ("2", {"GPU": 1, "accelerator_type:T4": 1}),
        ("1,0", {"GPU": 2, "accelerator_type:A100": 1}),
        ("0,-1,1", {"GPU": 1, "accelerator_type:A100": 1}),
        ("0,7,1", {"GPU": 1, "accelerator_type:A100": 1}),
        ("0,0", {"GPU": 1, "accelerator_type:A100": 1}),
        (" 0 , 2 ", {"GPU": 2, "accelerator_type:A100": 1, "accelerator_type:T4": 1}),
        ("GPU-bbbb", {"GPU": 1, "accelerator_type:T4": 1}),
        ("GPU-aaaa", {"GPU": 0}),
        ("GPU-aaaa2222-0000,GPU-cccc", {"GPU": 1, "accelerator_type:A100": 1}),
        ("MIG-4c1f", {"GPU": 1}),
        ("all", {"GPU": 0}),
    ],
)
def test_what_cuda_may_see(machine, visible, resources):
    assert machine(INSTALLED, visible) == resources


@pytest.mark.parametrize(
    ("visible", "count"), [("0,1", 2), ("5,GPU-0a1b", 2), ("", 0), ("-1", 0), ("3,-1,4", 1)]
)
def test_without_the_library_what_is_listed_counts(machine, visible, count):
    assert machine(None, visible) == {"GPU": count}


def test_a_machine_without_a_driver(monkeypatch):
    monkeypatch.setattr(gpus.os.path, "exists", lambda path: False)
    monkeypatch.setattr(gpus.ctypes, "CDLL", lambda name: pytest.fail("looked for the library"))
    assert gpus.installed_gpus() is None


def test_a_driver_without_its_library(monkeypatch):
    monkeypatch.setattr(gpus.os.path, "exists", lambda path: True)
    monkeypatch.setattr(gpus, "_NVML", "libno-such-library.so.1")
    assert gpus.installed_gpus() is None


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA GeForce RTX 3090", "3090"),
        ("Quadro", ""),
    ],
)
def test_kinds(model, kind):
    assert kind_of(model) == kind


def test_visible_names(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_names() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-1,,5")
    assert visible_names() == ["4", "GPU-1"]
