"""Which GPUs a worker's code can see."""

from __future__ import annotations

import os
from collections.abc import Sequence

_VARIABLE = "CUDA_VISIBLE_DEVICES"


def show_gpus(slots: Sequence[int]) -> None:
    """Let CUDA see these of the node's GPUs alone, numbered from 0.

    To be called once in a process, before anything in it has used CUDA. Without GPUs the
    environment stays what it is in the driver.
    """
    if not slots:
        return
    # The node may have been given a part of the machine's GPUs itself: slot 0 is its first.
    names = [name.strip() for name in os.environ.get(_VARIABLE, "").split(",") if name.strip()]
    os.environ[_VARIABLE] = ",".join(
        names[slot] if slot < len(names) else str(slot) for slot in slots
    )
