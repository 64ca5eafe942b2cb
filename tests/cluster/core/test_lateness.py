"""When to speak of what waits; the clock is the test's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from air_cluster.core.lateness import FIRST_S, Lateness


def test_nothing_is_said_before_half_a_minute():
    late: Lateness[str] = Lateness()
    assert late.due(["a"], 100.0) == {}
    assert late.due(["a"], 100.0 + FIRST_S - 0.1) == {}
    assert late.due(["a"], 100.0 + FIRST_S) == {"a": FIRST_S}


def test_then_ever_more_seldom():
    late: Lateness[str] = Lateness()
    said = [now for now in range(0, 1000, 5) if late.due(["a"], float(now))]
    assert said == [30, 60, 120, 240, 480, 960]


def test_who_makes_progress_is_not_late():
    late: Lateness[int] = Lateness()
    for now in range(0, 1000, 5):
        assert late.due([now // 20], float(now)) == {}  # another one is the first, all the time


def test_who_did_not_wait_for_a_moment_begins_anew():
    late: Lateness[str] = Lateness()
    late.due(["a", "b"], 0.0)
    late.due(["b"], 20.0)
    late.due(["a", "b"], 25.0)
    assert late.due(["a", "b"], 40.0) == {"b": 40.0}
    assert late.due(["a", "b"], 60.0) == {"a": 35.0}


@given(st.lists(st.tuples(st.integers(0, 100), st.sets(st.integers(0, 3)))))
def test_each_is_spoken_of_at_most_once_while_its_wait_doubles(steps):
    late: Lateness[int] = Lateness()
    now, since, spoken = 0.0, {}, {}
    for passed, waiting in steps:
        now += passed
        since = {key: since.get(key, now) for key in waiting}
        spoken = {key: spoken[key] for key in waiting if key in spoken}
        due = late.due(waiting, now)
        for key in waiting:
            waited = now - since[key]
            expected = waited >= (2 * spoken[key] if key in spoken else FIRST_S)
            assert (key in due) == expected
            if expected:
                assert due[key] == waited
                spoken[key] = waited
