"""What ARCHITECTURE.md and CONTRIBUTING.md name is there, and what is there they name."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md")
}
ARCHITECTURE = DOCUMENTS["ARCHITECTURE.md"]
CODE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
PATH = re.compile(r"(\.?\w[\w.-]*/)+[\w.-]*|\w+\.(py|md|txt|toml)")
NO_MODULES = {"air.backends", "air.init"}  # a group of entry points; spoken of with arguments


def spoken_of(document: str) -> set[str]:
    """What stands between single backticks."""
    spans = re.findall(r"`([^`]+)`", CODE.sub("", DOCUMENTS[document]))
    return {" ".join(span.split()) for span in spans}


def tree() -> list[str]:
    """All files and folders that the project keeps, with a slash before each."""
    tops = (".ci", "air", "backends", "tests", "examples", "benchmarks", "docs")
    inside = [path for top in tops for path in (ROOT / top).rglob("*")]
    return [f"/{path.relative_to(ROOT)}" for path in [*ROOT.iterdir(), *inside]]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_folders_exist(document: str) -> None:
    entries = tree()
    named = {text.removesuffix("/") for text in spoken_of(document) if PATH.fullmatch(text)}
    missing = {path for path in named if not any(each.endswith(f"/{path}") for each in entries)}
    assert missing == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_and_names_exist(document: str) -> None:
    for text in spoken_of(document):
        if re.fullmatch(r"air(\.\w+)+", text) and text not in NO_MODULES:
            module, _, name = text.rpartition(".")
            found = importlib.import_module(module)
            assert hasattr(found, name) or importlib.import_module(text), text


def test_the_code_map_is_complete() -> None:
    code_map = ARCHITECTURE[ARCHITECTURE.index("## Code map") : ARCHITECTURE.index("## The seam")]
    parts = {path.stem for path in (ROOT / "air").iterdir() if path.stem != "py"}
    parts -= {"__init__", "__pycache__"}
    assert {part for part in parts if not re.search(rf"\b{part}(/|\.py)`", code_map)} == set()
    for backend in (ROOT / "backends").iterdir():
        assert f"`backends/{backend.name}/`" in code_map
    cluster = ARCHITECTURE[ARCHITECTURE.index("### Processes") : ARCHITECTURE.index("### The life")]
    for part in (ROOT / "backends" / "air_cluster").iterdir():
        if part.is_dir() and part.name != "__pycache__":
            assert f"| `{part.name}/` |" in cluster


def test_import_contracts_are_those_of_the_invariants() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {each["id"] for each in settings["tool"]["importlinter"]["contracts"]}
    invariants = ARCHITECTURE[ARCHITECTURE.index("## Invariants") :]
    rows = [line for line in invariants.splitlines() if "import contract" in line]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[2])}
    assert named == contracts


def test_the_tests_of_faults_exist() -> None:
    named = re.findall(r"`([\w/]*\.?p?y?)::(test_\w+)`", DOCUMENTS["CONTRIBUTING.md"])
    assert len(named) > 30
    path = ""
    for file, test in named:
        path = file or path  # `::test_more` is of the file before it
        text = (ROOT / "tests/cluster" / path).read_text(encoding="utf-8")
        assert f"def {test}(" in text, f"{path} has no {test}"


def test_make_targets_exist_and_are_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):.*##", makefile, re.MULTILINE))
    named = {
        target
        for text in DOCUMENTS.values()
        for target in re.findall(r"(?:`|^|&& )make ([a-z][\w-]*)", text, re.MULTILINE)
    }
    assert named <= targets
    assert targets - {"help"} <= named
    for target in re.findall(r"for target in (.*);", (ROOT / ".ci" / "run").read_text())[0].split():
        assert target in targets


def test_a_backend_is_added_as_described(tmp_path: Path) -> None:
    """The three blocks as they stand, around an executor that is the local one."""
    section = ARCHITECTURE[ARCHITECTURE.index("## Adding a backend") :]
    (_, entry), (_, package), (_, test) = CODE.findall(section)
    [group] = tomllib.loads(entry)["project"]["entry-points"].items()
    points = "\n".join(f"{name} = {value}" for name, value in group[1].items())
    for path, text in {
        "air_mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: air-mine\nVersion: 1\n",
        "air_mine-1.dist-info/entry_points.txt": f"[{group[0]}]\n{points}\n",
        "air_mine/__init__.py": package,
        "air_mine/executor.py": "from air_local.executor import LocalExecutor as MineExecutor\n",
        "tests/test_mine.py": test,
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "TestOrdering"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* passed", done.stdout)
