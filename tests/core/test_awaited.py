"""What is left of a list that was waited for is known; what is not is looked at."""

from __future__ import annotations

from typing import Any, cast

import pytest

from air.core.awaited import Awaited
from air.errors import InvalidOption
from air.executor.handles import ObjectRef
from air.executor.interface import Executor


class Owner:
    """Takes references back."""

    def release_ref(self, _identity: bytes) -> None:
        pass


def refs(count: int, first: int = 0) -> list[ObjectRef[Any]]:
    owner = cast(Executor, Owner())
    return [ObjectRef(b"%d" % number, owner) for number in range(first, first + count)]


def test_one_after_the_other() -> None:
    awaited, left = Awaited(), refs(5)
    for ready in (left[3], left[0], left[4], left[1], left[2]):
        identities = awaited.check(left)
        assert identities == [ref.id for ref in left]
        awaited.keep(identities, [ready])
        left = [ref for ref in left if ref is not ready]


@pytest.mark.parametrize("ready", [0, 1, 9])
def test_twice_is_refused_whatever_was_left_before(ready: int) -> None:
    awaited, given = Awaited(), refs(20)
    awaited.keep(awaited.check(given), given[:ready])
    left = given[ready:]
    for twice in (
        [*left, left[0]],
        [*left[:-1], left[0]],
        [left[1], *left[1:]],
        [*left, *refs(1, ready)],  # another object that stands for the same value
    ):
        with pytest.raises(InvalidOption, match="more than once"):
            awaited.check(twice)
    assert len(awaited.check(left)) == len(left)
    assert len(awaited.check(given)) == len(given)


def test_very_many_are_not_kept() -> None:
    awaited, given = Awaited(), refs(20_000)
    awaited.keep(awaited.check(given), given[:1])
    assert awaited._distinct == []
