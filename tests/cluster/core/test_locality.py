"""Tasks go to their largest arguments."""

from __future__ import annotations

import pytest

from air_cluster.core.locality import WORTH_BYTES, node_with_most

MB = 1 << 20


@pytest.mark.parametrize(
    ("held", "best"),
    [
        ([], None),
        ([(1, 50 * MB)], None),
        ([(2, 50 * MB)], 2),
        ([(2, WORTH_BYTES - 1)], None),
        ([(2, 50 * MB), (1, 50 * MB)], None),
        ([(2, 52 * MB), (1, 50 * MB)], 2),
        ([(2, 30 * MB), (3, 40 * MB)], 3),
        ([(2, 30 * MB), (3, 40 * MB), (2, 20 * MB)], 2),
        ([(3, 40 * MB), (2, 40 * MB)], 3),
        ([(2, WORTH_BYTES // 2)] * 2, 2),
    ],
)
def test_the_node_with_most(held: list[tuple[int, int]], best: int | None) -> None:
    assert node_with_most(held, here=1) == best
