"""What containers are given, read from files as the kernel writes them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from air.executor import machine
from air.executor.cgroups import cpu_limit, memory_groups, process_limit


class Kernel:
    """Its files, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "cgroup"
        self.membership = directory / "membership"

    def write(self, path: str, content: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    @property
    def arguments(self) -> tuple[str, str]:
        return str(self.root), str(self.membership)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_version_2_with_the_limit_on_an_outer_group(kernel: Kernel) -> None:
    kernel.membership.write_text("0::/pod/app\n")
    kernel.write("pod/app/memory.max", "max\n")
    kernel.write("pod/memory.max", "1000000\n")
    kernel.write("pod/memory.current", "500000\n")
    kernel.write("pod/memory.stat", "anon 1\nactive_file 7\ninactive_file 100000\n")
    [group] = memory_groups(*kernel.arguments)
    assert group.limit == 1000000
    assert group.used() == 400000


def test_version_1(kernel: Kernel) -> None:
    kernel.membership.write_text("3:cpu,cpuacct:/a\n4:memory:/a\n")
    kernel.write("memory/a/memory.limit_in_bytes", "2000\n")
    kernel.write("memory/a/memory.usage_in_bytes", "1500\n")
    kernel.write("memory/a/memory.stat", "total_inactive_file 2000\n")
    kernel.write("memory/memory.limit_in_bytes", "9223372036854771712\n")
    kernel.write("cpu/a/cpu.cfs_quota_us", "250000\n")
    kernel.write("cpu/a/cpu.cfs_period_us", "100000\n")
    [group] = memory_groups(*kernel.arguments)
    assert group.limit == 2000
    assert group.used() == 0
    assert cpu_limit(*kernel.arguments) == 2.5


def test_processes_and_threads(kernel: Kernel) -> None:
    kernel.membership.write_text("0::/pod/app\n")
    kernel.write("pod/app/pids.max", "max\n")
    assert process_limit(*kernel.arguments) == math.inf
    kernel.write("pod/pids.max", "500\n")
    assert process_limit(*kernel.arguments) == 500
    kernel.membership.write_text("7:pids:/b\n")
    kernel.write("pids/b/pids.max", "30\n")
    assert process_limit(*kernel.arguments) == 30


def test_inside_a_container_its_own_part_is_at_the_top(kernel: Kernel) -> None:
    kernel.membership.write_text("0::/../../somewhere/else\n")
    kernel.write("memory.max", "3000\n")
    kernel.write("cpu.max", "50000 100000\n")
    assert [group.limit for group in memory_groups(*kernel.arguments)] == [3000]
    assert cpu_limit(*kernel.arguments) == 0.5


@pytest.mark.parametrize("content", ["max 100000\n", "", "no number\n"])
def test_no_limit(kernel: Kernel, content: str) -> None:
    kernel.membership.write_text("0::/\n")
    kernel.write("cpu.max", content)
    kernel.write("memory.max", content)
    assert cpu_limit(*kernel.arguments) == math.inf
    assert memory_groups(*kernel.arguments) == []


def test_a_kernel_without_groups(kernel: Kernel) -> None:
    assert cpu_limit(*kernel.arguments) == math.inf
    assert memory_groups(*kernel.arguments) == []


def test_the_machine_offers_no_more_than_its_container(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.membership.write_text("0::/\n")
    kernel.write("memory.max", "3000000\n")
    kernel.write("cpu.max", "150000 100000\n")
    kernel.write("memory.current", "0\n")
    monkeypatch.setattr(machine, "memory_groups", lambda: memory_groups(*kernel.arguments))
    monkeypatch.setattr(machine, "cpu_limit", lambda: 1.5)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert machine.memory_bytes() == 3000000
    assert machine.count_cpus() == 2
