"""The programs in README.md print what stands below them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A block of Python that is followed by a block of what it prints.
SHOWN = re.compile(r"```python\n([^`]*)```\n\n```\n([^`]*)```")
PROGRAMS = SHOWN.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def run(program: str, results: Path) -> str:
    environment = {**os.environ, "AIR_BACKEND": "local", "AIR_RESULTS": str(results)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return done.stdout.decode()


def test_training_gives_these_metrics(tmp_path: Path) -> None:
    program, printed = PROGRAMS[0]
    metrics = ast.literal_eval(run(program, tmp_path))
    assert metrics == pytest.approx(ast.literal_eval(printed), abs=0.002)


def test_tasks_and_actors_print_this(tmp_path: Path) -> None:
    program, printed = PROGRAMS[1]
    assert run(program, tmp_path) == printed


def test_there_are_no_other_programs() -> None:
    assert len(PROGRAMS) == 2
