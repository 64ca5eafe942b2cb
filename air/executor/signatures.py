"""What arguments a call may have: checked where it is made, not where it runs."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def fits(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> bool:
    """Whether a function can be called so; a decorator around it may supply what it takes besides.

    Raises:
        ValueError: it is written in C, and does not say what it takes.
    """
    for follow_wrapped in (True, False):
        try:
            inspect.signature(function, follow_wrapped=follow_wrapped).bind(*args, **kwargs)
        except TypeError:
            continue
        return True
    return False


@dataclass(frozen=True, slots=True)
class CallSignature:
    """A signature for checking calls; it travels with handles, so it holds no user objects.

    Attributes:
        bare: the parameters without annotations, and with ``None`` for any default.
        least: so many positional arguments are enough, if there are no others.
        most: more are too many. Below *least* if positional arguments alone are never enough.
    """

    bare: inspect.Signature
    least: int
    most: int

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, without_first: bool = False
    ) -> CallSignature | None:
        """The signature, or ``None`` where Python cannot tell (some built-ins).

        Args:
            without_first: leave the first parameter out, which a method is bound to.
        """
        # Of what is called itself: what a decorator wraps may take more arguments, or other ones.
        # A cache passes on what it is given.
        is_cache = isinstance(function, functools._lru_cache_wrapper)
        try:
            found = inspect.signature(function, follow_wrapped=is_cache)
        except (TypeError, ValueError):
            return None
        parameters = list(found.parameters.values())
        if without_first and parameters and parameters[0].kind in _POSITIONAL:
            del parameters[0]
        bare = inspect.Signature(
            [
                one.replace(annotation=_EMPTY, default=_EMPTY if one.default is _EMPTY else None)
                for one in parameters
            ]
        )
        positional = [one for one in parameters if one.kind in _POSITIONAL]
        most = len(positional)
        for one in parameters:
            if one.kind is inspect.Parameter.VAR_POSITIONAL:
                most = sys.maxsize
        for one in parameters:
            if one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is _EMPTY:
                most = -1
        return cls(bare, sum(one.default is _EMPTY for one in positional), most)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> None:
        """Complain about arguments that *what* does not take.

        Raises:
            TypeError: one is missing, unknown, too many, or given twice.
        """
        if not kwargs and self.least <= len(args) <= self.most:
            return  # the usual case, in a tenth of the time
        try:
            self.bare.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{what}: {error}") from None
