"""Where rows go: the base class to subclass for a target of one's own."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class WriteContext:
    """Which piece of the data is written.

    Attributes:
        index: its place among all pieces; they are numbered in the order of the rows, with gaps
            where a piece has none.
        source: where its rows come from, for messages.
    """

    index: int
    source: str = ""


class Datasink(abc.ABC):
    """A target for rows; write to it with ``ds.write_datasource(sink)``.

    A subclass needs one method. With the others a write is all or nothing: what is written
    stays out of sight until :meth:`on_write_complete` shows it, and :meth:`on_write_failed`
    removes it::

        class OneFile(Datasink):
            def __init__(self, path):
                self.path = path

            def write(self, tables, context):
                part = f"{self.path}.{context.index}"
                with open(part, "w") as file:
                    for table in tables:
                        file.writelines(f"{row}\\n" for row in table.to_pylist())
                return part

            def on_write_complete(self, write_results):
                with open(f"{self.path}.new", "w") as file:
                    for part in write_results:
                        file.write(Path(part).read_text())
                os.replace(f"{self.path}.new", self.path)
                self.on_write_failed([], None)

            def on_write_failed(self, write_results, error):
                for part in glob.glob(f"{self.path}.*"):
                    os.remove(part)

        ds.write_datasource(OneFile("/data/numbers.txt"))

    Instances travel to where the rows are, so they must be picklable.
    """

    @property
    def name(self) -> str:
        """How messages call the target."""
        return type(self).__name__.removesuffix("Datasink") or type(self).__name__

    def on_write_start(self) -> None:
        """Called in the program, before anything is written. An error ends the write."""
        return

    @abc.abstractmethod
    def write(self, tables: Iterator[pa.Table], context: WriteContext) -> Any:
        """Write one piece of the data, which has rows.

        Called where the rows are, perhaps in another process, for several pieces at a time, and
        again for the same piece if a process dies: what a second call writes must take the place
        of what the first one wrote.

        Args:
            tables: its rows in order, without empty tables. Small ones are put together until
                they have 64 MiB; plain objects are in the column ``value``.

        Returns:
            What :meth:`on_write_complete` is to know; picklable.
        """

    def on_write_complete(self, write_results: list[Any]) -> None:
        """Called in the program when all is written, with what :meth:`write` gave, in order.

        An error here is one of the write: :meth:`on_write_failed` is called then.
        """
        return

    def on_write_failed(self, write_results: list[Any], error: BaseException) -> None:
        """Called in the program when a write ends early, by an error or by Ctrl-C.

        Nothing is being written any more, unless on a machine that cannot be reached.

        Args:
            write_results: of the pieces that came before, as far as they are known; others may
                have been written in part.
        """
        return
