"""Datasets made from those of Hugging Face."""

from __future__ import annotations

from typing import Any

from air.data.dataset import Dataset
from air.data.huggingface.columns import plain_table
from air.data.huggingface.source import MappedDatasource, StreamedDatasource
from air.data.reading.datasets import divided, read_datasource
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.keywords import suggests_keywords
from air.executor.validation import check_number


@suggests_keywords
def from_huggingface(dataset: Any, *, parallelism: int = -1) -> Dataset | dict[str, Dataset]:
    """The rows of a ``datasets.Dataset`` or ``IterableDataset``, in order.

    Columns are those of the Arrow tables inside, which are not copied: a ``ClassLabel`` is a
    whole number (``dataset.features["label"].int2str`` names it), an ``Image`` or ``Audio`` a
    struct of ``bytes`` and ``path`` that nothing has decoded, an ``Array2D`` and the like a
    column of arrays. A format or a transform that was set for reading is not applied.

    A ``Dataset`` that lies in files, as one that was downloaded does, is not brought into
    memory: its files are mapped where rows are read, so other machines must find them at the
    same place. Where they cannot, load it with ``keep_in_memory=True``. Rows that were selected,
    sorted or shuffled come in that order.

    An ``IterableDataset`` is gone through where it is read, from start to end. It travels there,
    so its functions must be picklable.

    Args:
        dataset: a ``DatasetDict`` or an ``IterableDatasetDict`` gives a dictionary of datasets.
        parallelism: pieces to read apart; -1 chooses, which is one for an ``IterableDataset``:
            read in pieces, which are its shards then, ``take`` and ``shuffle`` mean other rows
            or another order than they do read from start to end.

    Raises:
        TypeError: something else is given.
        InvalidOption: an ``IterableDataset`` has not so many shards.
    """
    library = import_extra("datasets", "from_huggingface", "datasets")
    if isinstance(dataset, (library.DatasetDict, library.IterableDatasetDict)):
        return {str(name): _one(library, each, parallelism) for name, each in dataset.items()}
    return _one(library, dataset, parallelism)


def _one(library: Any, dataset: Any, parallelism: int) -> Dataset:
    if isinstance(dataset, library.IterableDataset):
        shards = 1
        if parallelism != -1:
            what = "from_huggingface: parallelism"
            shards = int(check_number(parallelism, what, minimum=1, integer=True))
        if shards > 1 and shards > dataset.num_shards:
            raise InvalidOption(
                f"from_huggingface: parallelism={shards}, but the IterableDataset has"
                f" {dataset.num_shards} shards; give at most so many"
            )
        return read_datasource(StreamedDatasource(dataset.with_format("arrow"), shards))
    if not isinstance(dataset, library.Dataset):
        raise TypeError(
            "from_huggingface takes a datasets.Dataset, IterableDataset or a dictionary of them"
            f" that load_dataset gives, got {type(dataset).__name__}"
        )
    rows = dataset.with_format("arrow")
    if dataset.cache_files:
        return read_datasource(MappedDatasource(rows), parallelism=parallelism)
    return divided(plain_table(rows[:]), "from_huggingface", parallelism)
