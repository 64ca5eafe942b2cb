from __future__ import annotations

import pytest

from air.data import ActorPoolStrategy
from air.data.execution.shares import Share, share_cluster
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
