"""What a person gets by installing the package: names, types, entry points, command, pins."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import air
from air.cli.main import main
from air.executor import registry

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Prints the modules that one import brings in, beyond those that the interpreter starts with.
PROBE = "import sys; before = set(sys.modules); import {}; print(*(set(sys.modules) - before))"


@pytest.mark.parametrize("module", ["air", "air.errors", "air.config", "air.checkpoint"])
def test_importing_loads_the_standard_library_only(module: str) -> None:
    """A script that only names AIR must not pay for pandas; `-I` keeps the caller's setting out."""
    probe = [sys.executable, "-I", "-c", PROBE.format(module)]
    loaded = subprocess.run(probe, check=True, capture_output=True, text=True).stdout.split()
    packages = {name.partition(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names == {"air"}


TABLES_ON_THE_CORE = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name in ("pandas", "scipy", "sklearn", "xgboost"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
import air.data
from air.data.preprocessors import Chain, OrdinalEncoder, StandardScaler

air.init(backend="local")
rows = air.data.from_items([{"size": i, "kind": "ab"[i % 2]} for i in range(4)])
rows.write_csv(sys.argv[1])
rows = air.data.read_csv(sys.argv[1]).map_batches(lambda batch: batch, batch_format="numpy")
prepared = Chain(StandardScaler(["size"]), OrdinalEncoder(["kind"])).fit_transform(rows)
print(prepared.select_columns("kind").take())
"""


def test_tables_need_the_core_only(tmp_path: Path) -> None:
    program = [sys.executable, "-I", "-c", TABLES_ON_THE_CORE, str(tmp_path / "rows")]
    printed = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert printed == "[{'kind': 0}, {'kind': 1}, {'kind': 0}, {'kind': 1}]\n"


def test_public_names_are_sorted_and_resolve() -> None:
    assert list(air.__all__) == sorted(set(air.__all__))
    for name in air.__all__:
        assert getattr(air, name) is not None


def test_misspelt_name_says_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"'inti'.*Did you mean 'init'"):
        air.inti  # noqa: B018 - reading the attribute is the test


@pytest.mark.parametrize("package", ["air", "air_local", "air_cluster"])
def test_packages_are_marked_as_typed(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).with_name("py.typed").exists()


def test_built_in_backends_are_found_by_entry_point() -> None:
    assert {"cluster", "local"} <= registry.backends().keys()
    for name in ("cluster", "local"):
        assert callable(registry.load(name))


def test_command_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"air {air.__version__}\n"


def test_command_lists_the_backends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    states = {words[0]: words[-1] for words in lines}
    assert states["local"] == states["cluster"] == "ok"


def test_command_shows_a_broken_backend_and_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> registry.Connect:
        raise RuntimeError(f"{name} is broken")

    monkeypatch.setattr(registry, "load", load)
    assert main(["backends"]) == 1
    printed = capsys.readouterr().out
    assert "RuntimeError: local is broken" in printed
    assert "RuntimeError: cluster is broken" in printed


def test_command_is_installed() -> None:
    command = Path(sys.executable).with_name("air")
    done = subprocess.run([command, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"air {air.__version__}\n"


def test_every_dependency_has_one_exact_pin_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {}
    for pin in pins:
        [specifier] = pin.specifier
        assert specifier.operator == "=="
        versions[pin.name.lower()] = specifier.version
    assert len(versions) == len(pins)

    declared = [Requirement(text) for group in EXTRAS.values() for text in group]
    declared += [Requirement(text) for text in PROJECT["dependencies"]]
    for requirement in declared:
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(versions[requirement.name.lower()]), requirement


def test_every_extra_that_a_message_names_exists() -> None:
    sources = [*ROOT.glob("air/**/*.py"), *ROOT.glob("backends/**/*.py"), ROOT / "README.md"]
    named = {
        extra
        for source in sources
        for group in re.findall(r"airloom\[([\w,-]+)\]", source.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    assert named <= EXTRAS.keys()
