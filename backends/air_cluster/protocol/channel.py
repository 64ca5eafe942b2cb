"""What makes a link between two processes survive that it is cut.

Both sides count what they have received, and keep what they have sent until the other one says
that it has that. When a link is resumed, either says how much it has, and gets the rest. So every
message arrives once and in order, however often that happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """What one side has sent, and the other one may not have received.

    Attributes:
        acknowledged: so many of the first items have arrived.
    """

    def __init__(self, acknowledged: int = 0) -> None:
        self.acknowledged = acknowledged
        self._items: deque[Item] = deque()

    @property
    def sent(self) -> int:
        """How many items there were."""
        return self.acknowledged + len(self._items)

    def add(self, item: Item) -> int:
        """One more item; its number, counted from 1."""
        self._items.append(item)
        return self.sent

    def acknowledge(self, received: int) -> None:
        """The other side has received so many altogether; old news is no news.

        Raises:
            ValueError: more than were sent.
        """
        if received > self.sent:
            raise ValueError(f"{received} items were received, of {self.sent} that were sent")
        while self.acknowledged < received:
            self._items.popleft()
            self.acknowledged += 1

    def after(self, received: int) -> Iterator[Item]:
        """The items behind the first *received*, in order.

        Raises:
            ValueError: these are not kept any more.
        """
        if received < self.acknowledged:
            raise ValueError(f"item {received + 1} was acknowledged, and is kept no more")
        return islice(self._items, received - self.acknowledged, None)
