from __future__ import annotations

import pytest

from air.data import ActorPoolStrategy, range_table
from air.data.execution.neighbours import Held, Neighbours, needed_for
from air.data.execution.shares import Beside, Share, held_by, share_cluster
from air.data.execution.stages import Stage
from air.data.udf.compute import Compute
from air.errors import Unschedulable
from air.executor.resources import Resources


def tasks(**options):
    return Stage(compute=Compute(options=options))


def pool(smallest=1, largest=None, **options):
    strategy = ActorPoolStrategy(min_size=smallest, max_size=largest)
    return Stage(compute=Compute(pool=strategy, options=options))


def sizes(stages, **supply):
    return [(share.smallest, share.largest) for share in share_cluster(stages, Resources(supply))]


def test_tasks_hold_a_cpu_unless_they_say_otherwise():
    assert share_cluster([tasks()], Resources({"CPU": 2})) == [Share({})]
    assert share_cluster([tasks(num_cpus=2)], Resources({"CPU": 2})) == [Share({"num_cpus": 2})]


def test_pools_that_name_no_resources_get_what_they_want():
    assert sizes([tasks(), pool(3, 5)], CPU=2) == [(0, 0), (3, 5)]
    (share,) = share_cluster([pool(1, 1)], Resources({"CPU": 2}))
    assert share.options == {"scheduling_strategy": "SPREAD"}


def test_a_pool_without_a_size_leaves_a_cpu_for_the_rest():
    assert sizes([pool()], CPU=8) == [(1, 7)]
    assert sizes([pool()], CPU=1) == [(1, 1)]


def test_pools_that_hold_cpus_leave_one_to_the_tasks():
    assert sizes([tasks(), pool(2, 8, num_cpus=1)], CPU=4) == [(0, 0), (2, 3)]
    assert sizes([tasks(num_cpus=2), pool(4, 4, num_cpus=1)], CPU=4) == [(0, 0), (2, 2)]


def test_pools_share_what_there_is():
    assert sizes([pool(1, 9, num_cpus=1), pool(1, 9, num_cpus=1)], CPU=6) == [(1, 3), (1, 3)]
    assert sizes([pool(3, 3, num_cpus=1), pool(1, 1, num_cpus=2)], CPU=4) == [(2, 2), (1, 1)]
    assert sizes([pool(4, 4, num_gpus=1)], CPU=2, GPU=2) == [(2, 2)]


def test_tasks_do_without_a_cpu_where_pools_need_them_all():
    reader, work = share_cluster([tasks(), pool(1, 1, num_cpus=2)], Resources({"CPU": 2}))
    assert reader == Share({"num_cpus": 0})
    assert (work.smallest, work.largest) == (1, 1)


def test_what_can_never_run_together_is_refused():
    with pytest.raises(Unschedulable, match="need more together than the cluster's"):
        sizes([pool(1, 1, num_cpus=2), pool(1, 1, num_cpus=1)], CPU=2)


def test_what_does_not_fit_alone_is_left_for_the_backend_to_refuse():
    assert sizes([pool(2, 2, num_gpus=1), tasks()], CPU=2) == [(2, 2), (0, 0)]


# Segments that run at the same time ----------------------------------------------------------


def beside(stages, others, **supply):
    made = share_cluster(stages, Resources(supply), others)
    return [(share.smallest, share.largest, share.options.get("num_cpus")) for share in made]


def test_pools_leave_room_for_those_of_other_segments():
    two = Resources({"CPU": 2})
    assert beside([pool(4, 4, num_cpus=1)], Beside(held=two), CPU=4) == [(2, 2, 1)]
    assert beside([pool(4, 4, num_cpus=1)], Beside(needed=two), CPU=4) == [(2, 2, 1)]
    assert beside([pool(4, 4, num_cpus=1)], Beside(tasks=True), CPU=4) == [(3, 3, 1)]
    assert beside([pool(1, 1, num_cpus=4)], Beside(tasks=True), CPU=4) == [(1, 1, 4)]
    assert beside([tasks()], Beside(held=two), CPU=2) == [(0, 0, 0)]
    with pytest.raises(Unschedulable, match=r"before and after these: \{'CPU': 2\}"):
        beside([pool(1, 1, num_cpus=1)], Beside(held=two), CPU=2)


def test_what_pools_hold_when_they_have_grown():
    stages = [tasks(), pool(1, 3, num_cpus=1), pool(2, 2), pool(1, 1, num_gpus=0.5)]
    shares = share_cluster(stages, Resources({"CPU": 4, "GPU": 1}))
    assert held_by(stages, shares) == Resources({"CPU": 3, "GPU": 0.5})


class Same:
    def __call__(self, row):
        return row


def mapped(ds, **options):
    return ds.map(Same, concurrency=1, **options)


def test_what_is_needed_for_the_blocks_of_a_step():
    two = mapped(mapped(range_table(4), num_cpus=1), num_gpus=1)
    assert needed_for(two.plan) == Resources({"CPU": 1, "GPU": 1})
    assert needed_for(mapped(two.sort("value"), num_cpus=3).plan) == Resources({"CPU": 3})
    other = mapped(range_table(4), num_cpus=2)
    assert needed_for(two.union(other).limit(3).plan) == Resources({"CPU": 2, "GPU": 1})
    assert needed_for(range_table(4).map(lambda row: row).plan) == Resources()


def test_who_is_beside_whom():
    held = Held(Resources({"CPU": 2}))
    ds = mapped(range_table(4), num_cpus=1)
    place = Neighbours().below(held)
    streams = place.within(ds.limit(2).plan).taking(ds.plan)
    assert streams.beside(True) == Beside(held.resources, Resources({"CPU": 1}), True)
    assert streams.beside(False) == Beside(held.resources)
    late = place.within(ds.sort("value").plan)
    assert late.beside(True) == Beside()
    assert late.beside(False) == Beside(held.resources)
    own = Held(Resources({"CPU": 1}))
    assert late.below(own).beside(True) == Beside(own.resources)
    assert streams.below(own).beside(True) == Beside(Resources({"CPU": 3}))
