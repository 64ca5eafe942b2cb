"""What a task does to its standard streams is its own affair."""

from __future__ import annotations

import os
import sys

import pytest

import air

pytestmark = pytest.mark.usefixtures("cluster")


def _close() -> None:
    sys.stdout.close()
    sys.stderr.close()


def _close_descriptors() -> None:
    sys.stdout.close()
    os.close(1)


def _detach() -> None:
    sys.stdout.detach()  # type: ignore[union-attr]


def _delete() -> None:
    del sys.stdout


def _none() -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


@pytest.mark.parametrize("what", [_close, _close_descriptors, _detach, _delete, _none])
def test_the_next_task_has_streams_again(what: object) -> None:
    @air.remote(resources={"widget": 2})
    def spoil(what: object) -> int:
        print("before")
        what()  # type: ignore[operator]
        return os.getpid()

    @air.remote(resources={"widget": 2})
    def use() -> int:
        print("printed", end="")
        print("err", file=sys.stderr)
        assert sys.stdout is not None
        assert sys.stdout.fileno() == 1
        os.fstat(1)
        return os.getpid()

    assert air.get(spoil.remote(what)) == air.get(use.remote())
