"""What functions of PyTorch's world give, as arrays; imports nothing of it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def as_array(value: Any) -> Any:
    """A tensor as an array, and as a number if it has no dimension; anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    array: np.ndarray = value.detach().cpu().numpy()
    return array if array.ndim else array.item()
