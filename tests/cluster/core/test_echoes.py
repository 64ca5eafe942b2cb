"""What several workers print alike is shown once, and how often that was."""

from __future__ import annotations

from air_cluster.core.echoes import Echoes, Line


def line(source: str, text: str = "same", *, is_error: bool = False) -> Line:
    return Line(source, is_error, text)


def test_what_others_repeat_is_shown_once_at_the_end_of_the_window() -> None:
    echoes = Echoes(5.0)
    assert echoes.add(line("a"), 0.0) == [line("a")]
    assert echoes.next_due == 5.0
    assert echoes.add(line("b"), 1.0) == []
    assert echoes.add(line("c"), 4.9) == []
    assert echoes.due(4.9) == []
    assert echoes.due(5.0) == [line("c", "same [repeated 2x across cluster]")]
    assert echoes.next_due is None
    assert echoes.add(line("b"), 6.0) == [line("b")]


def test_one_echo_is_shown_as_it_is() -> None:
    echoes = Echoes(5.0)
    echoes.add(line("a"), 0.0)
    echoes.add(line("b"), 0.0)
    assert echoes.settle() == [line("b")]


def test_what_one_worker_repeats_is_shown_each_time() -> None:
    echoes = Echoes(5.0)
    for now in range(3):
        assert echoes.add(line("a"), float(now)) == [line("a")]
    assert echoes.settle() == []


def test_what_differs_is_always_shown() -> None:
    echoes = Echoes(5.0)
    for number in range(3):
        one = line(f"worker {number}", f"loss {number}")
        assert echoes.add(one, 0.0) == [one]
    assert echoes.add(line("a", is_error=False), 0.0)
    assert echoes.add(line("b", is_error=True), 0.0)


def test_empty_lines_are_not_counted() -> None:
    echoes = Echoes(5.0)
    assert echoes.add(line("a", ""), 0.0)
    assert echoes.add(line("b", ""), 0.0)
    assert echoes.next_due is None


def test_a_window_that_has_ended_is_over_when_the_next_line_comes() -> None:
    echoes = Echoes(5.0)
    echoes.add(line("a"), 0.0)
    echoes.add(line("b"), 1.0)
    assert echoes.add(line("c"), 9.0) == [line("b"), line("c")]


def test_without_a_window_everything_is_shown() -> None:
    echoes = Echoes(0.0)
    assert echoes.add(line("a"), 0.0) == [line("a")]
    assert echoes.add(line("b"), 0.0) == [line("b")]
    assert echoes.next_due is None


def test_what_is_remembered_is_bounded() -> None:
    echoes = Echoes(5.0)
    for number in range(20_000):
        echoes.add(line("a", str(number)), 0.0)
    assert len(echoes._known) == 10_000
    assert echoes.add(line("b", "0"), 0.0) == [line("b", "0")]
    assert echoes.add(line("b", "19999"), 0.0) == []
