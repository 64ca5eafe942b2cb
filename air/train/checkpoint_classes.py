"""The class of a checkpoint, kept beside it: so that it comes back as what it was."""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import reduce
from typing import Any

from air.checkpoint import Checkpoint


def class_of(checkpoint: Checkpoint) -> str | None:
    """The name of its class, ``None`` for the plain one."""
    kind = type(checkpoint)
    return None if kind is Checkpoint else f"{kind.__module__}:{kind.__qualname__}"


def open_as(name: str | None, path: str) -> Checkpoint:
    """The checkpoint in a directory, of the class of that name if it can be found."""
    kind: Any = Checkpoint
    if name is not None:
        module, _, qualname = name.partition(":")
        # It may have been defined in a function, not be installed here, or be something else now.
        with suppress(ImportError, AttributeError):
            kind = reduce(getattr, qualname.split("."), importlib.import_module(module))
        if not (isinstance(kind, type) and issubclass(kind, Checkpoint)):
            kind = Checkpoint
    checkpoint: Checkpoint = kind.from_directory(path)
    return checkpoint
