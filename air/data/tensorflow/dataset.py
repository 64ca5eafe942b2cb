"""A dataset as TensorFlow's ``tf.data.Dataset``; importing this imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from air.data.arguments import check_names
from air.data.blocks.block import Block, Schema, accessor
from air.data.blocks.schemas import conform
from air.data.errors import UnsuitableData, require_columns
from air.data.tensorflow.tensors import Tensors
from air.executor.extras import import_extra

tf: Any = import_extra("tensorflow", "to_tf", "tensorflow")


def columns_of(feature_columns: object, label_columns: object) -> list[str]:
    """The columns that are named, each once.

    Raises:
        InvalidOption: something else than names of columns is given.
    """
    names = (
        *check_names("to_tf: feature_columns", feature_columns),
        *check_names("to_tf: label_columns", label_columns),
    )
    return list(dict.fromkeys(names))


class Examples:
    """Turns rows into ``(features, labels)``, always of the same types.

    Args:
        features, labels: a column, for one tensor, or columns, for a dictionary of them.
        schema: of the rows.

    Raises:
        UnsuitableData: the schema is not known.
        ColumnNotFound, UnsupportedValue: there is no such column, or no tensors are made of it.
    """

    def __init__(
        self, features: str | Sequence[str], labels: str | Sequence[str], schema: Schema | None
    ) -> None:
        if not isinstance(schema, pa.Schema):
            raise UnsuitableData(
                "to_tf needs the types of the columns, but there are no rows, and nothing is known"
                " of their columns"
            )
        names = columns_of(features, labels)
        require_columns(names, schema.names, "to_tf")
        self._features, self._labels = features, labels
        self._schema = pa.schema([schema.field(name) for name in names])
        self._tensors = Tensors("to_tf")
        self.signature(None)  # complains now about what no tensors are made of

    def signature(self, rows: int | None) -> Any:
        """What ``(features, labels)`` are like, for batches of *rows* rows (``None``: any)."""
        return self._both(
            lambda name: self._tensors.spec(name, self._schema.field(name).type, rows)
        )

    def of_rows(self, rows: Block) -> Any:
        """The tensors of a batch.

        Raises:
            UnsupportedValue: values do not fit the signature.
        """
        table = accessor(rows).to_arrow()
        known = [name for name in self._schema.names if name in table.column_names]
        table = conform(table.select(known), self._schema)
        return self._both(lambda name: self._tensors.of_column(name, table[name], keeps_type=True))

    def dataset(
        self, batches: Callable[[], Iterator[Any]], *, rows: int | None, count: int | None
    ) -> Any:
        """What goes through ``batches()``, which this made, anew each time it is gone through.

        Args:
            rows: of each batch, and *count* the batches; ``None`` if they are not known.
        """
        made = tf.data.Dataset.from_generator(batches, output_signature=self.signature(rows))
        if count is not None:
            made = made.apply(tf.data.experimental.assert_cardinality(count))
        options = tf.data.Options()
        off = tf.data.experimental.AutoShardPolicy.OFF
        options.experimental_distribute.auto_shard_policy = off
        return made.with_options(options)

    def _both(self, make: Callable[[str], Any]) -> tuple[Any, Any]:
        features, labels = (
            make(columns) if isinstance(columns, str) else {name: make(name) for name in columns}
            for columns in (self._features, self._labels)
        )
        return features, labels
