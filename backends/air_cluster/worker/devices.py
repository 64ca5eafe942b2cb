"""Which GPUs a worker's code can see."""

from __future__ import annotations

import os
from collections.abc import Sequence

from air.executor.gpus import ORDER, VISIBLE, visible_names

_given: list[str] | None = None  # what the node may use of the machine's, if not all


def hide_gpus() -> None:
    """Let CUDA see none, until :func:`show_gpus`; to be called once, on a node that offers some."""
    global _given
    _given = visible_names()
    os.environ[VISIBLE] = ""


def show_gpus(slots: Sequence[int]) -> None:
    """Let CUDA see these of the node's GPUs alone, numbered from 0, if there are any of them.

    To be called once in a process, before anything in it has used CUDA.
    """
    if not slots:
        return
    given = _given
    if given is None:
        # Slots are numbered by place, as NVML does. CUDA itself would have the fastest first.
        os.environ.setdefault(ORDER, "PCI_BUS_ID")
        given = []
    names = [given[slot] if slot < len(given) else str(slot) for slot in slots]
    os.environ[VISIBLE] = ",".join(names)
