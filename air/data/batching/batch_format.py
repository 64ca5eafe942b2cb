"""The shapes in which functions see batches, and how one is chosen."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from air.errors import InvalidOption
from air.executor.extras import check_extra, check_pandas
from air.executor.validation import listing, nearest

DEFAULT, NUMPY, PANDAS, PYARROW = "default", "numpy", "pandas", "pyarrow"
POLARS = "polars"
BATCH_FORMATS = (DEFAULT, NUMPY, PANDAS, POLARS, PYARROW)
"""``"default"`` is ``"numpy"`` for records, and a list for plain objects."""


def check_batch_format(batch_format: object) -> str:
    """Return *batch_format* if it is one.

    Raises:
        InvalidOption: names the nearest format.
        ImportError: it is that of pandas or Polars, which is not installed.
    """
    if isinstance(batch_format, str) and batch_format in BATCH_FORMATS:
        if batch_format == PANDAS:
            check_pandas("batch_format='pandas'")
        if batch_format == POLARS:
            check_extra("polars", "batch_format='polars'", "airloom[polars]")
        return batch_format
    raise InvalidOption(
        f"batch_format {batch_format!r} is unknown.{nearest(batch_format, BATCH_FORMATS)}"
        f" Formats are: {listing(BATCH_FORMATS)}"
    )


def resolve_batch_format(batch_format: object, fn: Callable[..., Any]) -> str:
    """*batch_format* checked; ``"default"`` gives way to what *fn* declares.

    The annotation of the first parameter decides: ``pandas.DataFrame``, ``polars.DataFrame``,
    ``pyarrow.Table`` or ``dict[str, numpy.ndarray]``, as classes or as text.
    """
    checked = check_batch_format(batch_format)
    return check_batch_format(annotated_format(fn) or DEFAULT) if checked == DEFAULT else checked


def annotated_format(fn: Callable[..., Any]) -> str | None:
    """The format that the first parameter of *fn* is annotated with, if any."""
    target = _written(fn)
    # The signature of a functools.partial leaves out what it gives by itself.
    signed = fn if isinstance(fn, functools.partial) else target
    try:
        parameters = list(inspect.signature(signed).parameters.values())
    except (TypeError, ValueError):
        return None
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    if not parameters or parameters[0].annotation is inspect.Parameter.empty:
        return None
    annotation = parameters[0].annotation
    if isinstance(annotation, str):
        annotation = _evaluate(target, parameters[0].name, annotation)
    return _format_of(annotation)


def _written(fn: Any) -> Any:
    """The function whose signature was written: *fn*, or what calling *fn* calls."""
    if isinstance(fn, functools.partial):
        return _written(fn.func)
    if inspect.isclass(fn):
        return fn.__call__
    return fn if inspect.isroutine(fn) else type(fn).__call__


def is_pandas_frame(value: object) -> bool:
    """Whether *value* is a ``pandas.DataFrame``, without importing pandas."""
    return any(_named(cls, "pandas", "DataFrame") for cls in type(value).__mro__)


def is_polars_frame(value: object) -> bool:
    """Whether *value* is a ``polars.DataFrame``, without importing Polars."""
    return any(_named(cls, "polars", "DataFrame") for cls in type(value).__mro__)


def is_frame(value: object) -> bool:
    """Whether *value* is a ``DataFrame`` of pandas or of Polars."""
    return is_pandas_frame(value) or is_polars_frame(value)


def _evaluate(target: Any, name: str, annotation: str) -> Any:
    try:
        return typing.get_type_hints(inspect.unwrap(target)).get(name, annotation)
    except Exception:  # an annotation may name anything, and need not exist at run time
        return annotation


def _format_of(annotation: Any) -> str | None:
    if isinstance(annotation, str):
        module, _, name = annotation.partition("[")[0].strip().rpartition(".")
        if name == "DataFrame" and module in ("", "pd", "pandas"):
            return PANDAS
        if name == "DataFrame" and module in ("pl", "polars"):
            return POLARS
        if name == "Table" and module in ("", "pa", "pyarrow"):
            return PYARROW
        return NUMPY if name in ("dict", "Dict", "Mapping") else None
    origin = typing.get_origin(annotation) or annotation
    if not inspect.isclass(origin):
        return None
    if _named(origin, "pandas", "DataFrame"):
        return PANDAS
    if _named(origin, "polars", "DataFrame"):
        return POLARS
    if _named(origin, "pyarrow", "Table"):
        return PYARROW
    is_mapping = origin is dict or _named(origin, "collections", "Mapping")
    return NUMPY if is_mapping else None


def _named(cls: type, package: str, name: str) -> bool:
    return cls.__name__ == name and cls.__module__.partition(".")[0] == package
