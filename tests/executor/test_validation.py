"""The wording of complaints."""

from __future__ import annotations

import numpy as np
import pytest

from air.errors import InvalidOption
from air.executor.validation import (
    check_flag,
    check_number,
    check_text,
    check_timeout,
    listing,
    nearest,
    reject_unknown,
    show,
    show_repr,
)


def test_nearest():
    assert nearest("colour", ["color", "size"]) == " Did you mean 'color'?"
    assert nearest("zzz", ["color", "size"]) == ""
    assert nearest("a", []) == ""
    assert nearest("pack", ["PACK", "SPREAD"]) == " Did you mean 'PACK'?"


def test_listing():
    assert listing(["b", "a"]) == "'b', 'a'"
    assert listing(range(20), limit=2) == "'0', '1' and 18 more".replace("'", "")
    assert listing([]) == ""


def test_reject_unknown():
    reject_unknown({"size": 1}, ["size"], what="a box")
    with pytest.raises(InvalidOption) as caught:
        reject_unknown({"siez": 1}, ["size", "color"], what="a box")
    assert str(caught.value) == (
        "a box has no option 'siez'. Did you mean 'size'? Options are: 'color', 'size'"
    )


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        ("1", {}),
        (None, {}),
        (True, {}),
        (float("inf"), {}),
        (float("nan"), {}),
        (-1, {"minimum": 0}),
        (11, {"maximum": 10}),
        (1.0, {"integer": True}),
    ],
)
def test_check_number_refuses(value, limits):
    with pytest.raises(InvalidOption, match="size must be a"):
        check_number(value, "size", **limits)


def test_check_number_accepts():
    assert check_number(1, "size", minimum=1, maximum=1, integer=True) == 1
    assert check_number(0.5, "size") == 0.5


def test_check_number_says_the_bounds():
    with pytest.raises(InvalidOption) as caught:
        check_number(11, "size", minimum=1, maximum=10, integer=True)
    assert str(caught.value) == "size must be a whole number >= 1 and <= 10, got 11"


def test_numbers_of_numpy_become_those_of_python():
    whole, real = np.int64(3), np.float32(0.5)
    assert type(check_number(whole, "n", minimum=1, integer=True)) is int
    assert type(check_number(real, "x")) is float
    for value in (np.bool_(True), np.float64("nan"), np.array([1]), "1"):
        with pytest.raises(InvalidOption):
            check_number(value, "x")
    with pytest.raises(InvalidOption, match="whole number"):
        check_number(np.float64(1), "n", integer=True)


def test_flags():
    assert check_flag(False, "x") is False
    with pytest.raises(InvalidOption, match="x must be True or False, got 1"):
        check_flag(1, "x")


def test_text():
    assert check_text("é", "the name") == "é"
    assert check_text("", "the name", empty=True) == ""
    for value, message in (
        ("", "the name must be non-empty text, got ''"),
        (b"a", "the name must be non-empty text, got b'a'"),
        ("\ud800", "the name must be text that UTF-8 can encode"),
    ):
        with pytest.raises(InvalidOption, match=message):
            check_text(value, "the name")


def test_timeouts():
    assert check_timeout(None) is None
    assert check_timeout(2) == 2
    assert type(check_timeout(np.float32(0.5))) is float
    for endless in (float("inf"), 1e300, 10**400):
        assert check_timeout(endless) is None
    for value, message in (
        (-1, "patience must not be negative, got -1"),
        (True, "patience must be seconds or None, got True"),
        ("1", "patience must be seconds or None, got '1'"),
        (float("nan"), "patience must be seconds or None, got nan"),
    ):
        with pytest.raises(InvalidOption, match=message):
            check_timeout(value, "patience")


def test_showing_what_refuses():
    class Refuses:
        def __repr__(self):
            raise RuntimeError

    assert show(1) == show_repr(1) == "1"
    assert "Refuses" in show(Refuses())
    assert "Refuses" in show_repr(Refuses())
