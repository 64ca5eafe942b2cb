"""Where nodes keep their sockets: names that these cannot have."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def short() -> Iterator[str]:
    """A directory whose path is shorter than pytest's, which are too long for sockets."""
    place = tempfile.mkdtemp(prefix="airt-", dir="/tmp")
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("letters", [1, 20])
def test_letters_beyond_ascii(
    program: Any, short: str, monkeypatch: pytest.MonkeyPatch, locale: str, letters: int
) -> None:
    place = os.fsencode(short) + b"/" + "é".encode() * letters
    os.mkdir(place)
    for name, value in {"LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", os.fsdecode(place))
    running = program("start()\ntell(air.get(air.remote(lambda: 5).remote()))\n")
    assert running.hear() == 5
    assert running.end() == 0
    assert os.listdir(place) == []
