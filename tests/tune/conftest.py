"""Where the experiments of these tests are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from air import RunConfig


@pytest.fixture
def run_config(tmp_path: Path) -> RunConfig:
    """A directory of the test's own, ``tmp_path / "exp"``."""
    return RunConfig(name="exp", storage_path=tmp_path)
