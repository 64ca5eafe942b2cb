"""Has Ctrl-C wait while a large library is loaded, whoever asks for it.

These libraries consist of hundreds of extension modules. Some drop what is raised while they are
loaded, some make an ``ImportError`` of it; and pyarrow, which loads pandas when it makes its first
table, goes on without it. None takes long to load.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType

from air.executor.interrupts import HeldInterrupts

LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "xgboost"})


class ShieldingFinder:
    """Finds what the other finders find, and sees to how it is executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of one of `LIBRARIES`; ``None`` for any other module."""
        if fullname not in LIBRARIES:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)):
                loader = spec.loader
                if isinstance(loader, SourceFileLoader):
                    loader.exec_module = functools.partial(  # type: ignore[method-assign]
                        _execute, loader
                    )
                return spec
        return None


def install() -> None:
    """Shield what is imported from now on; without effect the second time."""
    if not any(isinstance(finder, ShieldingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ShieldingFinder())


def _execute(loader: SourceFileLoader, module: ModuleType) -> None:
    del loader.exec_module  # leaves the loader as others know it
    with HeldInterrupts():
        loader.exec_module(module)
