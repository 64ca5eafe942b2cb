"""Which columns of a batch become which tensors, as ``to_torch`` is told."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from air.data.batching.cutting import Cut
from air.data.errors import UnsupportedValue, require_columns
from air.data.torch.tensors import Tensors, batch_of
from air.errors import InvalidOption
from air.executor.extras import import_extra

_ALL: Mapping[Hashable, Sequence[str] | None] = {None: None}


class Features:
    """Turns a batch of arrays into ``(features, label)``.

    Args:
        label: the column of labels, or ``None``.
        columns: the columns of the features: a list of them gives one tensor, a list of lists a
            list of tensors, a dictionary of lists a dictionary of tensors. ``None`` takes all
            but the label, for one tensor.
        label_dtype: of the labels.
        dtypes: of the features, in the form of *columns*.
        unsqueeze_label: give labels the shape ``(N, 1)`` in place of ``(N,)``.
        unsqueeze_features: the same for each column of features, before those of one tensor are
            put side by side.

    Raises:
        InvalidOption: *columns* or *dtypes* have no such form.
    """

    def __init__(
        self,
        label: str | None,
        columns: Any,
        label_dtype: Any,
        dtypes: Any,
        *,
        unsqueeze_label: bool,
        unsqueeze_features: bool,
    ) -> None:
        self._label = label
        self._label_tensors = Tensors("to_torch", label_dtype)
        self._form: type = dict if isinstance(columns, Mapping) else list
        if columns is None or _are_names(columns):
            self._form = tuple  # one tensor, without a name
        self._groups = _ALL if columns is None else _grouped(columns)
        by_group = _dtypes(dtypes, self._form, list(self._groups))
        self._tensors = {key: Tensors("to_torch", dtype) for key, dtype in by_group.items()}
        self._unsqueeze_label = unsqueeze_label
        self._unsqueeze_features = unsqueeze_features

    @property
    def columns(self) -> list[str]:
        """All columns that are named, the label among them."""
        named = [name for names in self._groups.values() for name in names or ()]
        return named if self._label is None else [*named, self._label]

    def of_cut(self, cut: Cut) -> tuple[Any, Any]:
        """The features and the labels of a batch; ``None`` for labels where there are none.

        Raises:
            UnsupportedValue: the rows are no records; or columns hold no numbers, arrays of
                different shapes, or arrays that cannot be put side by side.
        """
        if isinstance(cut.block, list):
            raise UnsupportedValue(
                "to_torch works on columns, but the rows are plain objects; make them records"
                ' first: .map(lambda x: {"value": x})'
            )
        batch = batch_of("to_torch", cut)
        rest = [name for name in batch if name != self._label]
        made = {
            key: self._features(batch, key, names or rest) for key, names in self._groups.items()
        }
        features = made if self._form is dict else list(made.values())
        if self._form is tuple:
            features = features[0]
        if self._label is None:
            return features, None
        label = _one_tensor(self._label_tensors, self._label, batch)
        return features, label.unsqueeze(1) if self._unsqueeze_label else label

    def _features(self, batch: Mapping[str, Any], key: Hashable, names: Sequence[str]) -> Any:
        if not names:
            raise InvalidOption(
                f"to_torch: there is no column but the label, {self._label!r}; name the features"
                " with feature_columns"
            )
        made = [_one_tensor(self._tensors[key], name, batch) for name in names]
        if self._unsqueeze_features:
            made = [each.unsqueeze(1) if each.dim() == 1 else each for each in made]
        if len(made) == 1:
            return made[0]
        torch = import_extra("torch", "to_torch", "torch")
        try:
            return torch.cat(made, dim=1) if self._unsqueeze_features else torch.stack(made, dim=1)
        except RuntimeError:
            shapes = {name: tuple(each.shape) for name, each in zip(names, made, strict=True)}
            raise UnsupportedValue(
                f"to_torch: columns whose tensors have the shapes {shapes} cannot be put side by"
                " side; give each its own tensor: feature_columns=[[...], [...]]"
            ) from None


def _one_tensor(tensors: Tensors, name: str, batch: Mapping[str, Any]) -> Any:
    require_columns([name], batch, "to_torch")
    made = tensors.of_column(name, batch[name])
    if isinstance(made, list):
        raise UnsupportedValue(
            f"to_torch: the column {name!r} holds arrays of different shapes, which make no tensor;"
            " bring them to one, or use iter_torch_batches"
        )
    return made


def _are_names(columns: object) -> bool:
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        return False
    return len(columns) > 0 and all(isinstance(name, str) for name in columns)


def _grouped(columns: Any) -> dict[Hashable, Sequence[str]]:
    """The columns of each tensor, by its place in what ``to_torch`` is to give."""
    groups: dict[Hashable, Sequence[str]] = {}
    if _are_names(columns):
        groups = {None: columns}
    elif isinstance(columns, Mapping):
        groups = dict(columns)
    elif isinstance(columns, Sequence) and not isinstance(columns, str):
        groups = dict(enumerate(columns))
    if not groups or not all(map(_are_names, groups.values())):
        raise InvalidOption(
            "to_torch: feature_columns takes a list of columns, a list of such lists or a"
            f" dictionary of them, none of them empty, got {columns!r:.80}"
        )
    return groups


def _dtypes(dtypes: Any, form: type, keys: Sequence[Hashable]) -> dict[Hashable, Any]:
    if dtypes is None:
        return dict.fromkeys(keys)
    if form is tuple:
        return {None: dtypes}
    found: dict[Hashable, Any] = {}
    if form is dict and isinstance(dtypes, Mapping):
        found = dict(dtypes)
    elif form is list and isinstance(dtypes, Sequence):
        found = dict(enumerate(dtypes))
    if set(found) != set(keys):
        raise InvalidOption(
            "to_torch: feature_column_dtypes has the form of feature_columns, a torch.dtype for"
            f" each tensor, got {dtypes!r:.80}"
        )
    return found
