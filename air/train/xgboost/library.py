"""The XGBoost library, imported when it is needed."""

from __future__ import annotations

from types import ModuleType


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


def listen_in_this_thread() -> None:
    """Let what XGBoost has to say in this thread come out as Python's output and warnings.

    XGBoost keeps where to send its messages for each thread, and sets it only in the thread that
    imports it; in others they go past Python to the process's standard streams.
    """
    from xgboost.core import _LIB

    _LIB.XGBRegisterLogCallback(_LIB.callback)
