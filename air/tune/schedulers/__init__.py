"""Who decides, result by result, whether a trial goes on."""

from __future__ import annotations

from air.tune.schedulers.scheduler import FIFOScheduler, TrialScheduler

__all__ = ["FIFOScheduler", "TrialScheduler"]
