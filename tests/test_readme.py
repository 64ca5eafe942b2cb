"""Each block of Python in README.md runs, and prints what stands below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A block of Python, and the block of what it prints if one follows.
PROGRAMS = re.findall(r"```python\n(.*?)```\n(?:\n```\n(.*?)```)?", README, re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")


def test_the_first_screen_shows_ten_lines() -> None:
    program, _ = PROGRAMS[0]
    assert len([line for line in program.splitlines() if line]) == 10
    shown = README[: README.index(program) + len(program)]
    assert "make quickstart" in shown
    assert "make test" in shown
    assert len(shown.splitlines()) <= 30


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_programs_print_what_stands_below_them(program: str, printed: str, tmp_path: Path) -> None:
    if "import air" not in program:
        program = f"import air\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "AIR_BACKEND": "local", "AIR_RESULTS": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", printed)
    numbers = [float(number) for number in NUMBER.findall(done.stdout)]
    assert numbers == pytest.approx([float(each) for each in NUMBER.findall(printed)], abs=0.002)
