"""GPUs are numbered slots: whoever asks for some gets its own, and sees no others."""

from __future__ import annotations

import os
from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Gate, Recorder

pytestmark = pytest.mark.usefixtures("cluster")


def seen() -> tuple[list[int], str | None]:
    return air.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")


@air.remote(num_cpus=0, num_gpus=1)
def hold(recorder: Any, gate: Any) -> int:
    found = air.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")
    air.get(recorder.add.remote(found))
    air.get(gate.wait.remote())
    return os.getpid()


@air.remote(num_cpus=0, num_gpus=1)
class Holder:
    def __init__(self) -> None:
        self.at_start = os.environ.get("CUDA_VISIBLE_DEVICES")

    def seen(self) -> tuple[list[int], str | None, str | None]:
        return air.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES"), self.at_start


def test_tasks_at_the_same_time_have_different_ones() -> None:
    gate, recorder = Gate.remote(), Recorder.remote()
    refs = [hold.remote(recorder, gate) for _ in range(4)]
    value(gate.arrived.remote(2))
    assert sorted(value(recorder.items.remote())) == [([0], "0"), ([1], "1")]
    value(gate.open.remote())
    value(refs)
    assert sorted(value(recorder.items.remote())) == [([0], "0")] * 2 + [([1], "1")] * 2


def test_fractions_share_one() -> None:
    gate, recorder = Gate.remote(), Recorder.remote()
    refs = [hold.options(num_gpus=0.5).remote(recorder, gate) for _ in range(4)]
    value(gate.arrived.remote(4))
    value(gate.open.remote())
    value(refs)
    assert sorted(value(recorder.items.remote())) == [([0], "0")] * 2 + [([1], "1")] * 2


def test_an_actor_sees_its_own_from_its_constructor_on() -> None:
    holders = [Holder.remote() for _ in range(2)]
    found = sorted(value([holder.seen.remote() for holder in holders]))
    assert found == [([0], "0", "0"), ([1], "1", "1")]
    del holders
    both = Holder.options(num_gpus=2).remote()
    assert value(both.seen.remote()) == ([0, 1], "0,1", "0,1")


def test_a_bundle_of_a_placement_group() -> None:
    group = air.util.placement_group([{"GPU": 1}, {"GPU": 1}])
    assert group.wait(30)
    strategy = air.util.scheduling_strategies.PlacementGroupSchedulingStrategy
    holders = [
        Holder.options(scheduling_strategy=strategy(group, placement_group_bundle_index=i)).remote()
        for i in range(2)
    ]
    found = sorted(value([holder.seen.remote() for holder in holders]))
    assert found == [([0], "0", "0"), ([1], "1", "1")]
    air.util.remove_placement_group(group)


def test_no_worker_is_used_again_that_may_have_initialized_others() -> None:
    gate, recorder = Gate.remote(), Recorder.remote()
    value(gate.open.remote())
    pids = [value(hold.remote(recorder, gate)) for _ in range(2)]
    plain = [value(air.remote(os.getpid).remote()) for _ in range(4)]
    # One lease may serve several tasks in a row: it has the same GPUs all the time.
    ids = [gpu for (gpu,), _ in value(recorder.items.remote())]
    assert len(set(pids)) >= len(set(ids))
    assert not set(pids) & set(plain)


def test_who_holds_none_sees_none() -> None:
    assert value(air.remote(seen).remote()) == ([], "")
    assert value(Holder.options(num_gpus=0).remote().seen.remote()) == ([], "", "")
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "", "the program itself sees what it did"


def test_a_node_without_gpus_leaves_the_environment_alone(program: Any) -> None:
    running = program(
        """
        os.environ["CUDA_VISIBLE_DEVICES"] = "3"
        start(num_gpus=0)
        tell(air.get(air.remote(lambda: os.environ["CUDA_VISIBLE_DEVICES"]).remote()))
        """
    )
    assert running.hear() == "3"


def test_slots_are_counted_by_place() -> None:
    @air.remote(num_gpus=1)
    def order() -> str | None:
        return os.environ.get("CUDA_DEVICE_ORDER")

    assert value(order.remote()) == "PCI_BUS_ID"


def test_a_program_that_was_given_some_hands_these_on(program: Any) -> None:
    running = program(
        """
        os.environ["CUDA_VISIBLE_DEVICES"] = "5,GPU-0a1b2c3d"
        start()

        @air.remote(num_gpus=1)
        class Holder:
            def seen(self):
                return air.get_gpu_ids(), os.environ["CUDA_VISIBLE_DEVICES"]

        holders = [Holder.remote() for _ in range(2)]
        tell(air.cluster_resources()["GPU"])
        tell(sorted(air.get([holder.seen.remote() for holder in holders])))
        """
    )
    assert running.hear() == 2
    assert running.hear() == [[[0], "5"], [[1], "GPU-0a1b2c3d"]]
