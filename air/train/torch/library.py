"""PyTorch, imported when it is needed."""

from __future__ import annotations

from typing import Any, TypeAlias

from air.executor.extras import import_extra

Model: TypeAlias = Any
"""A ``torch.nn.Module``: types are checked without torch, too."""

Optimizer: TypeAlias = Any
"""A ``torch.optim.Optimizer``."""

Tensor: TypeAlias = Any
"""A ``torch.Tensor``."""

Device: TypeAlias = Any
"""A ``torch.device``."""

DataLoader: TypeAlias = Any
"""A ``torch.utils.data.DataLoader``."""


def import_torch(what: str) -> Any:
    """The module ``torch``, for *what*, which the message begins with.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    return import_extra("torch", what, "airloom[torch]")
