"""Actors and placement groups that outlive the program which made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import air
from air.errors import (
    ActorDied,
    ActorPlacementError,
    DeadlockError,
    OwnerDied,
    RuntimeEnvSetupError,
    SerializationError,
)
from air.testing.executor_suite.harness import eventually
from air.util.placement_group import (
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from .conftest import Machines
from .hosts import Host
from .test_commands import head_of

SPACE = "tests"


@air.remote
class Child:
    def get(self) -> int:
        return 7


@air.remote
class Tally:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1

    def get(self) -> int:
        return self.count


@air.remote(num_cpus=0)
def make_child(name: str) -> int:
    return air.get(Child.options(name=name).remote().get.remote())


@air.remote(max_restarts=-1)
class Keeper:
    def __init__(self, data: Any, nested: list[Any]) -> None:
        self.data = data
        self.nested = nested
        self.kept: list[Any] = []

    def total(self) -> float:
        return float(self.data.sum())

    def read(self) -> Any:
        return air.get(self.nested[0])

    def where(self) -> tuple[str, int]:
        return air.get_runtime_context().get_node_id(), os.getpid()

    def me(self) -> Any:
        return air.get_runtime_context().current_actor

    def children(self) -> None:
        self.kept = [Child.remote(), Child.options(name="child").remote()]
        air.get([child.get.remote() for child in self.kept])
        air.get(make_child.remote("grandchild"))
        placement_group([{"CPU": 0.1}], name="childs")

    def restarted(self) -> bool:
        return air.get_runtime_context().was_current_actor_reconstructed

    def die(self) -> None:
        os._exit(1)


@pytest.fixture
def one(machines: Machines) -> Machines:
    machines.start(num_cpus=2)
    machines.join(namespace=SPACE)
    return machines


def again(machines: Machines, **options: Any) -> None:
    """Be another program from now on."""
    air.shutdown()
    machines.join(**{"namespace": SPACE, **options})


def value(ref: Any) -> Any:
    return air.get(ref, timeout=30)


def test_an_actor_and_what_it_was_given_outlive_their_program(one: Machines) -> None:
    given = air.put(np.ones(100_000))
    keeper = Keeper.options(name="keeper", lifetime="detached").remote(given, [air.put("here")])
    plain = Child.options(name="plain").remote()
    assert value([keeper.total.remote(), plain.get.remote()]) == [100_000, 7]
    again(one)
    assert eventually(lambda: air.util.list_named_actors() == ["keeper"])
    keeper = air.get_actor("keeper")
    assert value(keeper.total.remote()) == 100_000
    assert value(keeper.me.remote()) == keeper
    assert value(air.remote(lambda actor: value(actor.total.remote())).remote(keeper)) == 100_000
    with pytest.raises(ActorDied):
        value(keeper.die.remote())
    # What it was given by value or by a reference is kept for it; what references stand for that
    # lay deeper is not.
    assert value([keeper.total.remote(), keeper.restarted.remote()]) == [100_000, True]
    with pytest.raises(OwnerDied):
        value(keeper.read.remote())
    air.kill(keeper)
    with pytest.raises(ActorDied):
        value(keeper.total.remote())
    with pytest.raises(ValueError, match="no living actor is named 'keeper'"):
        air.get_actor("keeper")


@pytest.mark.parametrize("keeps", [False, True])
def test_what_it_has_read_before_is_lost_with_its_owner_too(one: Machines, keeps: bool) -> None:
    @air.remote
    class Reader:
        def __init__(self, given: list[Any]) -> None:
            self.given = given
            self.kept: list[Any] = []

        def read(self) -> float:
            found = air.get(self.given)
            if keeps:
                self.kept += found
            return float(sum(each.sum() for each in found))

        def kept_total(self) -> float:
            return float(sum(each.sum() for each in self.kept))

    made = air.remote(lambda: np.ones(100_000)).remote()
    given = [air.put(np.ones(100_000)), made]
    reader = Reader.options(name="reader", lifetime="detached").remote(given)
    assert value(reader.read.remote()) == 200_000
    again(one)
    reader = air.get_actor("reader")
    for _ in range(2):
        with pytest.raises(OwnerDied, match=r"process that owned .* ended"):
            value(reader.read.remote())
    assert value(reader.kept_total.remote()) == (200_000 if keeps else 0)
    air.kill(reader)


def test_it_owns_what_it_makes(one: Machines) -> None:
    keeper = Keeper.options(name="keeper", lifetime="detached").remote(None, [])
    value(keeper.children.remote())
    again(one)
    names = ["child", "grandchild", "keeper"]
    assert air.util.list_named_actors() == names
    assert value(air.get_actor("child").get.remote()) == 7
    assert get_placement_group("childs").wait(30)
    with pytest.raises(ActorDied):
        value(air.get_actor("keeper").die.remote())
    assert eventually(lambda: air.util.list_named_actors() == ["keeper"])
    assert eventually(lambda: not _groups())
    value(air.get_actor("keeper").children.remote())
    assert air.util.list_named_actors() == names
    air.kill(air.get_actor("keeper"))
    assert eventually(lambda: air.util.list_named_actors() == [])
    assert eventually(lambda: not _groups())
    assert eventually(lambda: air.available_resources() == air.cluster_resources())


def test_without_a_name_it_lives_where_a_handle_is_kept(one: Machines) -> None:
    keeper = Keeper.options(lifetime="detached").remote(np.ones(2), [])
    other = Keeper.options(name="other", lifetime="detached").remote(keeper, [])
    pid = value(keeper.where.remote())[1]
    assert value(other.where.remote())
    again(one)

    @air.remote
    def ask(actor: Any) -> Any:
        return value(value(actor.me.remote()).where.remote())

    other = air.get_actor("other")
    assert value(ask.remote(other)) != pid
    with pytest.raises(ActorDied):
        value(other.die.remote())
    assert value(other.restarted.remote())
    os.kill(pid, 0)  # it lives


def test_its_arguments_are_refused_if_they_are_too_large(one: Machines) -> None:
    large = np.zeros(130 << 20, np.uint8)
    with pytest.raises(SerializationError, match="no more than 128 MiB"):
        Keeper.options(lifetime="detached").remote(large, [])


def test_an_argument_with_an_error_fails_the_constructor(one: Machines) -> None:
    @air.remote
    def fail() -> None:
        raise KeyError("no")

    keeper = Keeper.options(name="failed", lifetime="detached").remote(fail.remote(), [])
    with pytest.raises(ActorDied) as caught:
        value(keeper.total.remote())
    assert isinstance(caught.value.__cause__, KeyError)
    assert air.util.list_named_actors() == []


def test_an_argument_that_its_maker_has_yet_to_make(one: Machines) -> None:
    @air.remote
    class Maker:
        def two(self) -> Any:
            return np.ones(2)

        def make(self) -> None:
            me = air.get_runtime_context().current_actor
            Keeper.options(lifetime="detached").remote(me.two.remote(), [])

    with pytest.raises(DeadlockError):
        value(Maker.remote().make.remote())


def test_names_of_other_namespaces(one: Machines) -> None:
    Keeper.options(name="keeper", lifetime="detached").remote(None, [])
    Keeper.options(name="keeper", namespace="else", lifetime="detached").remote(None, [])
    group = placement_group([{"CPU": 1}], name="group", lifetime="detached")
    again(one, namespace=None)
    mine = air.get_runtime_context().namespace
    assert mine not in (SPACE, "else")
    assert air.util.list_named_actors() == []
    assert air.util.list_named_actors(all_namespaces=True) == [
        {"name": "keeper", "namespace": "else"},
        {"name": "keeper", "namespace": SPACE},
    ]
    with pytest.raises(ValueError, match="'keeper' in namespace 'anonymous-"):
        air.get_actor("keeper")
    with pytest.raises(ValueError, match="'group' in namespace 'anonymous-"):
        get_placement_group("group")
    placement_group([{"CPU": 1}], name="group")
    for namespace in ("else", SPACE):
        air.kill(air.get_actor("keeper", namespace))
    again(one)
    assert get_placement_group("group") == group
    remove_placement_group(group)


def test_a_group_outlives_its_program(one: Machines) -> None:
    placement_group([{"CPU": 1}], name="stays", lifetime="detached")
    placement_group([{"CPU": 1}], name="goes")
    again(one)
    assert eventually(lambda: _groups() == ["stays"])
    group = get_placement_group("stays")
    assert group.wait(30)
    inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    keeper = Keeper.options(
        name="keeper", lifetime="detached", num_cpus=1, scheduling_strategy=inside
    ).remote(np.ones(3), [])
    assert value(keeper.total.remote()) == 3
    again(one)
    keeper = air.get_actor("keeper")
    assert value(keeper.total.remote()) == 3
    remove_placement_group(get_placement_group("stays"))
    assert eventually(lambda: air.util.list_named_actors() == [])
    with pytest.raises(ActorPlacementError):
        value(keeper.total.remote())
    assert eventually(lambda: air.available_resources() == air.cluster_resources())


def _groups() -> list[str]:
    table = placement_group_table().values()
    return [group["name"] for group in table if group["state"] != "REMOVED"]


def test_the_node_of_an_actor_and_of_its_maker_die(machines: Machines) -> None:
    machines.start(num_cpus=1)
    other = machines.start(num_cpus=1, resources={"widget": 1})
    machines.join(namespace=SPACE)

    @air.remote(num_cpus=0, resources={"widget": 1})
    class Maker:
        def make(self) -> Any:
            here = air.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                air.get_runtime_context().get_node_id(), soft=True
            )
            return Keeper.options(
                name="keeper", lifetime="detached", scheduling_strategy=here
            ).remote(air.put(np.ones(200_000)), [air.put(np.ones(200_000))])

    maker = Maker.remote()
    keeper = value(maker.make.remote())
    first, _ = value(keeper.where.remote())
    assert value(keeper.total.remote()) == 200_000
    other.kill()
    again(machines)
    keeper = air.get_actor("keeper")
    second, _ = value(keeper.where.options(name="after").remote())
    assert second != first
    assert value([keeper.total.remote(), keeper.restarted.remote()]) == [200_000, True]
    with pytest.raises(OwnerDied):
        value(keeper.read.remote())
    # Its next process has never heard of the one that made it.
    with pytest.raises(ActorDied):
        value(keeper.die.remote())
    assert value(keeper.total.remote()) == 200_000
    air.kill(keeper)


def test_its_program_is_killed_while_it_waits_for_room(one: Machines, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import os, sys
            import air
            sys.path.insert(0, {str(Path(__file__).parents[3])!r})
            air.init(address={one.nodes[0].address!r}, namespace={SPACE!r})
            from tests.cluster.nodes.test_detached import Keeper
            import numpy as np
            Keeper.options(name="keeper", lifetime="detached", num_cpus=2).remote(
                air.put(np.ones(5)), [])
            os.kill(os.getpid(), 9)
            """
        )
    )
    holder = Child.options(num_cpus=1).remote()
    value(holder.get.remote())
    done = subprocess.run([sys.executable, str(program)], env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    keeper = air.get_actor("keeper")
    air.kill(holder)
    assert value(keeper.total.remote()) == 5
    air.kill(keeper)


@pytest.fixture
def private() -> Iterator[None]:
    air.init(backend="cluster", num_cpus=1, namespace=SPACE, log_to_driver=False)
    yield
    air.shutdown()


@pytest.mark.usefixtures("private")
def test_on_a_cluster_of_the_programs_own_it_ends_with_that() -> None:
    keeper = Keeper.options(name="keeper", lifetime="detached").remote(None, [])
    pid = value(keeper.where.remote())[1]
    air.shutdown()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


OUTSIDE = """
import os, sys
import air
import numpy as np
sys.path.insert(0, sys.argv[2])
from tests.cluster.nodes.test_detached import Keeper

air.init(address=sys.argv[1], namespace="tests", log_to_driver=False)
keeper = Keeper.options(name="keeper", lifetime="detached").remote(air.put(np.ones(100_000)), [])
assert air.get(keeper.total.remote()) == 100_000
print(air.get(keeper.where.remote())[1])
"""


def test_its_program_ran_on_a_machine_outside_the_cluster(tmp_path: Path) -> None:
    token = str(tmp_path / "token")
    inside, outside = Host(), Host()
    try:
        options = ["--port", "0", "--token-file", token, "--num-cpus", "1"]
        done = inside.air("start", "--head", *options, "--object-store-memory", "100000000")
        assert done.returncode == 0, done.stderr
        address = head_of(done.stdout)
        outside.environment["AIR_TOKEN_FILE"] = token
        pid = int(outside.program(OUTSIDE, address, str(Path(__file__).parents[3])))
        use = (
            "import air; air.init(address='auto', namespace='tests')\n"
            "keeper = air.get_actor('keeper')\n"
            "try: air.get(keeper.die.remote())\n"
            "except air.errors.ActorDied: pass\n"
            "print(air.get(keeper.total.remote()), air.get(keeper.where.remote())[1])\n"
        )
        total, restarted = inside.program(use).split()
        assert total == "100000.0"
        assert int(restarted) != pid
    finally:
        inside.close()
        outside.close()


def test_the_files_of_its_environment_can_be_too_many(
    one: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.txt").write_text("text")
    monkeypatch.setattr("air_cluster.client.environments.KEPT_MAX_BYTES", 10)
    with pytest.raises(RuntimeEnvSetupError, match=r"Child are \d+ bytes .* no more than 10 "):
        Child.options(lifetime="detached", runtime_env={"working_dir": tmp_path}).remote()


def test_the_files_of_its_environment_are_kept(machines: Machines, tmp_path: Path) -> None:
    @air.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
    class Reader:
        def read(self) -> tuple[str, str]:
            return Path("data.txt").read_text(), air.get_runtime_context().get_node_id()

        def read_in_task(self) -> str:
            return air.get(air.remote(num_cpus=0)(lambda: Path("data.txt").read_text()).remote())

    (tmp_path / "data.txt").write_text("text")
    machines.start()
    first = machines.start(resources={"place": 1})
    machines.join(namespace=SPACE)
    Reader.options(
        name="reader",
        lifetime="detached",
        resources={"place": 1},
        runtime_env={"working_dir": tmp_path},
    ).remote()
    text, node = value(air.get_actor("reader").read.remote())
    assert text == "text"
    again(machines)
    # No node that is left has ever seen them, and who has sent them is gone.
    machines.start(resources={"place": 1})
    first.kill()
    reader = air.get_actor("reader")
    text, other = value(reader.read.remote())
    assert text == "text"
    assert other != node
    assert value(reader.read_in_task.remote()) == "text"
    air.kill(reader)


def test_calls_that_were_made_right_before_the_end_are_not_lost(one: Machines) -> None:
    tally = Tally.options(name="tally", lifetime="detached").remote()
    value(tally.add.remote())
    for _ in range(10):
        tally.add.remote()
    again(one)
    assert eventually(lambda: value(air.get_actor("tally").get.remote()) == 11)
