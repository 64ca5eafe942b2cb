"""What ``get_log`` and ``list_logs`` take; what they find is tested with clusters."""

from __future__ import annotations

import pytest

import air
from air.errors import InvalidOption
from air.util.state import get_log, list_logs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "one of filename=, actor_id= and pid="),
        ({"pid": 1, "filename": "x"}, "one of filename=, actor_id= and pid="),
        ({"pid": 1, "suffix": "log"}, "suffix must be 'out' or 'err', got 'log'"),
        ({"pid": 1, "tail": -2}, "tail"),
        ({"pid": 1, "follow": "yes"}, "follow"),
        ({"pid": 1, "encoding": "utf-99"}, "encoding must be one that Python knows"),
    ],
)
def test_what_names_no_file(options: dict[str, object], expected: str) -> None:
    with pytest.raises(InvalidOption, match=expected):
        get_log(**options)  # type: ignore[arg-type]


def test_a_backend_in_one_process_has_no_files(air_local: None) -> None:
    assert list_logs() == []
    with pytest.raises(InvalidOption, match=r"there is no log file 'x'; the files are: none"):
        list(get_log(filename="x"))


def test_an_actor_that_does_not_live(air_local: None) -> None:
    with pytest.raises(InvalidOption, match="no actor '00' lives"):
        list(get_log(actor_id="00"))


def test_both_streams_of_an_actor(air_cluster: None) -> None:
    @air.remote
    class Talker:
        def talk(self) -> str:
            import sys

            print("é out", flush=True)
            print("err", file=sys.stderr, flush=True)
            return air.get_runtime_context().get_actor_id() or ""

    actor = Talker.remote()
    identity = air.get(actor.talk.remote())
    following = get_log(actor_id=identity, follow=True)
    assert next(following) == "é out\n"
    following.close()  # type: ignore[attr-defined]
    assert "".join(get_log(actor_id=identity, suffix="err")) == "err\n"
    assert list_logs(glob_filter="worker-*.err")
    assert not list_logs(node_id="another")
