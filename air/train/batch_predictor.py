"""Prediction for the rows of a Dataset, on many processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from air.checkpoint import Checkpoint
from air.core.api import get, put
from air.data.blocks.block import accessor
from air.data.blocks.making import block_from_batch
from air.errors import InvalidOption
from air.executor.handles import ObjectRef
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number, listing, nearest, reject_unknown
from air.train.predictor import FunctionPredictor, Predictor, check_transforms

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


_INSTEAD = {
    "ray_remote_args": "use num_cpus_per_worker and num_gpus_per_worker",
    "separate_gpu_stage": "each scoring process prepares its rows and predicts",
}
"""Options of other toolkits, which are none of a predictor's either."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What a scorer makes its predictor of."""

    predictor_cls: type[Predictor]
    checkpoint: Checkpoint
    predictor_kwargs: Mapping[str, Any]
    preprocessor: Preprocessor | None
    """Instead of the checkpoint's, if that was said."""
    own_preprocessor: bool

    def load(self) -> Predictor:
        predictor = self.predictor_cls.from_checkpoint(self.checkpoint, **self.predictor_kwargs)
        if self.own_preprocessor:
            predictor.set_preprocessor(self.preprocessor)
        return predictor


@dataclass(slots=True)
class _Scorer:
    """Predicts for batches; one in each process that does."""

    model: ObjectRef[_Model]
    feature_columns: Sequence[str] | None
    keep_columns: Sequence[str]
    predict_kwargs: Mapping[str, Any]
    _predictor: Predictor = field(init=False)

    def __post_init__(self) -> None:
        self._predictor = get(self.model).load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        _check_names(batch.column_names, self.feature_columns, "feature_columns")
        _check_names(batch.column_names, self.keep_columns, "keep_columns")
        features = batch if self.feature_columns is None else batch.select(self.feature_columns)
        batch_format = self._predictor.preferred_batch_format()
        given = accessor(features).to_batch(batch_format)
        scored = block_from_batch(self._predictor.predict(given, **self.predict_kwargs))
        table = accessor(scored).to_arrow()
        for name in self.keep_columns:
            if name in table.column_names:
                raise InvalidOption(
                    f"keep_columns names {name!r}, and predictions have a column of that name; "
                    "rename it in the data: rename_columns."
                )
            table = table.append_column(name, batch.column(name))
        return table


@methods_suggest_keywords
class BatchPredictor:
    """Predicts for the rows of Datasets with the model of a checkpoint.

    Args:
        checkpoint: the model, and the preprocessor that data goes through first.
        predictor_cls: how to predict with it, such as ``XGBoostPredictor``.
        **predictor_kwargs: further arguments of ``predictor_cls.from_checkpoint``.

    Raises:
        InvalidOption: *checkpoint* or *predictor_cls* is something else, or *predictor_cls* takes
            no such arguments.
    """

    def __init__(
        self, checkpoint: Checkpoint, predictor_cls: type[Predictor], **predictor_kwargs: Any
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            hint = " The result has none; see CheckpointConfig." if checkpoint is None else ""
            raise InvalidOption(
                f"BatchPredictor takes a Checkpoint, got {type(checkpoint).__name__}.{hint}"
            )
        if not (isinstance(predictor_cls, type) and issubclass(predictor_cls, Predictor)):
            raise InvalidOption(
                f"BatchPredictor: predictor_cls must be a class of Predictor, got {predictor_cls!r}"
            )
        _check_keywords(predictor_cls, checkpoint, predictor_kwargs)
        self._checkpoint = checkpoint
        self._predictor_cls = predictor_cls
        self._predictor_kwargs = predictor_kwargs
        self._preprocessor: Preprocessor | None = None
        self._own_preprocessor = False

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, predictor_cls: type[Predictor], **kwargs: Any
    ) -> BatchPredictor:
        """The same as the constructor."""
        return cls(checkpoint, predictor_cls, **kwargs)

    @classmethod
    def from_pandas_udf(cls, pandas_udf: Callable[[pd.DataFrame], pd.DataFrame]) -> BatchPredictor:
        """Predict with a function from DataFrame to DataFrame."""
        return cls(Checkpoint.from_dict({}), FunctionPredictor, pandas_udf=pandas_udf)

    def get_preprocessor(self) -> Preprocessor | None:
        """What data goes through first: the checkpoint's, unless another was set."""
        if self._own_preprocessor:
            return self._preprocessor
        return self._checkpoint.get_preprocessor()

    def set_preprocessor(self, preprocessor: Preprocessor | None) -> None:
        """Let data go through *preprocessor* first instead of the checkpoint's.

        Raises:
            InvalidOption: it is neither a preprocessor nor ``None``.
        """
        check_transforms(preprocessor, "BatchPredictor")
        self._preprocessor = preprocessor
        self._own_preprocessor = True

    def predict(
        self,
        data: Dataset,
        *,
        feature_columns: Sequence[str] | None = None,
        keep_columns: Sequence[str] | None = None,
        batch_size: int = 4096,
        min_scoring_workers: int = 1,
        max_scoring_workers: int | None = None,
        num_cpus_per_worker: float | None = None,
        num_gpus_per_worker: float | None = None,
        **predict_kwargs: Any,
    ) -> Dataset:
        """A Dataset with the predictions for *data*, row by row in its order.

        Nothing runs before the result is used. The model is stored once, and each scoring
        process reads it from there.

        Args:
            data: the rows; its columns go through the preprocessor first.
            feature_columns: the columns that the predictor sees; all unless given.
            keep_columns: columns of *data* that the result has besides ``"predictions"``.
            batch_size: rows that are predicted for at a time, at most.
            min_scoring_workers: scoring processes at the start.
            max_scoring_workers: scoring processes at most; as many as there are CPUs for unless
                given.
            num_cpus_per_worker: CPUs of each of them, 1 unless given.
            num_gpus_per_worker: GPUs of each of them, 0 unless given.
            **predict_kwargs: what the predictor's ``predict`` takes.

        Raises:
            InvalidOption: a number below its minimum, or a column that is known not to be there.
        """
        from air.data import ActorPoolStrategy
        from air.data.dataset import Dataset

        if not isinstance(data, Dataset):
            raise InvalidOption(
                f"BatchPredictor.predict takes an air.data.Dataset, got {type(data).__name__}. "
                "Make one with air.data.from_pandas or a read function, or use the predictor "
                "itself for a single batch."
            )
        check_number(batch_size, "batch_size", minimum=1, integer=True)
        check_number(min_scoring_workers, "min_scoring_workers", minimum=1, integer=True)
        options: dict[str, Any] = {}
        if max_scoring_workers is not None:
            check_number(
                max_scoring_workers,
                "max_scoring_workers",
                minimum=min_scoring_workers,
                integer=True,
            )
        if min_scoring_workers > 1 or max_scoring_workers is not None:
            # Otherwise left to the data library, which does little data in this process.
            options["compute"] = ActorPoolStrategy(
                min_size=min_scoring_workers, max_size=max_scoring_workers
            )
        if num_cpus_per_worker is not None:
            check_number(num_cpus_per_worker, "num_cpus_per_worker", minimum=0)
            options["num_cpus"] = num_cpus_per_worker
        if num_gpus_per_worker is not None:
            check_number(num_gpus_per_worker, "num_gpus_per_worker", minimum=0)
            options["num_gpus"] = num_gpus_per_worker
        for option, instead in _INSTEAD.items():
            if option in predict_kwargs:
                raise InvalidOption(f"BatchPredictor.predict has no option {option!r}: {instead}")
        known = self._predictor_cls._predict_options()
        if known is not None:
            own = inspect.signature(BatchPredictor.predict).parameters
            known = known.union(own) - {"self", "data", "predict_kwargs"}
            reject_unknown(predict_kwargs, known, what="BatchPredictor.predict")
        _check_columns(data, feature_columns, "feature_columns")
        _check_columns(data, keep_columns, "keep_columns")
        model = _Model(
            self._predictor_cls,
            # A directory may be on this machine only; its content can go anywhere.
            self._checkpoint.in_memory(),
            self._predictor_kwargs,
            self._preprocessor,
            self._own_preprocessor,
        )
        return data.map_batches(
            _Scorer,
            batch_size=batch_size,
            batch_format="pyarrow",
            fn_constructor_kwargs={
                "model": put(model),
                "feature_columns": feature_columns,
                "keep_columns": keep_columns or (),
                "predict_kwargs": predict_kwargs,
            },
            **options,
        )

    def __repr__(self) -> str:
        return f"BatchPredictor({self._checkpoint!r}, {self._predictor_cls.__name__})"


def _check_keywords(
    predictor_cls: type[Predictor], checkpoint: Checkpoint, keywords: Mapping[str, Any]
) -> None:
    signature = inspect.signature(predictor_cls.from_checkpoint)
    try:
        signature.bind(checkpoint, **keywords)
    except TypeError as error:
        known = [name for name in signature.parameters if name != "checkpoint"]
        unknown = next((name for name in keywords if name not in known), None)
        hint = "" if unknown is None else nearest(unknown, known)
        takes = listing(known) if known else "none"
        raise InvalidOption(
            f"BatchPredictor: {predictor_cls.__name__}.from_checkpoint cannot be called with these "
            f"arguments: {error}.{hint} Besides the checkpoint it takes {takes}."
        ) from None


def _check_columns(data: Dataset, names: Sequence[str] | None, option: str) -> None:
    if names is None:
        return
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"{option} must be a list of columns' names, got {names!r}")
    known = data.known_columns()
    if known is not None:
        _check_names(known, names, option)


def _check_names(known: Sequence[str], names: Sequence[str] | None, option: str) -> None:
    for name in names or ():
        if name not in known:
            raise InvalidOption(
                f"{option} names {name!r}, which is no column of the data."
                f"{nearest(name, known)} It has {listing(known)}."
            )
