"""Tensors of torch through shared memory; ``make test-torch`` runs this with torch installed."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value

torch: Any = pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("cluster")]

MB = 1 << 20


def in_memory(tensor: Any) -> int:
    """Bytes of this process's own memory that lie under a tensor: those that it has written."""
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    private = here = 0
    with open("/proc/self/smaps") as file:
        for line in file:
            name, _, rest = line.partition(" ")
            if "-" in name and not name.endswith(":"):
                low, _, high = name.partition("-")
                here = int(low, 16) < end and int(high, 16) > start
            elif here and name == "Anonymous:":
                private += int(rest.split()[0]) << 10
    return private


@air.remote
def make(count: int) -> Any:
    return torch.arange(count, dtype=torch.float32)


@air.remote
def change(tensor: Any) -> float:
    tensor += 1
    return float(tensor.sum())


def test_a_tensor_is_mapped_and_not_copied() -> None:
    found = value(make.remote(8 * MB))
    assert float(found.double().sum()) == sum(range(8 * MB))
    assert in_memory(found) < MB
    found[:MB] = -1.0
    assert 4 * MB <= in_memory(found) < 6 * MB


def test_each_reader_may_write_and_is_alone_with_it() -> None:
    ones = air.put(torch.ones(1000, 1000))
    mine = value(ones)
    mine.zero_()
    assert value([change.remote(ones), change.remote(ones)]) == [2_000_000, 2_000_000]
    assert value(ones).sum() == 1_000_000
    assert mine.sum() == 0


def test_a_module_trains_on_what_it_was_sent_as() -> None:
    torch.manual_seed(1)
    module = torch.nn.Linear(600, 600)
    sent = value(air.put(module))
    assert torch.equal(sent.weight, module.weight)
    optimizer = torch.optim.SGD(sent.parameters(), lr=0.1)
    sent(torch.ones(4, 600)).sum().backward()
    optimizer.step()
    assert not torch.equal(sent.weight, module.weight)


@pytest.mark.parametrize(
    "make_part",
    [
        lambda t: t.t(), lambda t: t[:, ::2], lambda t: t[5], lambda t: t > 3,
        lambda t: t.to(torch.bfloat16), lambda t: torch.complex(t, t),
        lambda t: t.expand(2, -1, -1),
        lambda t: t.clone().requires_grad_(), lambda t: t.view(100, 100, 100).permute(2, 0, 1),
    ],
)  # fmt: skip
def test_all_kinds_come_back(make_part: Callable[[Any], Any]) -> None:
    part = make_part(torch.arange(1_000_000.0).reshape(1000, 1000))
    back = value(air.put(part))
    assert (back.dtype, back.shape, back.requires_grad) == (
        part.dtype, part.shape, part.requires_grad,
    )  # fmt: skip
    assert torch.equal(back, part)


def test_thousands_take_neither_descriptors_nor_room_for_ever() -> None:
    stored = air.put(torch.ones(100_000))
    before = len(os.listdir("/proc/self/fd"))
    kept = [value(stored) for _ in range(2000)]
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    del stored, kept
    gc.collect()
    again = value(air.put(torch.zeros(200_000)))
    assert again.sum() == 0
