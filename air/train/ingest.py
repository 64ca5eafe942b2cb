"""From a trainer's datasets to the shards of its workers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from air.config import DatasetConfig
from air.errors import InvalidOption
from air.executor.validation import nearest

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


def check_datasets(datasets: object, trainer: str) -> dict[str, Dataset]:
    """A trainer's datasets as a dict of its own.

    Raises:
        InvalidOption: they are no dict of names to Datasets.
    """
    from air.data.dataset import Dataset

    if not isinstance(datasets, Mapping):
        raise InvalidOption(
            f'{trainer}: datasets must be a dict such as {{"train": dataset}}, got '
            f"{type(datasets).__name__}"
        )
    for name, dataset in datasets.items():
        if not isinstance(name, str) or not name:
            raise InvalidOption(f"{trainer}: the name of a dataset must be text, got {name!r}")
        if not isinstance(dataset, Dataset):
            raise InvalidOption(
                f"{trainer}: datasets[{name!r}] must be an air.data.Dataset, got "
                f"{type(dataset).__name__}. Make one with air.data.from_pandas, from_arrow, "
                "from_items or a read function."
            )
    return dict(datasets)


def check_train(datasets: Mapping[str, Dataset], trainer: str) -> None:
    """Raise `InvalidOption` if there is no dataset to train on."""
    if "train" not in datasets:
        hints = (nearest(dataset, ["train"]) for dataset in datasets)
        raise InvalidOption(
            f'{trainer}: datasets must hold the one to train on as "train", got '
            f"{sorted(datasets)}.{next(filter(None, hints), '')}"
        )


def check_preprocessor(preprocessor: object, trainer: str) -> None:
    """Raise `InvalidOption` for what is neither ``None`` nor a preprocessor."""
    if preprocessor is None:
        return
    from air.data.preprocessor import Preprocessor

    if not isinstance(preprocessor, Preprocessor):
        hint = " Give an instance." if isinstance(preprocessor, type) else ""
        raise InvalidOption(
            f"{trainer}: preprocessor must be one of air.data.preprocessors, got "
            f"{preprocessor!r}.{hint}"
        )


def merge_dataset_configs(
    defaults: Mapping[str, DatasetConfig],
    given: object,
    datasets: Mapping[str, Dataset],
    trainer: str,
) -> dict[str, DatasetConfig]:
    """What to do with each of *datasets*: what is *given* over the *defaults*.

    ``"*"`` stands for datasets that are not named.

    Raises:
        InvalidOption: what is given is no dict of names to DatasetConfigs, or names a dataset
            that is not there; a required dataset is missing.
    """
    if not isinstance(given, Mapping):
        raise InvalidOption(f"{trainer}: dataset_config must be a dict, got {given!r}")
    for name, config in given.items():
        if not isinstance(config, DatasetConfig):
            raise InvalidOption(
                f"{trainer}: dataset_config[{name!r}] must be a DatasetConfig, got {config!r}"
            )
        if name != "*" and name not in datasets:
            if config.required:
                raise InvalidOption(
                    f"{trainer}: the dataset {name!r} is required, and datasets has only "
                    f"{sorted(datasets)}.{nearest(name, datasets)}"
                )
            if config.required is None:
                raise InvalidOption(
                    f"{trainer}: dataset_config names {name!r}, which is none of the datasets "
                    f"{sorted(datasets)}.{nearest(name, datasets)}"
                )
    merged = {}
    for name in datasets:
        default = defaults.get(name, defaults["*"])
        for source in (given.get("*"), given.get(name)):
            default = default if source is None else source.over(default)
        merged[name] = default
    return merged


def preprocess(
    datasets: Mapping[str, Dataset],
    preprocessor: Preprocessor | None,
    configs: Mapping[str, DatasetConfig],
) -> tuple[dict[str, Dataset], Preprocessor | None]:
    """The datasets transformed where *configs* say so, and the preprocessor that did it, fitted.

    One that is not fitted stays so: a copy is fitted. The caller may use it for other data.

    Raises:
        InvalidOption: the preprocessor is not fitted, and there is nothing to fit it on.
    """
    if preprocessor is None:
        return dict(datasets), None
    to_fit_on = [name for name, config in configs.items() if config.fit]
    if len(to_fit_on) > 1:
        raise InvalidOption(
            f"A preprocessor is fitted on one dataset, and the DatasetConfigs of {to_fit_on} say "
            "fit=True."
        )
    status = preprocessor.FitStatus
    if preprocessor.fit_status() in (status.NOT_FITTED, status.PARTIALLY_FITTED):
        if not to_fit_on:
            raise InvalidOption(
                f'{preprocessor!r} is not fitted, and there is no dataset "train" to fit it on. '
                "Fit it before, or say which with DatasetConfig(fit=True)."
            )
        preprocessor = copy.deepcopy(preprocessor).fit(datasets[to_fit_on[0]])
    transformed = {
        name: dataset if configs[name].transform is False else preprocessor.transform(dataset)
        for name, dataset in datasets.items()
    }
    return transformed, preprocessor


def check_rows(
    datasets: Mapping[str, Dataset], configs: Mapping[str, DatasetConfig], num_workers: int
) -> None:
    """See whether there are rows for everyone; the datasets are materialized.

    Raises:
        InvalidOption: a dataset has no rows, or that to train on fewer than there are workers.
    """
    for name, dataset in datasets.items():
        rows = dataset.count()
        if not rows:
            hint = "see what was filtered away" if name == "train" else "leave it out"
            raise InvalidOption(f"The dataset {name!r} has no rows: {hint}.")
        if name == "train" and configs[name].split and rows < num_workers:
            raise InvalidOption(
                f"The dataset {name!r} has {rows} {'row' if rows == 1 else 'rows'} for "
                f"{num_workers} workers, and each needs at least one. Use fewer workers: "
                "ScalingConfig(num_workers=...)."
            )


def arrow_schema(dataset: Dataset, name: str) -> pa.Schema:
    """The columns of a dataset.

    Raises:
        InvalidOption: it has no rows, or its rows are no records.
    """
    schema = dataset.schema()
    if schema is None:
        raise InvalidOption(f"The dataset {name!r} has no rows.")
    if not isinstance(schema, pa.Schema):
        raise InvalidOption(
            f"The dataset {name!r} has no columns: its rows are {schema.__name__} objects."
        )
    return schema
