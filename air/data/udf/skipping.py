"""Rows that are left out because a function failed for them: what is noted where that happens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from air.data.blocks.block import Block, accessor, owned
from air.data.blocks.metadata import BlockMetadata, Rejected
from air.data.errors import TooManyErrors
from air.data.udf.dead_letters import DeadLetters, Letter
from air.errors import InvalidOption
from air.executor.validation import check_number, listing, nearest

if TYPE_CHECKING:
    from air.data.udf.positions import At

_LETTERS = 1000
"""So many rows are written to one file at most."""

_MODES = ("raise", "skip")


@dataclass(frozen=True, slots=True)
class Skips:
    """That an operator leaves out rows that its function fails for.

    Attributes:
        max_errors: more of them are an error; ``None`` for any number.
        letters: where they are written to; ``None`` if they are only counted.
        key: which operator of a run it is; given when the plan runs.
    """

    max_errors: int | None = None
    letters: DeadLetters | None = None
    key: int = 0


def check_skips(
    operator: str, on_error: object, dead_letter: object, max_errors: object
) -> Skips | None:
    """What an operator was told about rows that its function fails for, checked.

    Raises:
        InvalidOption: no mode (names the nearest), a bad number, a directory that is none, or
            options for skipping where nothing is skipped.
    """
    if not isinstance(on_error, str) or on_error not in _MODES:
        raise InvalidOption(
            f"{operator}: unknown on_error {on_error!r:.80}.{nearest(str(on_error), _MODES)}"
            f" It may be {listing(_MODES)}"
        )
    if on_error == "raise":
        for name, value in (("dead_letter", dead_letter), ("max_errors", max_errors)):
            if value is not None:
                raise InvalidOption(
                    f"{operator}: {name} is about rows that are skipped: give on_error='skip'"
                    " with it"
                )
        return None
    if max_errors is not None:
        check_number(max_errors, f"{operator}: max_errors", minimum=0, integer=True)
    letters = None if dead_letter is None else DeadLetters.checked(operator, dead_letter)
    return Skips(max_errors, letters)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Noted:
    """What one operator has left out of a unit so far, and has not been told of."""

    name: str
    skips: Skips
    total: int = 0
    count: int = 0
    first: str = ""
    letters: list[Letter] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    parts: int = 0


class Skipped:
    """Rows that a stage leaves out of a unit; taken along with the blocks that come out of it."""

    def __init__(self, unit: str, before: tuple[Rejected, ...] = ()) -> None:
        """Begin with a *unit*, and with what was left out *before* it came here."""
        self._unit = unit
        self._before = before
        self._noted: dict[int, _Noted] = {}

    def add(self, name: str, skips: Skips, row: Block, at: At, error: Exception) -> None:
        """The function of the operator *name* has failed for the one row of *row*.

        Raises:
            TooManyErrors: that is one too many.
        """
        noted = self._noted.setdefault(skips.key, _Noted(name, skips))
        said = f"{type(error).__name__}: {error}"
        if skips.max_errors is not None and noted.total >= skips.max_errors:
            raise too_many(name, skips.max_errors, f"{said}, at {at.place}") from error
        noted.total += 1
        noted.count += 1
        noted.first = noted.first or f"{said}, at {at.place}"
        if skips.letters is not None:
            source, number = at.origin
            column = ", ".join(at.columns_of(error)) or None
            kind = type(error).__name__
            noted.letters.append(Letter(row, name, kind, str(error), source, number, column))
            if len(noted.letters) >= _LETTERS:
                self._write(noted)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._before) or any(noted.count for noted in self._noted.values())

    def taken(self) -> tuple[Rejected, ...]:
        """What was left out since this was asked last; rows are written first."""
        told, self._before = list(self._before), ()
        for key, noted in self._noted.items():
            if noted.count:
                self._write(noted)
                told.append(Rejected(key, noted.count, noted.first, tuple(noted.files)))
                noted.count, noted.first, noted.files = 0, "", []
        return tuple(told)

    def _write(self, noted: _Noted) -> None:
        if noted.skips.letters is not None and noted.letters:
            part = f"{self._unit}-{noted.parts:03d}"
            noted.files += noted.skips.letters.write(part, noted.letters)
            noted.parts += 1
            noted.letters = []


def too_many(name: str, max_errors: int, last: str) -> TooManyErrors:
    """What to raise where more than *max_errors* rows have failed."""
    return TooManyErrors(
        f"{name} failed for more than max_errors={max_errors} rows; of one more it said {last}"
    )


def without_rejected(metadata: BlockMetadata) -> BlockMetadata:
    """*metadata* of a block whose rejected rows have been counted."""
    return replace(metadata, rejected=())


def rows_to_try(block: Block) -> Any:
    """The rows of *block* for a function that may change one before it fails."""
    return accessor(owned(block)).rows()
