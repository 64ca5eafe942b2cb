"""The functions that a person types: what they refuse, and in which words."""

from __future__ import annotations

import functools

import pytest

import air
from air.core.placement_group import PlacementGroup
from air.errors import InvalidOption, NotInitialized
from air.executor.code import methods_of


@air.remote
def double(number):
    """Twice the number."""
    return 2 * number


@air.remote
class Box:
    """Holds a thing."""

    def __init__(self, thing=None):
        self.thing = thing

    def get(self):
        return self.thing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_cpu": 1}, "Did you mean 'num_cpus'"),
        ({"num_cpus": -1}, "num_cpus must be a number >= 0, got -1"),
        ({"num_cpus": 0.00001}, "num_cpus must be 0 or at least 0.0001, got 1e-05"),
        ({"num_gpus": "all"}, "num_gpus"),
        ({"resources": {"CPU": 2}}, "use num_cpus="),
        ({"labels": {"zone": 1}}, "labels['zone'] must be text, got 1"),
        ({"object_store_memory": 0.5}, "object_store_memory"),
        ({"labels": {"": "a"}}, "a key of labels"),
        ({"num_gpus": 1.5}, "num_gpus must be a whole number"),
        ({"num_gpus": 10**9}, "<= 1024, got 1000000000"),
        ({"local_mode": True}, "use backend='local'"),
        ({"namespace": ""}, "namespace"),
        ({"address": 1234}, "address must be 'HOST:PORT'"),
        ({"address": ""}, "address must be 'HOST:PORT'"),
        ({"backend": 1}, "backend must be non-empty text"),
        ({"backend": ""}, "backend must be non-empty text"),
        ({"address": "nowhere"}, "address must be 'HOST:PORT' or 'auto', got 'nowhere'"),
        ({"address": "host:port"}, "address must be 'HOST:PORT' or 'auto', got 'host:port'"),
        ({"backend": "clutser"}, "Did you mean 'cluster'"),
    ],
    ids=str,
)
def test_init_checks_its_arguments(options, message):
    with pytest.raises(InvalidOption) as caught:
        air.init(**options)
    assert message in str(caught.value)
    assert not air.is_initialized()


def test_shutdown_without_start():
    air.shutdown()
    air.shutdown()


def test_remote_keeps_the_looks():
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the number."
    assert Box.__doc__ == "Holds a thing."
    assert "double" in repr(double)
    assert "Box" in repr(Box)


def test_remote_takes_functions_and_classes():
    with pytest.raises(TypeError, match="takes a function or a class, got int"):
        air.remote(3)
    with pytest.raises(TypeError, match="is remote already"):
        air.remote(double)
    with pytest.raises(TypeError, match="function or class alone, or keyword options"):
        air.remote(2, num_cpus=1)
    with pytest.raises(InvalidOption, match="Did you mean 'num_cpus'"):
        air.remote(num_cpu=1)
    with pytest.raises(InvalidOption, match="a task has no option 'max_restarts'"):
        air.remote(max_restarts=1)(lambda: None)
    with pytest.raises(InvalidOption, match="an actor has no option 'num_returns'"):
        air.remote(num_returns=1)(type("Some", (), {}))


def test_remote_things_are_not_called():
    with pytest.raises(TypeError, match=r"double\.remote"):
        double(1)
    with pytest.raises(TypeError, match=r"Box\.remote"):
        Box()


def test_remote_things_can_be_sent(air_local):
    @air.remote
    def use(function, cls):
        return air.get(function.remote(2)), air.get(cls.remote("x").get.remote())

    assert air.get(use.remote(double, Box)) == (4, "x")


def test_options_add_up(air_local):
    changed = double.options(name="twice").options(num_cpus=0)
    assert air.get(changed.remote(2)) == 4
    assert Box.options(num_cpus=2).options(name="box").actor_options.resources["CPU"] == 2


def test_actor_names_are_checked(air_local):
    for name, namespace in (("", None), ("a", ""), ("a", 3), (3, None), ("\ud800", None)):
        with pytest.raises(InvalidOption, match="text"):
            air.get_actor(name, namespace)


def test_names_of_arguments(air_local):
    ref = double.remote(1)
    assert air.get(object_refs=ref, timeout=None) == 2
    assert air.wait(object_refs=[ref], num_returns=1, timeout=None, fetch_local=True) == ([ref], [])
    air.cancel(object_ref=ref, force=False, recursive=True)
    assert air.get(air.put(value=1)) == 1


def test_keywords_may_have_any_name(air_local):
    @air.remote
    def show(self, **more):
        return self, more

    @air.remote
    class Show:
        def show(this, self, **more):
            return self, more

    expected = (1, {"function": 2, "not a name": 3})
    assert air.get(show.remote(self=1, **expected[1])) == expected
    assert air.get(Show.remote().show.remote(self=1, **expected[1])) == expected


def test_actor_classes_are_not_subclassed():
    with pytest.raises(TypeError, match="Box is an actor class, which cannot be subclassed"):

        class Crate(Box):
            pass


def test_which_attributes_are_methods(air_local):
    class Refuses:
        def __get__(self, instance, owner):
            raise RuntimeError("only for instances")

    class Base:
        number = 3
        kind = int
        refuses = Refuses()

        @property
        def size(self):
            raise AssertionError("must not be looked at")

        @functools.cached_property
        def cached(self):
            return 1

        @functools.singledispatchmethod
        def dispatched(self, item):
            return "anything"

        def plain(self, item):
            return item

        partial = functools.partialmethod(plain, 5)
        removed = plain

    class Derived(Base):
        removed = None

    assert list(methods_of(Derived)) == ["dispatched", "partial", "plain"]
    empty = air.remote(type("Empty", (), {})).remote()
    with pytest.raises(AttributeError, match="Methods are: none"):
        empty.work.remote()


def test_users_methods_may_have_the_names_of_private_attributes(air_local):
    @air.remote
    class Player:
        def _actor(self):
            return "actor"

        def _release(self):
            return "release"

        def options(self):
            return "options"

    player = Player.remote()
    assert air.get([player._actor.remote(), player._release.remote()]) == ["actor", "release"]
    assert air.get(player.options.remote()) == "options"


def test_handles_show_what_they_have(air_local):
    box = Box.remote()
    assert dir(box) == ["get"]
    assert "Box" in repr(box)
    assert "Box.get" in repr(box.get)
    assert not hasattr(box, "__len__")
    with pytest.raises(AttributeError, match="Methods are: 'get'"):
        box.put.remote()


def test_what_remote_gives(air_local):
    ref = double.remote(1)
    assert isinstance(ref, air.ObjectRef)
    assert repr(ref) == f"ObjectRef({ref.hex()})"
    assert double.options(num_returns=0).remote(1) is None
    assert len(double.options(num_returns=2).remote((1, 2))) == 2


def test_context_outside(air_local):
    context = air.get_runtime_context()
    assert context.get_task_id() is None
    assert not context.should_capture_child_tasks_in_placement_group
    assert "ContextInfo" in repr(context)


def test_placement_group_lookups(air_local):
    with pytest.raises(ValueError, match=r"'none'.*Named ones: none"):
        air.util.get_placement_group("none")
    group = air.util.placement_group([{"CPU": 1}], name="some")
    assert group.id in repr(group)
    assert group == air.util.get_placement_group("some")
    assert len({group, air.util.get_placement_group("some")}) == 1
    assert air.util.placement_group_table()[group.id]["name"] == "some"
    with pytest.raises(InvalidOption, match="timeout_seconds"):
        group.wait(-1)


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda: air.get([], timout=1), "timeout"),
        (lambda: air.wait([], num_return=1), "num_returns"),
        (lambda: air.put(valeu=1), "value"),
        (lambda: air.kill(None, no_restar=True), "no_restart"),
        (lambda: air.util.ActorPool(actor=[]), "actors"),
        (lambda: air.util.queue.Queue(max_size=1), "maxsize"),
        (lambda: air.get_actor("a", name_space="x"), "namespace"),
        (lambda: air.util.placement_group([{"CPU": 1}], strat="PACK"), "strategy"),
        (
            lambda: air.util.scheduling_strategies.NodeAffinitySchedulingStrategy("a", sof=True),
            "soft",
        ),
    ],
)
def test_misspelt_arguments_are_answered_with_the_nearest(call, nearest):
    with pytest.raises(InvalidOption, match=f"Did you mean '{nearest}'"):
        call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: air.init(log_to_driver="x"), InvalidOption, "log_to_driver must be True or"),
        (lambda: air.init(ignore_reinit_error=3), InvalidOption, "ignore_reinit_error must be"),
        (lambda: air.util.remove_placement_group(4), TypeError, "takes a PlacementGroup, got 4"),
        (lambda: air.util.placement_group_table("a"), TypeError, "takes a PlacementGroup, got 'a'"),
        (lambda: air.util.get_placement_group(3), InvalidOption, "must be non-empty text, got 3"),
        (lambda: air.util.placement_group([{"": 1}]), InvalidOption, "a key of bundle 0"),
        (lambda: air.wait([], fetch_local=1), InvalidOption, "fetch_local must be True or"),
        (
            lambda: air.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
                PlacementGroup(b"", [{"CPU": 1}]), 0, "yes"
            ),
            InvalidOption,
            "capture_child_tasks must be True or False",
        ),
        (
            lambda: air.remote(max_pending_calls=0)(type("Some", (), {})),
            InvalidOption,
            "with 0 nobody could call",
        ),
        (lambda: air.method(len), InvalidOption, r"@air\.method\(num_returns=2\)"),
        (lambda: air.util.placment_group, AttributeError, "Did you mean 'placement_group'"),
    ],
)
def test_values_of_wrong_kinds_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not air.is_initialized()


def test_shutdown_that_is_refused_leaves_the_backend_running(air_local):
    @air.remote
    def end():
        air.shutdown()

    with pytest.raises(RuntimeError, match=r"air\.shutdown\(\) is for the program"):
        air.get(end.remote())
    assert air.is_initialized()


def test_handles_of_an_ended_backend_start_no_other(monkeypatch):
    monkeypatch.setenv("AIR_BACKEND", "local")
    air.init(backend="local")
    box, ref = Box.remote(), double.remote(1)
    air.shutdown()
    for use in (
        lambda: air.kill(box),
        lambda: box.get.remote(),
        lambda: air.get(ref),
        lambda: air.wait([ref]),
        lambda: air.cancel(ref),
        lambda: ref.future(),
    ):
        with pytest.raises(NotInitialized):
            use()
        assert not air.is_initialized()


def test_get_of_a_stream_says_to_iterate(air_local):
    @air.remote(num_returns="streaming")
    def numbers():
        yield 1

    with pytest.raises(TypeError, match="got ObjectRefGenerator; iterate over it"):
        air.get(numbers.remote())
