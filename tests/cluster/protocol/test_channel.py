"""Links that are cut and resumed: everything arrives, once and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_cluster.protocol.channel import Outbox

ACTIONS = st.lists(st.sampled_from(["send", "arrive", "acknowledge", "cut"]), max_size=60)


@given(ACTIONS)
def test_whatever_happens_to_the_link(actions: list[str]) -> None:
    outbox: Outbox[int] = Outbox()
    on_the_way: list[int] = []
    received: list[int] = []
    for action in actions:
        if action == "send":
            on_the_way.append(outbox.sent)
            outbox.add(outbox.sent)
        elif action == "arrive" and on_the_way:
            received.append(on_the_way.pop(0))
        elif action == "acknowledge":
            outbox.acknowledge(len(received))
        elif action == "cut":
            on_the_way = list(outbox.after(len(received)))
    received += on_the_way
    assert received == list(range(outbox.sent))


def test_counts() -> None:
    outbox: Outbox[str] = Outbox(acknowledged=5)
    assert outbox.add("a") == 6
    assert outbox.add("b") == 7
    outbox.acknowledge(6)
    outbox.acknowledge(5)
    assert (outbox.acknowledged, outbox.sent) == (6, 7)
    assert list(outbox.after(6)) == ["b"]
    assert list(outbox.after(7)) == []


def test_what_cannot_be() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.add("a")
    with pytest.raises(ValueError, match="2 items were received, of 1"):
        outbox.acknowledge(2)
    outbox.acknowledge(1)
    with pytest.raises(ValueError, match="item 1 was acknowledged"):
        outbox.after(0)
