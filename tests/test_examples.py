from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name, tmp_path, backend):
    """What an example prints, run as a person would run it."""
    environment = {**os.environ, "AIR_BACKEND": backend, "AIR_RESULTS": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_the_quickstart_predicts_well(tmp_path, backend):
    printed = run_example("quickstart.py", tmp_path, backend)
    accuracy = re.search(r"accuracy on the 171 held-out rows: (\S+)", printed)
    assert accuracy is not None, printed
    assert float(accuracy.group(1)) >= 0.94
    assert "trained: train-logloss = 0.0182" in printed
    assert re.search(r"\{'predictions': 0\.\d+\}", printed)
