"""Rows for other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from air.data.blocks import references
from air.data.consumption import Consumption
from air.executor.extras import check_pandas, import_extra
from air.executor.handles import ObjectRef
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class ConversionMethods(Consumption):
    """The part of :class:`air.data.Dataset` that hands rows to other libraries."""

    def to_arrow_refs(self) -> list[ObjectRef[Any]]:
        """A reference to an Arrow table for each block; runs the plan.

        Blocks that are stored already are referred to where they are. Plain objects become the
        column ``value``.
        """
        return references.arrow_refs(self.run())

    def to_pandas_refs(self) -> list[ObjectRef[Any]]:
        """A reference to a DataFrame for each block; runs the plan.

        Raises:
            ImportError: pandas is not installed.
        """
        check_pandas("to_pandas_refs")
        return references.pandas_refs(self.run())

    def to_numpy_refs(self, *, column: str | None = None) -> list[ObjectRef[Any]]:
        """A reference to a dictionary of arrays for each block; runs the plan.

        Args:
            column: the one whose array is wanted, by itself. Plain objects are one array.

        Raises:
            ColumnNotFound: there is no such column.
        """
        if column is not None:
            self.check_columns([column], "to_numpy_refs")
        return references.numpy_refs(self.run(), column)

    def to_dask(self, meta: Any = None) -> Any:
        """A ``dask.dataframe.DataFrame`` with a partition for each block; runs the plan.

        It holds what :meth:`to_pandas` gives, with the same types and index. Blocks stay where
        they are, and become DataFrames when Dask asks for them, in its own scheduler: in the
        threads of this program, which is what Dask takes by default. Its processes, and those of
        a cluster of its own, cannot fetch blocks from ours.

        Args:
            meta: what partitions are to be like: an empty DataFrame, or a dictionary or list of
                columns and types; blocks are looked at, where they are, if ``None``. Values that
                cannot be of these types are an error when they are asked for.

        Raises:
            InvalidOption: *meta* has other columns than the dataset.
            UnsupportedValue: columns of different blocks do not go together.
            ImportError: Dask is not installed.
        """
        check_pandas("to_dask")
        from air.data.dask.frames import frame_of

        return frame_of(tuple(self.materialize().run()), meta)

    def to_polars(self) -> Any:
        """All rows as one ``polars.DataFrame``; plain objects are its column ``value``.

        Columns of arrays are of the type ``Array``.

        Raises:
            UnsupportedValue: a column holds decimals of more than 38 digits.
            ImportError: Polars is not installed.
        """
        from air.data.polars.frames import INSTALL, table_to_polars

        import_extra("polars", "to_polars", INSTALL)  # before the rows are worked out
        return table_to_polars("to_polars", self.to_arrow())

    def iter_torch_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        dtypes: Any = None,
        device: Any = None,
        collate_fn: Callable[[Any], Any] | None = None,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches of tensors; see :meth:`DataIterator.iter_torch_batches`."""
        return self.iterator().iter_torch_batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            dtypes=dtypes,
            device=device,
            collate_fn=collate_fn,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )

    def iter_tf_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        dtypes: Any = None,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches of tensors; see :meth:`DataIterator.iter_tf_batches`."""
        return self.iterator().iter_tf_batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            dtypes=dtypes,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )

    def to_torch(
        self,
        *,
        label_column: str | None = None,
        feature_columns: Any = None,
        label_column_dtype: Any = None,
        feature_column_dtypes: Any = None,
        batch_size: int | None = 1,
        prefetch_batches: int = 1,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
        unsqueeze_label_tensor: bool = True,
        unsqueeze_feature_tensors: bool = True,
    ) -> Any:
        """A dataset of PyTorch; see :meth:`DataIterator.to_torch`."""
        return self.iterator().to_torch(
            label_column=label_column,
            feature_columns=feature_columns,
            label_column_dtype=label_column_dtype,
            feature_column_dtypes=feature_column_dtypes,
            batch_size=batch_size,
            prefetch_batches=prefetch_batches,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
            unsqueeze_label_tensor=unsqueeze_label_tensor,
            unsqueeze_feature_tensors=unsqueeze_feature_tensors,
        )

    def to_tf(
        self,
        feature_columns: str | Sequence[str],
        label_columns: str | Sequence[str],
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 1,
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Any:
        """A ``tf.data.Dataset`` of features and labels; see :meth:`DataIterator.to_tf`."""
        return self.iterator().to_tf(
            feature_columns,
            label_columns,
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )
