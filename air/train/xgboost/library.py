"""The XGBoost library, imported when it is needed."""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from air.errors import InvalidOption
from air.executor.interrupts import called_from_c
from air.executor.validation import reject_unknown
from air.train.columns import Library

LIBRARY = Library("XGBoost", ("weight", "base_margin", "qid"), "[]<")


def import_xgboost() -> ModuleType:
    """The module ``xgboost``.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            f'XGBoost cannot be imported ({error}). Install it with: pip install "airloom[xgboost]"'
        ) from error
    return xgboost


def check_booster(model: object, function: str) -> None:
    """Raise `InvalidOption` for anything but an ``xgboost.Booster``."""
    if not isinstance(model, import_xgboost().Booster):
        hint = ""
        if hasattr(model, "get_booster"):
            hint = " Of a model of XGBoost's scikit-learn interface, give model.get_booster()."
        raise InvalidOption(f"{function} takes an xgboost.Booster, got {model!r:.80}.{hint}")


def check_dmatrix_kwargs(options: object, what: str) -> None:
    """Raise `InvalidOption` for what is no dict of options that ``xgboost.DMatrix`` takes."""
    if not isinstance(options, Mapping):
        raise InvalidOption(f"{what} must be a dict, got {options!r:.80}")
    known = inspect.signature(import_xgboost().DMatrix.__init__).parameters.keys()
    reject_unknown(options, known - {"self", "data"}, what=what)


def listen_in_this_thread() -> None:
    """Let what XGBoost has to say in this thread come out as Python's output and warnings.

    XGBoost keeps where to send its messages for each thread, and sets it only in the thread that
    imports it; in others they go past Python to the process's standard streams. Ctrl-C is not lost
    in what takes them, as it would be in XGBoost's own.
    """
    from xgboost.core import _LIB

    _LIB.XGBRegisterLogCallback(_callback(_pass_on))


def ignore_in_this_thread() -> None:
    """Let nothing more be heard of what XGBoost has to say in this thread."""
    from xgboost.core import _LIB

    _LIB.XGBRegisterLogCallback(_callback(_drop))


@functools.cache
def _callback(function: Callable[[bytes], None]) -> Any:
    """What XGBoost can call for as long as the process lives."""
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p)(function)


@called_from_c
def _pass_on(message: bytes) -> None:
    """Do with a message what XGBoost does with it."""
    from xgboost.core import _LIB

    _LIB.callback(message)


@called_from_c
def _drop(_message: bytes) -> None:
    """Do nothing with a message."""
