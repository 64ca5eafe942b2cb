"""The head speaks of actors and placement groups that have waited for long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from air.executor.resources import describe
from air_cluster.core.explanations import (
    GroupView,
    in_group,
    lasting,
    lost_bundles,
    who_holds,
    who_holds_for_bundles,
)
from air_cluster.core.lateness import LOOK_S, Lateness
from air_cluster.daemon.supply import supply
from air_cluster.protocol.messages import Notice

if TYPE_CHECKING:
    from air_cluster.daemon.head import HeadService

_MAX_LINES = 10


class LateWatch:
    """Tells the programs concerned why their actors and groups are not placed yet."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        self._late: Lateness[tuple[bytes, float]] = Lateness()
        self._next = 0.0

    def tick(self) -> None:
        """Time passes."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK_S
            for process, text in self.look(now):
                self._head.send_to_client(process, Notice(text))

    def look(self, now: float) -> list[tuple[bytes, str]]:
        """What is to be said now, and to which program."""
        actors = {(a.spec.actor_id, a.since): a for a in self._head.actors.unplaced()}
        groups = {(g.group_id, g.since): g for g in self._head.groups.unmet()}
        due = self._late.due([*actors, *groups], now)
        if not due:
            return []
        nodes, said = supply(self._head), []
        views = {told["group_id"]: GroupView.of(told) for told in self._head.groups.infos()}
        for key in list(due)[:_MAX_LINES]:
            waited = lasting(due[key])
            if key in actors:
                spec = actors[key].spec
                pool = spec.shape.pool
                if pool is not None and pool[0] in views:
                    where = f" {in_group(views[pool[0]], pool[1], nodes)}"
                else:
                    where = f": {who_holds(spec.shape.resources, nodes, spec.tied_to)}"
                name = f" {spec.name!r}" if spec.name else ""
                text = (
                    f"actor {spec.class_name}{name} has waited for {waited} for a worker with"
                    f" {describe(spec.shape.resources)}{where}"
                )
                said.append((spec.job or spec.owner, text))
            else:
                group = groups[key]
                listed = ", ".join(describe(bundle) for bundle in group.bundles)
                gone = lost_bundles(views[key[0]].lost)
                lost = f" (lost: {gone})" if gone else ""
                text = (
                    f"{self._head.groups.label(key[0])} ({group.strategy}) has waited for {waited}"
                    f" for bundles of {listed}{lost}: {who_holds_for_bundles(group.bundles, nodes)}"
                )
                said.append((self._head.groups.owner(key[0]), text))
        return said
