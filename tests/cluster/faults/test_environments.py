"""Runtime environments on real workers: what pip installs, what is shared, what is kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import air
from air.errors import GetTimeout, RuntimeEnvSetupError
from air.executor.current import get_executor

TIMEOUT_S = 60
NAME = "AIR_TEST_VARIABLE"


PROGRAM = """
import sys
import air

options = ["--index-url", sys.argv[1]]
given = {"pip": {"packages": ["air-tiny"], "pip_install_options": options}}
air.init(num_cpus=1)
air.get(air.remote(len).options(runtime_env=given).remote([]))
"""


def make_wheel(directory: Path, version: str, *, requires: str = "") -> Path:
    """A wheel of a package that says which version it is."""
    path = directory / f"air_tiny-{version}-py3-none-any.whl"
    about = f"air_tiny-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        "air_tiny.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: air-tiny\nVersion: {version}\n{needs}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A directory with two versions of a package."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(directory, version)
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where environments are kept in this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "cache" / "air" / "environments"


@pytest.fixture
def cluster(cache: Path) -> Iterator[None]:
    air.init(backend="cluster", num_cpus=2)
    yield
    air.shutdown()


def pip(wheels: Path, *packages: str, **more: Any) -> dict[str, Any]:
    options = ["--no-index", "--find-links", str(wheels)]
    return {"pip": {"packages": list(packages), "pip_install_options": options, **more}}


@air.remote
def version() -> str:
    import air_tiny

    found: str = air_tiny.VERSION
    return found


@air.remote
def outside(text: str) -> str:
    """What another interpreter prints, of those that the task would start."""
    return subprocess.check_output([sys.executable, "-c", text], text=True).strip()


@air.remote(max_restarts=1)
class Tiny:
    def version(self) -> tuple[str, str | None]:
        import air_tiny

        return air_tiny.VERSION, os.environ.get(NAME)


def made_in(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_two_versions_side_by_side(wheels: Path, cache: Path) -> None:
    one = version.options(runtime_env=pip(wheels, "air-tiny==1.0"))
    two = version.options(runtime_env={"pip": [str(wheels / "air_tiny-2.0-py3-none-any.whl")]})
    refs = [task.remote() for _ in range(8) for task in (one, two)]
    assert air.get(refs, timeout=TIMEOUT_S) == ["1.0", "2.0"] * 8
    assert len(made_in(cache)) == 2
    with pytest.raises(ModuleNotFoundError):
        air.get(version.remote(), timeout=TIMEOUT_S)

    # What the task starts is of the same environment, and sees what this one sees.
    text = "import air_tiny, msgspec; print(air_tiny.VERSION)"
    task = outside.options(runtime_env=pip(wheels, "air-tiny==1.0"))
    assert air.get(task.remote(text), timeout=TIMEOUT_S) == "1.0"

    # An actor that is made anew is made in the same environment.
    given = {**pip(wheels, "air-tiny==1.0"), "env_vars": {NAME: "kept"}}
    actor = Tiny.options(runtime_env=given).remote()
    assert air.get(actor.version.remote(), timeout=TIMEOUT_S) == ("1.0", "kept")
    air.kill(actor, no_restart=False)
    assert air.get(actor.version.remote(), timeout=TIMEOUT_S) == ("1.0", "kept")
    assert len(made_in(cache)) == 2


@pytest.mark.slow
def test_what_was_installed_is_there_for_the_next_program(wheels: Path, cache: Path) -> None:
    given = pip(wheels, "air-tiny==1.0")
    for _ in range(2):
        air.init(backend="cluster", num_cpus=2, runtime_env=given)
        try:
            assert air.get(version.remote(), timeout=TIMEOUT_S) == "1.0"
        finally:
            air.shutdown()
        (wheels / "air_tiny-1.0-py3-none-any.whl").unlink(missing_ok=True)  # nobody needs it
    [made] = made_in(cache)

    # What nobody has asked for in a month goes when there is something new.
    os.utime(made / ".air-ready", (1, 1))
    air.init(backend="cluster", num_cpus=1)
    try:
        other = version.options(runtime_env=pip(wheels, "air-tiny==2.0"))
        assert air.get(other.remote(), timeout=TIMEOUT_S) == "2.0"
    finally:
        air.shutdown()
    assert len(made_in(cache)) == 1
    assert not made.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_pip_cannot_install(wheels: Path, cache: Path) -> None:
    broken = version.options(runtime_env=pip(wheels, "air-tiny==3.0"))
    refs = [broken.remote() for _ in range(3)]
    for ref in refs:
        with pytest.raises(RuntimeEnvSetupError, match="No matching distribution") as caught:
            air.get(ref, timeout=TIMEOUT_S)
    assert "air-tiny==3.0" in str(caught.value)
    actor = Tiny.options(runtime_env=pip(wheels, "air-tiny==3.0")).remote()
    with pytest.raises(RuntimeEnvSetupError, match="No matching distribution"):
        air.get(actor.version.remote(), timeout=TIMEOUT_S)
    assert not made_in(cache)
    # Others go on, and CPUs are free again.
    assert air.get(outside.options(num_cpus=2).remote("print(1)"), timeout=TIMEOUT_S) == "1"


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_packages_that_do_not_fit_together(wheels: Path, cache: Path) -> None:
    make_wheel(wheels, "4.0", requires="air-nowhere")
    given = pip(wheels, "air-tiny==4.0", pip_check=True)
    given["pip"]["pip_install_options"].append("--no-deps")
    with pytest.raises(RuntimeEnvSetupError, match="requires air-nowhere"):
        air.get(version.options(runtime_env=given).remote(), timeout=TIMEOUT_S)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_index_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        given = {
            "pip": {"packages": ["air-tiny"], "pip_install_options": ["--index-url", index]},
            "config": {"setup_timeout_seconds": 3},
        }
        ref = version.options(runtime_env=given).remote()
        with pytest.raises(GetTimeout, match="runtime environment, which may have to be set up"):
            air.get(ref, timeout=0.2)
        with pytest.raises(RuntimeEnvSetupError, match="setup_timeout_seconds"):
            air.get(ref, timeout=TIMEOUT_S)


@pytest.mark.slow
def test_a_program_that_is_killed_while_pip_runs(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, index])
        connection, _ = silent.accept()  # it is being installed
        family = psutil.Process(program.pid).children(recursive=True)
        assert any("pip" in process.cmdline() for process in family)
        program.kill()
        program.wait()
        _, alive = psutil.wait_procs(family, timeout=5)
        connection.close()
    assert not alive


@pytest.mark.usefixtures("cluster")
def test_variables_are_there_before_libraries_are_imported() -> None:
    get_executor().preload(["json.tool"])

    @air.remote(runtime_env={"env_vars": {"OMP_NUM_THREADS": "3"}})
    def look() -> tuple[bool, str]:
        return "json.tool" in sys.modules, os.environ["OMP_NUM_THREADS"]

    assert air.get(look.remote(), timeout=TIMEOUT_S) == (False, "3")


@pytest.mark.usefixtures("cluster")
def test_what_is_preloaded_is_loaded_in_the_environment(tmp_path: Path) -> None:
    """Once a worker has set it up, others find what is preloaded, imported with its variables."""
    (tmp_path / "air_test_preloaded.py").write_text(
        f"import os\nSEEN = os.environ.get({NAME!r})\nPID = os.getpid()\n"
    )
    get_executor().preload(["air_test_preloaded"])
    given = {"env_vars": {NAME: "1"}, "py_modules": [tmp_path / "air_test_preloaded.py"]}

    @air.remote(runtime_env=given)
    class Look:
        def at(self) -> tuple[bool, str, str, bool]:
            is_there = "air_test_preloaded" in sys.modules
            import air_test_preloaded as found

            return is_there, found.SEEN, os.environ[NAME], os.getpid() != found.PID

    first = Look.remote()
    assert air.get(first.at.remote(), timeout=TIMEOUT_S) == (False, "1", "1", False)
    others = [Look.remote() for _ in range(2)]
    told = air.get([other.at.remote() for other in others], timeout=TIMEOUT_S)
    assert told == [(True, "1", "1", True)] * 2
    other = Look.options(runtime_env={**given, "env_vars": {NAME: "2"}}).remote()
    assert air.get(other.at.remote(), timeout=TIMEOUT_S) == (False, "2", "2", False)


def test_gpus_that_an_environment_shows() -> None:
    """Also in workers of a template of that environment; who holds some sees these."""
    name = "CUDA_VISIBLE_DEVICES"
    given = {"env_vars": {name: "5"}}

    @air.remote(runtime_env=given)
    class Look:
        def at(self) -> str | None:
            return os.environ.get(name)

    air.init(backend="cluster", num_cpus=1, num_gpus=2)
    try:
        get_executor().preload(["json.tool"])
        actors = []
        for _ in range(2):
            actors.append(Look.remote())
            assert air.get(actors[-1].at.remote(), timeout=TIMEOUT_S) == "5"
        holder = Look.options(num_gpus=1).remote()
        assert air.get(holder.at.remote(), timeout=TIMEOUT_S) in ("0", "1")
        bare = Look.options(runtime_env={}).remote()
        assert air.get(bare.at.remote(), timeout=TIMEOUT_S) == ""
    finally:
        air.shutdown()


@pytest.mark.usefixtures("cluster")
def test_environments_have_processes_of_their_own() -> None:
    @air.remote
    def who() -> tuple[int, str | None]:
        return os.getpid(), os.environ.get(NAME)

    seen: dict[int, set[str | None]] = {}
    for _ in range(3):
        for given in (None, {"env_vars": {NAME: "1"}}, {"env_vars": {NAME: "2"}}):
            for process, found in air.get(
                [who.options(runtime_env=given).remote() for _ in range(4)], timeout=TIMEOUT_S
            ):
                seen.setdefault(process, set()).add(found)
    assert all(len(found) == 1 for found in seen.values())
    assert {found for each in seen.values() for found in each} == {None, "1", "2"}


@pytest.mark.usefixtures("cluster")
def test_a_nested_environment_that_is_read_by_a_task(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("text")

    @air.remote
    def read() -> str:
        return Path("data.txt").read_text()

    @air.remote
    def outer() -> str:
        found: str = air.get(read.options(runtime_env={"working_dir": str(tmp_path)}).remote())
        return found

    assert air.get(outer.remote(), timeout=TIMEOUT_S) == "text"
