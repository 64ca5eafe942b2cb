"""Libraries that are not installed with the package unless they are asked for."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def import_extra(module: str, what: str, install: str) -> ModuleType:
    """A module that is not there unless it was installed, for *what*, which the message names.

    Args:
        install: what ``pip install`` takes to have it.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module}, which cannot be imported ({error}). Install it with: pip"
            f' install "{install}"',
            name=module,
        ) from error


def import_pandas(what: str) -> ModuleType:
    """The module ``pandas``, for *what*, which the message begins with.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise _no_pandas(what, str(error)) from error


def check_pandas(what: str) -> None:
    """Complain as :func:`import_pandas` does, without the time that the import takes."""
    if importlib.util.find_spec("pandas") is None:
        raise _no_pandas(what, "there is no module 'pandas'")


def check_extra(module: str, what: str, install: str) -> None:
    """Complain as :func:`import_extra` does, without the time that the import takes."""
    if importlib.util.find_spec(module) is None:
        import_extra(module, what, install)


def _no_pandas(what: str, why: str) -> ImportError:
    return ImportError(
        f"{what} needs pandas, which cannot be imported ({why}). Install it with: pip install"
        ' "airloom[pandas]"',
        name="pandas",
    )
