"""From Arrow tables to XGBoost's matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from air.executor.interrupts import HeldInterrupts
from air.train.columns import Columns, array_of, as_numbers
from air.train.xgboost.library import LIBRARY

if TYPE_CHECKING:
    import xgboost

T = TypeVar("T")

MATRIX_SETTINGS = (*LIBRARY.roles, "missing")
"""What ``dmatrix_params`` may say of a dataset."""

MIN_BATCH_BYTES = 8 << 20
"""XGBoost spends milliseconds on each batch, however small: smaller ones are put together."""

Tables = Callable[[], Iterable[pa.Table]]
"""Gives the tables of a shard, from the first one on, each time that it is called."""


def build_matrix(
    tables: Tables,
    columns: Columns,
    *,
    params: Mapping[str, Any],
    settings: Mapping[str, Any],
    nthread: int,
    ref: xgboost.DMatrix | None,
) -> xgboost.DMatrix:
    """A matrix of a shard: quantized while it is read, where the training method allows.

    *ref* is the matrix to train on, whose quantiles the others take over. No copy of all the
    rows is made on the way to a quantized matrix; methods that need the values themselves
    (``exact``, ``approx``, linear boosters) get them in one table.
    """
    import xgboost

    missing = settings.get("missing")
    if not is_quantized(params):
        table = pa.concat_tables(tables())
        return xgboost.DMatrix(
            as_numbers(table, columns.features),
            missing=missing,
            nthread=nthread,
            **_meta(table, columns),
        )

    held = HeldInterrupts()

    class Batches(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self._rest: Iterator[pa.Table] = iter(())

        def reset(self) -> None:
            _as_exception(held, self._start)

        def next(self, input_data: Callable[..., None]) -> bool:
            return _as_exception(held, lambda: self._give(input_data))

        def _start(self) -> None:
            # The rows of a query group belong into one batch.
            self._rest = batches(tables(), None if columns.qid is not None else MIN_BATCH_BYTES)

        def _give(self, input_data: Callable[..., None]) -> bool:
            table = next(self._rest, None)
            if table is None:
                return False
            input_data(data=as_numbers(table, columns.features), **_meta(table, columns))
            return True

    try:
        with held:
            return xgboost.QuantileDMatrix(
                Batches(), missing=missing, max_bin=params.get("max_bin"), nthread=nthread, ref=ref
            )
    except _Ended as ended:
        raise ended.by from None


class _Ended(Exception):
    """Carries through XGBoost what is no ``Exception``."""

    def __init__(self, by: BaseException) -> None:
        super().__init__(repr(by))
        self.by = by


def _as_exception(held: HeldInterrupts, step: Callable[[], T]) -> T:
    """Run a step that XGBoost has called for; Ctrl-C may end it.

    An ``Exception`` ends the iteration, and XGBoost raises it when it is back in Python. Anything
    else it would lose, and go on with half of the rows, or with some of them twice.
    """
    try:
        return held.run(step)
    except Exception:
        raise
    except BaseException as error:
        raise _Ended(error) from error


def batches(tables: Iterable[pa.Table], min_bytes: int | None) -> Iterator[pa.Table]:
    """Neighbouring tables put together until each has *min_bytes*, or all of them into one."""
    waiting: list[pa.Table] = []
    size = 0
    for table in tables:
        waiting.append(table)
        size += table.nbytes
        if min_bytes is not None and size >= min_bytes:
            yield pa.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def is_quantized(params: Mapping[str, Any]) -> bool:
    """Whether training with *params* works on quantized values."""
    return params.get("tree_method", "auto") in ("auto", "hist", "gpu_hist") and params.get(
        "booster", "gbtree"
    ) in ("gbtree", "dart")


def _meta(table: pa.Table, columns: Columns) -> dict[str, Any]:
    named = {"label": columns.label, **columns.roles}
    return {role: array_of(table, column) for role, column in named.items()}
