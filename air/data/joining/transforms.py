"""Joins of pieces of two sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block, accessor, concat, require_table
from air.data.blocks.choosing import combined, kept, taken
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import ValuesDoNotFit, conform, empty_table
from air.data.each_block import EachBlock
from air.data.errors import UnsupportedValue
from air.data.execution.exchange.ordering import stable_order
from air.data.execution.exchange.transforms import together
from air.data.grouping.first import ROW_NUMBER, first_rows_of
from air.data.grouping.keys import check_keys, comparable, groups_of, plain
from air.data.grouping.whole import changes, group_keys, rows_before
from air.data.joining.index import WholeKeys
from air.data.joining.matching import HeldRows, Matches, Pairs
from air.data.joining.spec import JoinSpec
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext

_LEAST_ROWS = 1024


@dataclass(frozen=True)
class _Join(Transform):
    """What both kinds of joins know.

    Attributes:
        bytes_at_a_time: how large blocks are that come out, about.
    """

    spec: JoinSpec
    bytes_at_a_time: int

    @property
    def name(self) -> str:
        return self.spec.name

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def joined(self, stream: pa.Table, held: pa.Table, matches: Matches) -> Iterator[pa.Table]:
        """The rows of both sides that go together, in tables of some size."""
        if self.spec.only_left:
            yield kept(stream, pa.array((matches.found > 0) == (self.spec.how == "semi")))
            return
        row_bytes = sum(side.nbytes // max(len(side), 1) + 1 for side in (stream, held))
        for pairs in matches.some(max(self.bytes_at_a_time // row_bytes, _LEAST_ROWS)):
            yield self._put_together(stream, held, pairs)

    @property
    def keeps_stream(self) -> bool:
        """Whether rows of the stream come out that have no match, with all that do."""
        return self.spec.how in ("left", "right")

    def _put_together(self, stream: pa.Table, held: pa.Table, pairs: Pairs) -> pa.Table:
        sides, rows = (stream, held), (pairs.stream, pairs.held)
        if self.spec.streams_right:
            sides, rows = sides[::-1], rows[::-1]
        names = [[name for name in side.column_names if name != ROW_NUMBER] for side in sides]
        left, right = (_rows_of(side, row) for side, row in zip(sides, rows, strict=True))
        made = {}
        for column in self.spec.columns(*names):
            if column.left is None:
                made[column.name] = right[column.right]
            elif column.right is None or self.spec.how in ("inner", "left"):
                made[column.name] = left[column.left]
            else:
                made[column.name] = self._key(left, right, column.left, rows[0] >= 0)
        if ROW_NUMBER in stream.column_names:
            made[ROW_NUMBER] = stream[ROW_NUMBER].take(pa.array(pairs.stream))
        return pa.table(made)

    def _key(
        self, left: pa.Table, right: pa.Table, name: str, is_left: np.ndarray
    ) -> pa.ChunkedArray:
        """A key, of the left side where there is one."""
        at = self.spec.left_on.index(name)
        kind = self.spec.key_types(left.schema, right.schema).field(at).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        known = plain(pa.chunked_array([pa.nulls(0, kind)])).type
        both = [plain(side[name]).cast(known) for side in (left, right)]
        return pc.if_else(pa.array(is_left), *both).cast(kind)

    def numbered(
        self, stream: pa.Table, held: pa.Table, rows: np.ndarray | None, *, in_order: bool
    ) -> tuple[np.ndarray, HeldRows]:
        """Numbers for the keys of both sides: of each row of the stream, and the held rows by them.

        Args:
            rows: see :class:`HeldRows`.
            in_order: of keys the smaller have the smaller numbers.
        """
        known = None if in_order else WholeKeys.of(held, rows)
        if known is not None:
            return known.codes(stream), known.rows
        both = concat([stream, held])
        assert isinstance(both, pa.Table)
        if in_order:
            sort_keys = group_keys(both.column_names)
            order = stable_order(both, sort_keys, is_runs=True)
            codes = np.empty(len(order), np.int64)
            codes[order] = np.cumsum(changes(taken(both, pa.array(order)), sort_keys)) - 1
        else:
            codes = groups_of(both, both.column_names, self.name).of_row
        keys = int(codes.max(initial=-1)) + 1
        return codes[: len(stream)], HeldRows(codes[len(stream) :], keys, rows)

    def keys(self, stream: pa.Table, held: pa.Table) -> tuple[pa.Table, pa.Table]:
        """What is compared of both sides, in types that both have.

        Raises:
            ColumnNotFound, UnsupportedValue: as :meth:`JoinSpec.key_types`; or a value does not fit
                the common type.
        """
        if self.spec.streams_right:
            left, right = compared(self.spec, held, stream)
            return right, left
        return compared(self.spec, stream, held)


def compared(spec: JoinSpec, left: pa.Table, right: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The keys of both sides in types that both have, as :meth:`JoinSpec.key_types` names them."""
    kinds = spec.key_types(left.schema, right.schema)
    made = []
    for table, names in ((left, spec.left_on), (right, spec.right_on)):
        made.append(as_keys(spec, table.select(list(names)), names, kinds))
    return made[0], made[1]


def as_keys(spec: JoinSpec, table: pa.Table, names: Sequence[str], kinds: pa.Schema) -> pa.Table:
    """The columns *names* of *table* in the types in which keys are compared.

    Raises:
        UnsupportedValue: a value does not fit; names the column.
    """
    columns = {key: table[name] for key, name in zip(kinds.names, names, strict=True)}
    try:
        return conform(pa.table(columns), kinds)
    except ValuesDoNotFit as error:
        name = names[kinds.names.index(error.column)]
        raise UnsupportedValue(
            f"{spec.name}: {name!r} has the type {error.kind}, and not all its values fit"
            f" {error.common}, in which it is compared: {error.why}"
        ) from None


def _rows_of(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Rows of a table; nulls for -1."""
    if len(rows) == len(table) and np.array_equal(rows, np.arange(len(rows))):
        return table
    missing = rows < 0
    return taken(table, pa.array(rows, mask=missing) if missing.any() else pa.array(rows))


@dataclass(frozen=True)
class JoinWith(_Join):
    """Each block joined with all rows of the other side."""

    held: BlockHandle
    is_for_each_block = True

    def open(self) -> BlockFunction:
        whole = self.held.get()
        assert isinstance(whole, pa.Table)
        numbered: dict[pa.Schema, WholeKeys | None] = {}

        def step(block: Block, _before: int, _context: TaskContext) -> Iterable[Block]:
            table = require_table(block, self.name)
            return (block,) if table is None else self._with(table, whole, numbered)

        return EachBlock(step)

    def _with(
        self, stream: pa.Table, held: pa.Table, numbered: dict[pa.Schema, WholeKeys | None]
    ) -> Iterator[pa.Table]:
        """The rows that come of a block.

        Args:
            numbered: the keys of the held side in each type in which they were compared so far.
        """
        keys = self.keys(stream, held)
        kinds = keys[0].schema
        check_keys(keys[0], kinds.names, self.name)
        if kinds not in numbered:
            numbered[kinds] = WholeKeys.of(keys[1])
        known = numbered[kinds]
        if known is not None:
            matches = Matches(known.codes(keys[0]), known.rows, keep=self.keeps_stream)
            return self.joined(stream, held, matches)
        rows = None
        if len(held) > len(stream):
            near = _may_match(*keys)
            keys, rows = (keys[0], kept(keys[1], near)), np.flatnonzero(near)
        codes, held_rows = self.numbered(*keys, rows, in_order=False)
        matches = Matches(codes, held_rows, keep=self.keeps_stream)
        return self.joined(stream, held, matches)


def _may_match(few: pa.Table, many: pa.Table) -> pa.ChunkedArray:
    """Which rows of *many* have in each column a value that *few* has there."""
    found = None
    for name in few.column_names:
        values = combined(comparable(few[name]))
        own = pc.is_in(comparable(many[name]), value_set=values)
        found = own if found is None else pc.and_(found, own)
    return found


@dataclass(frozen=True, slots=True)
class PartOfJoin:
    """A unit of a join of sorted runs.

    Attributes:
        rows: of the first side in the unit; those of the other follow.
        first, last: a row each with the keys that it begins with and ends before; ``None`` is no
            bound. Rows beyond are left out.
        is_after: it begins behind *first*, and not with it.
        is_one_key: it ends with *last*, which is the only key.
        has_key: the first side has a row with that one, though perhaps in another unit.
    """

    rows: int
    first: pa.Table | None
    last: pa.Table | None
    is_after: bool = False
    is_one_key: bool = False
    has_key: bool = False

    def holds(self, keys: pa.Table) -> np.ndarray:
        """Which rows have keys of the part."""
        chosen = np.ones(len(keys), bool)
        if self.first is not None:
            chosen &= ~rows_before(keys, self.first, or_equal=self.is_after)
        if self.last is not None:
            chosen &= rows_before(keys, self.last, or_equal=self.is_one_key)
        return chosen


@dataclass(frozen=True)
class JoinParts(_Join):
    """The rows of both sides with some keys joined; those of the stream stand first in a unit.

    Attributes:
        held_bytes: of the other side so much is joined at a time, where a key has very many rows;
            ``None`` for all, as it must be where the order of its rows matters.
    """

    parts: tuple[PartOfJoin, ...]
    schemas: tuple[pa.Schema, pa.Schema]
    held_bytes: int | None

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            part = self.parts[context.index]
            blocks = iter(blocks)
            stream = self._whole(_with_rows(blocks, part.rows), self.schemas[0])
            is_matched = np.zeros(len(stream), bool)
            some: list[Block] = []
            size = 0
            for block in blocks:
                if self.held_bytes is not None and size >= self.held_bytes:
                    held = self._whole(some, self.schemas[1])
                    some, size = [], 0
                    yield from self._of_part(part, stream, held, is_matched, is_last=False)
                some.append(block)
                size += accessor(block).size_bytes()
            held = self._whole(some, self.schemas[1])
            some.clear()
            yield from self._of_part(part, stream, held, is_matched, is_last=True)

        return run

    def _whole(self, blocks: Iterable[Block], schema: pa.Schema) -> pa.Table:
        whole = concat([empty_table(schema), together(blocks)])
        assert isinstance(whole, pa.Table)  # scatters have seen to that
        return conform(whole, schema)

    def _of_part(
        self,
        part: PartOfJoin,
        stream: pa.Table,
        held: pa.Table,
        is_matched: np.ndarray,
        *,
        is_last: bool,
    ) -> Iterator[pa.Table]:
        """What comes out for some rows of the other side, of which these may be the last.

        Args:
            is_matched: for each row of the stream whether there has been such a row; updated.
        """
        keys = self.keys(stream, held)
        near, there = (np.flatnonzero(part.holds(own)) for own in keys)
        own, other = taken(keys[0], pa.array(near)), taken(keys[1], pa.array(there))
        by_key = self.spec.how == "outer"
        codes, held_rows = self.numbered(own, other, there, in_order=by_key)
        found = held_rows.counts[codes] > 0
        keeps = is_last and (self.keeps_stream or by_key)
        # Who has had a match has one more here, or is left out; the others wait for the last.
        chosen = found | ~is_matched[near] if keeps else found
        is_matched[near] |= found
        if self.spec.only_left:
            if not is_last:
                return
            chosen = is_matched[near] == (self.spec.how == "semi")
        rows, codes = near[chosen], codes[chosen]
        if ROW_NUMBER in stream.column_names:
            # In their own order, so that nobody needs to sort what comes of them.
            order = np.argsort(stream[ROW_NUMBER].to_numpy()[rows])
            rows, codes = rows[order], codes[order]
        stream = taken(stream, pa.array(rows))
        if self.spec.only_left:
            yield stream
            return
        # Of one key that is there nobody on the other side is left alone.
        is_outer = by_key and not part.has_key
        matches = Matches(codes, held_rows, keep=keeps, keep_held=is_outer)
        yield from self.joined(stream, held, matches)


def _with_rows(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """The first blocks, as many as have so many rows together."""
    while rows > 0:
        block = next(blocks)
        yield block
        rows -= len(block)


@dataclass(frozen=True)
class DistinctKeys(Transform):
    """The different keys of each block, for joins that want nothing else of a side."""

    keys: tuple[str, ...]
    label: str

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                table = require_table(block, self.label)
                if table is not None:
                    check_keys(table, self.keys, self.label)
                    yield first_rows_of(table.select(list(dict.fromkeys(self.keys))), self.keys)

        return run
