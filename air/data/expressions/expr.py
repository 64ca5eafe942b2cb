"""Expressions over columns, which Arrow works out a block at a time: ``col("a") + 1 > lit(3)``.

Unlike a function, an expression says which columns it needs and what it does with them, so that
files are read for it in part only, and no row becomes a Python object.

Missing values follow Arrow and SQL: what is worked out from one is missing, ``&`` and ``|`` decide
where the other side suffices (Kleene's logic), and :meth:`air.data.Dataset.filter` drops rows for
which a condition is missing. NaN is missing to ``is_null`` and ``fill_null``, as in pandas.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa

from air.data.errors import UnsupportedValue, require_columns
from air.data.expressions.kernels import as_type_of, call
from air.errors import InvalidOption

if TYPE_CHECKING:
    from air.data.expressions.accessors import TextMethods, TimeMethods

_ARITHMETIC = ("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power")
_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


class Expression(abc.ABC):
    """A value for each row; made by :func:`col` and :func:`lit`, never changed.

    ``+ - * / // % **`` and comparisons work as on Series of pandas: whole numbers wrap around,
    numbers of Python do not widen a column (``float32 * 2.5`` is ``float32``), ``/`` gives floats,
    and what ``%`` leaves has the sign of the divisor. Unlike there, ``//`` and ``%`` of whole
    numbers are missing where the divisor is zero, so that the type of a column does not depend on
    its values. Conditions are combined with ``& | ~``. Other operands are taken as :func:`lit`.
    """

    __hash__ = object.__hash__

    @abc.abstractmethod
    def columns(self) -> frozenset[str]:
        """The columns that it is worked out from."""

    @abc.abstractmethod
    def renamed(self, names: Mapping[str, str]) -> Expression:
        """The same of other columns: *names* says what takes the place of each."""

    @abc.abstractmethod
    def evaluate(self, table: pa.Table) -> pa.ChunkedArray | pa.Array | pa.Scalar:
        """The values for the rows of *table*; a scalar if it is one for all.

        Raises:
            ColumnNotFound: a column is not there.
            UnsupportedValue: not defined for the types; names the expression and the types.
        """

    def __add__(self, other: Any) -> Expression:
        return _binary("add", "+", self, other)

    def __radd__(self, other: Any) -> Expression:
        return _binary("add", "+", other, self)

    def __sub__(self, other: Any) -> Expression:
        return _binary("subtract", "-", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return _binary("subtract", "-", other, self)

    def __mul__(self, other: Any) -> Expression:
        return _binary("multiply", "*", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return _binary("multiply", "*", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return _binary("divide", "/", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return _binary("divide", "/", other, self)

    def __floordiv__(self, other: Any) -> Expression:
        return _binary("floor_divide", "//", self, other)

    def __rfloordiv__(self, other: Any) -> Expression:
        return _binary("floor_divide", "//", other, self)

    def __mod__(self, other: Any) -> Expression:
        return _binary("remainder", "%", self, other)

    def __rmod__(self, other: Any) -> Expression:
        return _binary("remainder", "%", other, self)

    def __pow__(self, other: Any) -> Expression:
        return _binary("power", "**", self, other)

    def __neg__(self) -> Expression:
        return Call("negate", (self,), "(-{})")

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary("equal", "==", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary("not_equal", "!=", self, other)

    def __lt__(self, other: Any) -> Expression:
        return _binary("less", "<", self, other)

    def __le__(self, other: Any) -> Expression:
        return _binary("less_equal", "<=", self, other)

    def __gt__(self, other: Any) -> Expression:
        return _binary("greater", ">", self, other)

    def __ge__(self, other: Any) -> Expression:
        return _binary("greater_equal", ">=", self, other)

    def __and__(self, other: Any) -> Expression:
        return _binary("and_kleene", "&", self, other)

    def __rand__(self, other: Any) -> Expression:
        return _binary("and_kleene", "&", other, self)

    def __or__(self, other: Any) -> Expression:
        return _binary("or_kleene", "|", self, other)

    def __ror__(self, other: Any) -> Expression:
        return _binary("or_kleene", "|", other, self)

    def __invert__(self) -> Expression:
        return Call("invert", (self,), "~{}")

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} has a value for each row and is neither true nor false: combine conditions"
            " with & | ~ in place of and, or, not, and put parentheses around comparisons"
        )

    def abs(self) -> Expression:
        """The distance from zero."""
        return Call("abs", (self,), "{}.abs()")

    def round(self, ndigits: int = 0) -> Expression:
        """Rounded to *ndigits* places after the point, halves to the even neighbour."""
        options = {"ndigits": ndigits, "round_mode": "half_to_even"}
        return Call("round", (self,), f"{{}}.round({ndigits})", options)

    def cast(self, kind: Any) -> Expression:
        """As another Arrow type, or one named by text such as ``"float64"``.

        Raises:
            InvalidOption: there is no such type. A value that does not fit raises
                ``UnsupportedValue`` when the plan runs.
        """
        try:
            kind = pa.type_for_alias(kind) if isinstance(kind, str) else kind
        except ValueError:
            raise InvalidOption(f"cast: {kind!r} is the name of no Arrow type") from None
        if not isinstance(kind, pa.DataType):
            raise InvalidOption(f"cast takes an Arrow type or its name, got {kind!r:.80}")
        return Call("cast", (self,), f"{{}}.cast({str(kind)!r})", {"target_type": kind})

    def is_null(self) -> Expression:
        """Whether the value is missing (or NaN)."""
        return Call("is_null", (self,), "{}.is_null()", {"nan_is_null": True})

    def is_not_null(self) -> Expression:
        """Whether the value is there."""
        return Call("invert", (self.is_null(),), "~{}")

    def fill_null(self, value: Any) -> Expression:
        """*value*, another expression or one for all, where this one is missing (or NaN)."""
        return if_else(self.is_null(), value, self)

    def is_in(self, values: Iterable[Any]) -> Expression:
        """Whether the value is one of *values*; a missing one is if ``None`` is among them."""
        if isinstance(values, (str, bytes, Expression)):
            raise InvalidOption(f"is_in takes a list of values, got {values!r:.80}")
        items = list(values)
        return Call("is_in", (self,), f"{{}}.is_in({braced(repr(items))})", {"items": items})

    def between(self, low: Any, high: Any) -> Expression:
        """Whether ``low <= value <= high``."""
        return (self >= low) & (self <= high)

    @property
    def str(self) -> TextMethods:
        """What can be done with text."""
        from air.data.expressions.accessors import TextMethods  # which is made of expressions

        return TextMethods(self)

    @property
    def dt(self) -> TimeMethods:
        """What can be done with dates and times."""
        from air.data.expressions.accessors import TimeMethods

        return TimeMethods(self)


@dataclass(frozen=True, eq=False, repr=False)
class Column(Expression):
    """The values of a column."""

    name: str

    def columns(self) -> frozenset[str]:
        return frozenset((self.name,))

    def renamed(self, names: Mapping[str, str]) -> Expression:
        return Column(names.get(self.name, self.name))

    def evaluate(self, table: pa.Table) -> pa.ChunkedArray:
        require_columns([self.name], table.column_names, "an expression")
        return table[self.name]

    def __repr__(self) -> str:
        return f"col({self.name!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Literal(Expression):
    """One value for all rows."""

    value: Any

    def columns(self) -> frozenset[str]:
        return frozenset()

    def renamed(self, names: Mapping[str, str]) -> Expression:
        return self

    def evaluate(self, table: pa.Table) -> pa.Scalar:
        return pa.scalar(self.value)

    def __repr__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, eq=False, repr=False)
class Call(Expression):
    """One of Arrow's functions of other expressions.

    Attributes:
        function: its name.
        parts: what it is called with.
        shape: how it is written, with braces for the parts.
        options: what else it is told.
    """

    function: str
    parts: tuple[Expression, ...]
    shape: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def columns(self) -> frozenset[str]:
        return frozenset().union(*(part.columns() for part in self.parts))

    def renamed(self, names: Mapping[str, str]) -> Expression:
        return replace(self, parts=tuple(part.renamed(names) for part in self.parts))

    def evaluate(self, table: pa.Table) -> pa.ChunkedArray | pa.Array | pa.Scalar:
        values = [part.evaluate(table) for part in self.parts]
        try:
            return call(self.function, self._fitted(values), self.options)
        except _ERRORS as error:
            kinds = ", ".join(
                f"{part!r} is {value.type}" for part, value in zip(self.parts, values, strict=True)
            )
            raise UnsupportedValue(
                f"{self!r} cannot be worked out where {kinds}: {error}"
            ) from None

    def _fitted(self, values: list[Any]) -> list[Any]:
        """Numbers of Python take the type of what they meet, as in numpy (NEP 50)."""
        if self.function not in _ARITHMETIC or len(values) != 2:
            return values
        left, right = values
        if type(getattr(self.parts[1], "value", None)) in (int, float):
            return [left, as_type_of(right, left.type)]
        if type(getattr(self.parts[0], "value", None)) in (int, float):
            return [as_type_of(left, right.type), right]
        return values

    def __repr__(self) -> str:
        return self.shape.format(*map(repr, self.parts))


def col(name: str) -> Expression:
    """The values of the column *name*.

    Raises:
        InvalidOption: *name* is no text.
    """
    if not isinstance(name, str):
        raise InvalidOption(f"col takes the name of a column, got {name!r:.80}")
    return Column(name)


def lit(value: Any) -> Expression:
    """One value for all rows: a number, text, bytes, a date or time, ``None``.

    Raises:
        InvalidOption: Arrow has no type for it.
    """
    try:
        pa.scalar(value)
    except _ERRORS as error:
        raise InvalidOption(f"lit: Arrow has no type for {value!r:.80} ({error})") from None
    return Literal(value)


def if_else(condition: Expression, then: Any, otherwise: Any) -> Expression:
    """*then* in rows for which *condition* is true, *otherwise* where it is false.

    Missing where the condition is. Both may be expressions or values.
    """
    parts = (_expression(condition), _expression(then), _expression(otherwise))
    return Call("if_else", parts, "if_else({}, {}, {})")


def _expression(value: Any) -> Expression:
    return value if isinstance(value, Expression) else lit(value)


def _binary(function: str, sign: str, left: Any, right: Any) -> Expression:
    if function in ("equal", "not_equal") and (left is None or right is None):
        raise InvalidOption(f"nothing is {sign} None: ask for is_null() or is_not_null()")
    return Call(function, (_expression(left), _expression(right)), f"({{}} {sign} {{}})")


def braced(text: str) -> str:
    """*text* as the shape of a :class:`Call` needs it."""
    return text.replace("{", "{{").replace("}", "}}")
