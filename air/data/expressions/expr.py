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
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import compute as pc

from air.data.errors import UnsupportedValue, require_columns
from air.errors import InvalidOption

_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


class Expression(abc.ABC):
    """A value for each row; made by :func:`col` and :func:`lit`, never changed.

    ``+ - * / **`` and comparisons work as on Series of pandas: whole numbers wrap around and
    ``/`` gives floats. Conditions are combined with ``& | ~``. Other operands are taken as
    :func:`lit`.
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
        return Call("is_in", (self,), f"{{}}.is_in({_braced(repr(items))})", {"values": items})

    def between(self, low: Any, high: Any) -> Expression:
        """Whether ``low <= value <= high``."""
        return (self >= low) & (self <= high)

    @property
    def str(self) -> TextMethods:
        """What can be done with text."""
        return TextMethods(self)

    @property
    def dt(self) -> TimeMethods:
        """What can be done with dates and times."""
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
            return _call(self.function, values, self.options)
        except _ERRORS as error:
            kinds = ", ".join(
                f"{part!r} is {value.type}" for part, value in zip(self.parts, values, strict=True)
            )
            raise UnsupportedValue(
                f"{self!r} cannot be worked out where {kinds}: {error}"
            ) from None

    def __repr__(self) -> str:
        return self.shape.format(*map(repr, self.parts))


@dataclass(frozen=True)
class TextMethods:
    """Functions of text; see :attr:`Expression.str`."""

    _of: Expression

    def upper(self) -> Expression:
        """In capitals."""
        return Call("utf8_upper", (self._of,), "{}.str.upper()")

    def lower(self) -> Expression:
        """In small letters."""
        return Call("utf8_lower", (self._of,), "{}.str.lower()")

    def strip(self) -> Expression:
        """Without white space at both ends."""
        return Call("utf8_trim_whitespace", (self._of,), "{}.str.strip()")

    def len(self) -> Expression:
        """How many characters."""
        return Call("utf8_length", (self._of,), "{}.str.len()")

    def contains(self, pattern: str, *, regex: bool = False) -> Expression:
        """Whether *pattern* is in it: text, or a regular expression (RE2) with *regex*."""
        function = "match_substring_regex" if regex else "match_substring"
        return self._about(function, "contains", pattern)

    def starts_with(self, pattern: str) -> Expression:
        """Whether it begins with *pattern*."""
        return self._about("starts_with", "starts_with", pattern)

    def ends_with(self, pattern: str) -> Expression:
        """Whether it ends with *pattern*."""
        return self._about("ends_with", "ends_with", pattern)

    def replace(self, pattern: str, replacement: str) -> Expression:
        """With every *pattern* replaced."""
        shape = f"{{}}.str.replace({_braced(repr(pattern))}, {_braced(repr(replacement))})"
        options = {"pattern": pattern, "replacement": replacement}
        return Call("replace_substring", (self._of,), shape, options)

    def slice(self, start: int, stop: int | None = None) -> Expression:
        """The characters from *start* up to *stop*."""
        options = {"start": start, "stop": stop}
        return Call(
            "utf8_slice_codeunits", (self._of,), f"{{}}.str.slice({start}, {stop})", options
        )

    def _about(self, function: str, name: str, pattern: str) -> Expression:
        shape = f"{{}}.str.{name}({_braced(repr(pattern))})"
        return Call(function, (self._of,), shape, {"pattern": pattern})


@dataclass(frozen=True)
class TimeMethods:
    """Parts of dates and times; see :attr:`Expression.dt`."""

    _of: Expression

    def year(self) -> Expression:
        """The year."""
        return self._part("year")

    def month(self) -> Expression:
        """The month, from 1."""
        return self._part("month")

    def day(self) -> Expression:
        """The day of the month, from 1."""
        return self._part("day")

    def hour(self) -> Expression:
        """The hour."""
        return self._part("hour")

    def minute(self) -> Expression:
        """The minute."""
        return self._part("minute")

    def second(self) -> Expression:
        """The whole seconds."""
        return self._part("second")

    def day_of_week(self) -> Expression:
        """The day of the week: 0 is Monday, as in pandas."""
        return self._part("day_of_week")

    def _part(self, name: str) -> Expression:
        return Call(name, (self._of,), f"{{}}.dt.{name}()")


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


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _call(function: str, values: list[Any], options: Mapping[str, Any]) -> Any:
    if function == "divide" and all(pa.types.is_integer(value.type) for value in values):
        # As in pandas. Arrow divides whole numbers to whole ones, and refuses zero.
        values = [value.cast(pa.float64()) for value in values]
    if function == "is_in":
        return _is_in(values[0], options["values"])
    if function == "is_null":
        return pc.is_null(values[0], **options)
    return getattr(pc, function)(*values, **options)


def _is_in(values: Any, items: list[Any]) -> Any:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return pc.is_in(values, value_set=pa.array(items, kind))
