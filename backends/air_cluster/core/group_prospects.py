"""Which placement groups wait for nodes that are not there, and since when."""

from __future__ import annotations

import msgspec

from air_cluster.core.group_instructions import GroupHopeless


class _Doubt(msgspec.Struct):
    why: str
    was_there: bool
    since: float
    said: bool = False


class Prospects:
    """Says of a group that no node could ever hold it, once that has been so for a while.

    A node may be about to join, or about to come back: so it is said *grace* seconds after it is
    known, once, and taken back when a node is there that could.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._doubts: dict[bytes, _Doubt] = {}

    def judged(
        self, group_id: bytes, why: str | None, *, was_there: bool, now: float
    ) -> list[GroupHopeless]:
        """Why no node could hold what a group waits for; ``None`` if some could."""
        known = self._doubts.get(group_id)
        if why is None:
            return [] if known is None else self.forget(group_id)
        if known is None:
            self._doubts[group_id] = _Doubt(why, was_there, now)
        else:
            known.why = why
        return []

    def forget(self, group_id: bytes) -> list[GroupHopeless]:
        """A group does not wait any more."""
        known = self._doubts.pop(group_id, None)
        if known is None or not known.said:
            return []
        return [GroupHopeless(group_id, "", known.was_there)]

    def due(self, now: float) -> list[GroupHopeless]:
        """What is to be said now."""
        out = []
        for group_id, doubt in self._doubts.items():
            if not doubt.said and now >= doubt.since + self._grace:
                doubt.said = True
                out.append(GroupHopeless(group_id, doubt.why, doubt.was_there))
        return out

    def why_hopeless(self, group_id: bytes) -> str:
        """What was said of a group; empty if nothing was, or it has had a place."""
        known = self._doubts.get(group_id)
        return known.why if known is not None and known.said and not known.was_there else ""

    def doubted(self) -> list[bytes]:
        """The groups that no node could hold when they were last judged."""
        return list(self._doubts)
