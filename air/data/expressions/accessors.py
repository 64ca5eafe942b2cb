"""What expressions over text and times can do: ``col("a").str.upper()``, ``col("b").dt.year()``."""

from __future__ import annotations

from dataclasses import dataclass

from air.data.expressions.expr import Call, Expression, braced


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
        shape = f"{{}}.str.replace({braced(repr(pattern))}, {braced(repr(replacement))})"
        options = {"pattern": pattern, "replacement": replacement}
        return Call("replace_substring", (self._of,), shape, options)

    def slice(self, start: int, stop: int | None = None) -> Expression:
        """The characters from *start* up to *stop*."""
        options = {"start": start, "stop": stop}
        return Call(
            "utf8_slice_codeunits", (self._of,), f"{{}}.str.slice({start}, {stop})", options
        )

    def _about(self, function: str, name: str, pattern: str) -> Expression:
        shape = f"{{}}.str.{name}({braced(repr(pattern))})"
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
