"""Settings of the data library for this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from typing import Any

from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number, listing, nearest

_lock = threading.Lock()
_current: DataContext | None = None


@dataclass
class DataContext:
    """Change attributes of ``DataContext.get_current()`` to change how datasets are run.

    Results never depend on these settings, save for how they are divided into blocks. A name
    or a value that is no setting raises ``InvalidOption``.

    Attributes:
        target_max_block_size: bytes; larger blocks are divided when they are made (128 MiB).
        memory_budget: bytes that one execution may take in all processes together, beside what
            they take when they do nothing: blocks in flight and waiting, what is being read, and
            what tasks work on. ``None`` is a quarter of the cluster's object store. Below 512 MiB
            fewer tasks run at a time, a row group of Parquet is decoded column by column, and
            freed memory goes back to the system at once, all of which takes time. The smallest
            that is kept to is 32 MiB, and 64 for joins by a key that very many rows have: each
            process that works keeps 3 to 5 MiB, whatever it works on, so up to 1.5 times 16 MiB
            are taken. A single block or row that is larger takes what it takes.
        eager: whether each transformation of a dataset runs to its end at the call, so that its
            errors are raised there; reading waits for the first transformation.
        enable_progress_bars: whether a run that takes a while shows on a terminal how far it is;
            see :func:`air.data.set_progress_bars`.
    """

    target_max_block_size: int = 128 << 20
    memory_budget: int | None = None
    eager: bool = False
    enable_progress_bars: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        known = [setting.name for setting in fields(self)]
        if name not in known:
            raise InvalidOption(
                f"DataContext has no setting {name!r}.{nearest(name, known)} Settings are:"
                f" {listing(known)}"
            )
        if name in ("eager", "enable_progress_bars"):
            check_flag(value, f"DataContext.{name}")
        elif value is not None or name != "memory_budget":
            check_number(value, f"{name} (in bytes)", minimum=1, integer=True)
        super().__setattr__(name, value)

    @staticmethod
    def get_current() -> DataContext:
        """The settings that are in force in this process."""
        global _current
        with _lock:
            if _current is None:
                _current = DataContext()
            return _current


def set_progress_bars(enabled: bool) -> bool:
    """Show how far runs are, or do not; off a terminal nothing is ever shown.

    Args:
        enabled: ``False`` silences all progress bars of this process.

    Returns:
        What it was before.
    """
    check_flag(enabled, "set_progress_bars: enabled")
    context = DataContext.get_current()
    before = context.enable_progress_bars
    context.enable_progress_bars = enabled
    return before
