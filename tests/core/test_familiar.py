"""Programs of other toolkits move over: the same names, arguments, kinds and defaults."""

from __future__ import annotations

import importlib
import inspect

import pytest

import air
from air.core.runtime_context import RuntimeContext
from air.util import ActorPool, queue
from air.util import placement_group as make_group

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
BY_NAME = inspect.Parameter.KEYWORD_ONLY
NEEDED = inspect.Parameter.empty
TIME = {"timeout": None}
BLOCKING = {"block": True, "timeout": None}
NEXT = {"timeout": None, "ignore_if_timedout": False}
GROUP = {"bundles": NEEDED, "strategy": "PACK", "name": "", "lifetime": None}
OF_SERIALIZER = {"serializer": NEEDED, "deserializer": NEEDED}
INSPECT = {"base_obj": NEEDED, "name": None, "depth": 3, "print_file": None}
STRATEGY = {
    "placement_group": NEEDED,
    "placement_group_bundle_index": -1,
    "placement_group_capture_child_tasks": None,
}
INIT = {
    "num_cpus": None,
    "num_gpus": None,
    "resources": None,
    "labels": None,
    "object_store_memory": None,
    "ignore_reinit_error": False,
    "log_to_driver": True,
    "configure_logging": True,
    "logging_level": "info",
    "logging_format": None,
    "namespace": None,
    "runtime_env": None,
}
RUNTIME_ENV = {
    "py_modules": None,
    "working_dir": None,
    "pip": None,
    "env_vars": None,
    "config": None,
}
LIST = {
    "address": None,
    "filters": None,
    "limit": 100,
    "timeout": 30,
    "detail": False,
    "raise_on_missing_output": True,
}
SUMMARIZE = {"address": None, "timeout": 30, "raise_on_missing_output": True}
OF_ONE = {"id": NEEDED, "address": None, "timeout": 30}
WAIT = {"num_returns": 1, "timeout": None, "fetch_local": True}


@pytest.mark.parametrize(
    ("path", "positional", "by_name"),
    [
        ("air.available_resources", {}, {}),
        ("air.cancel", {"object_ref": NEEDED}, {"force": False, "recursive": True}),
        ("air.cluster_resources", {}, {}),
        ("air.get", {"object_refs": NEEDED}, TIME),
        ("air.get_actor", {"name": NEEDED, "namespace": None}, {}),
        ("air.get_gpu_ids", {}, {}),
        ("air.get_runtime_context", {}, {}),
        ("air.init", {"address": None}, INIT),
        ("air.is_initialized", {}, {}),
        ("air.kill", {"actor": NEEDED}, {"no_restart": True}),
        ("air.nodes", {}, {}),
        ("air.put", {"value": NEEDED}, {}),
        ("air.shutdown", {}, {}),
        ("air.timeline", {"filename": None}, {}),
        ("air.wait", {"object_refs": NEEDED}, WAIT),
        ("air.runtime_env.RuntimeEnv", {}, RUNTIME_ENV),
        ("air.runtime_env.RuntimeEnvConfig", {"setup_timeout_seconds": 600}, {}),
        ("air.util.ActorPool", {"actors": NEEDED}, {}),
        ("air.util.ActorPool.get_next", NEXT, {}),
        ("air.util.ActorPool.get_next_unordered", NEXT, {}),
        ("air.util.ActorPool.has_free", {}, {}),
        ("air.util.ActorPool.has_next", {}, {}),
        ("air.util.ActorPool.map", {"fn": NEEDED, "values": NEEDED}, {}),
        ("air.util.ActorPool.map_unordered", {"fn": NEEDED, "values": NEEDED}, {}),
        ("air.util.ActorPool.pop_idle", {}, {}),
        ("air.util.ActorPool.push", {"actor": NEEDED}, {}),
        ("air.util.ActorPool.submit", {"fn": NEEDED, "value": NEEDED}, {}),
        ("air.util.deregister_serializer", {"cls": NEEDED}, {}),
        ("air.util.get_current_placement_group", {}, {}),
        ("air.util.get_node_ip_address", {"address": "8.8.8.8:53"}, {}),
        ("air.util.get_placement_group", {"placement_group_name": NEEDED}, {}),
        ("air.util.inspect_serializability", INSPECT, {}),
        ("air.util.list_named_actors", {"all_namespaces": False}, {}),
        ("air.util.placement_group", GROUP, {}),
        ("air.util.placement_group_table", {"placement_group": None}, {}),
        ("air.util.register_serializer", {"cls": NEEDED}, OF_SERIALIZER),
        ("air.util.remove_placement_group", {"placement_group": NEEDED}, {}),
        *[
            (f"air.util.state.list_{kind}", LIST, {})
            for kind in ("actors", "nodes", "objects", "placement_groups", "tasks", "workers")
        ],
        *[
            (f"air.util.state.get_{kind}", OF_ONE, {})
            for kind in ("actor", "node", "objects", "placement_group", "task", "worker")
        ],
        *[
            (f"air.util.state.summarize_{kind}", SUMMARIZE, {})
            for kind in ("actors", "objects", "tasks")
        ],
        ("air.util.queue.Queue", {"maxsize": 0, "actor_options": None}, {}),
        ("air.util.queue.Queue.empty", {}, {}),
        ("air.util.queue.Queue.full", {}, {}),
        ("air.util.queue.Queue.get", BLOCKING, {}),
        ("air.util.queue.Queue.get_async", BLOCKING, {}),
        ("air.util.queue.Queue.get_nowait", {}, {}),
        ("air.util.queue.Queue.get_nowait_batch", {"num_items": NEEDED}, {}),
        ("air.util.queue.Queue.put", {"item": NEEDED, **BLOCKING}, {}),
        ("air.util.queue.Queue.put_async", {"item": NEEDED, **BLOCKING}, {}),
        ("air.util.queue.Queue.put_nowait", {"item": NEEDED}, {}),
        ("air.util.queue.Queue.put_nowait_batch", {"items": NEEDED}, {}),
        ("air.util.queue.Queue.qsize", {}, {}),
        ("air.util.queue.Queue.shutdown", {"force": False, "grace_period_s": 5}, {}),
        ("air.util.queue.Queue.size", {}, {}),
        ("air.util.placement_group:PlacementGroup.ready", {}, {}),
        ("air.util.placement_group:PlacementGroup.wait", {"timeout_seconds": 30}, {}),
        ("air.util.placement_group:PlacementGroupSchedulingStrategy", STRATEGY, {}),
        ("air.util.scheduling_strategies.PlacementGroupSchedulingStrategy", STRATEGY, {}),
        (
            "air.util.scheduling_strategies.NodeAffinitySchedulingStrategy",
            {"node_id": NEEDED, "soft": NEEDED},
            {},
        ),
        (
            "air.util.scheduling_strategies.NodeLabelSchedulingStrategy",
            {"hard": NEEDED, "soft": None},
            {},
        ),
    ],
)
def test_arguments(path, positional, by_name):
    module, _, rest = path.partition(":")
    found = importlib.import_module(module) if rest else air
    for name in (rest or path.removeprefix("air.")).split("."):
        owner, found = found, getattr(found, name)
    parameters = list(inspect.signature(found).parameters.values())
    if inspect.isclass(owner):
        parameters = parameters[1:]
    given = [p for p in parameters if p.kind is POSITIONAL]
    assert {p.name: p.default for p in given} == positional
    assert [p.name for p in given] == list(positional), "in this order"
    optional = {p.name: p.default for p in parameters if p.kind is BY_NAME}
    assert optional.items() >= by_name.items()


def test_names_of_runtime_contexts():
    for name in (
        "current_actor get_actor_id get_assigned_resources get_job_id get_node_id"
        " get_placement_group_id get_runtime_env_string get_task_id get_worker_id namespace"
        " runtime_env"
        " should_capture_child_tasks_in_placement_group was_current_actor_reconstructed"
    ).split():
        assert hasattr(RuntimeContext, name)


def test_placement_groups_are_a_function_and_a_module():
    import air.util.placement_group

    assert air.util.placement_group is make_group
    assert callable(make_group)
    assert issubclass(queue.Empty, Exception)
    assert ActorPool.__module__ == "air.util.actor_pool"
