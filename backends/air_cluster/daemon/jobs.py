"""The programs that use a cluster, and those that have: the head knows of each."""

from __future__ import annotations

import time
from typing import Any

import msgspec

_KEPT = 1000
"""Of those that have ended."""


class Job(msgspec.Struct):
    """A program; times in seconds of the Unix clock."""

    process: bytes
    node: str
    pid: int
    entrypoint: str
    began: float
    ended: float = 0.0
    failure: str = ""


class Jobs:
    """Who has come and who has left, in order."""

    def __init__(self) -> None:
        self._jobs: dict[bytes, Job] = {}
        self._ended: dict[bytes, None] = {}
        self._changed: dict[bytes, None] = {}

    def began(self, process: bytes, node: str, pid: int, entrypoint: str) -> None:
        """A program has come, unless it is one that only looks, which names no *entrypoint*."""
        if entrypoint:
            self._jobs[process] = Job(process, node, pid, entrypoint, time.time())
            self._changed[process] = None

    def over(self, process: bytes, failure: str) -> None:
        """A program has ended, perhaps by a *failure*."""
        job = self._jobs.get(process)
        if job is None or job.ended:
            return
        job.ended, job.failure = time.time(), failure
        self._changed[process] = self._ended[process] = None
        if len(self._ended) > _KEPT:
            oldest = next(iter(self._ended))
            del self._ended[oldest], self._jobs[oldest]
            self._changed[oldest] = None

    def infos(self) -> list[dict[str, Any]]:
        """All of them, for listings."""
        return [
            {
                "job_id": job.process.hex(),
                "status": ("FAILED" if job.failure else "SUCCEEDED") if job.ended else "RUNNING",
                "type": "DRIVER",
                "entrypoint": job.entrypoint,
                "message": job.failure or None,
                "start_time": job.began * 1000,
                "end_time": job.ended * 1000 if job.ended else None,
                "driver_node_id": job.node,
                "driver_pid": job.pid,
            }
            for job in self._jobs.values()
        ]

    # On disk ------------------------------------------------------------------------------

    def take_changed(self) -> list[bytes]:
        """Those of which something has changed since this was last asked."""
        changed, self._changed = list(self._changed), {}
        return changed

    def kept(self, process: bytes) -> Job | None:
        """What has to be known of one after a restart of the head; ``None`` if nothing."""
        return self._jobs.get(process)

    def restore(self, jobs: list[Job]) -> None:
        """What was kept."""
        for job in sorted(jobs, key=lambda job: job.began):
            self._jobs[job.process] = job
        for job in sorted((job for job in jobs if job.ended), key=lambda job: job.ended):
            self._ended[job.process] = None
