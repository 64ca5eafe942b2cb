"""A ``param_space``: nested dicts and lists with domains at their leaves, and how it is resolved.

A space is checked once, when it is made. ``resolve(rng, variant)`` then gives a configuration:
grids take their values from the number of the variant, domains are drawn in the order in which
they stand in the space, functions (``sample_from``) come last and see the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from air.executor.validation import listing, nearest
from air.tune.search import sample
from air.tune.search.sample import Domain, Function, Grid

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a space: keys of dicts and positions in lists, from the outside."""

_MAKERS = {
    getattr(sample, name): name
    for name in (
        "uniform quniform loguniform qloguniform randn qrandn randint qrandint lograndint "
        "qlograndint choice sample_from grid_search"
    ).split()
}


class Space:
    """A checked ``param_space``.

    Raises ``TypeError`` or ``ValueError`` that names the place for: a space that is no dict, an
    empty one, keys that are no ``str``, a domain where it would never be drawn (in a set, or as a
    dict's key), a grid inside a ``choice``, ``tune.uniform`` in place of ``tune.uniform(...)``.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        if not isinstance(space, Mapping):
            raise TypeError(
                "param_space is a dict of parameters, such as "
                f'{{"lr": tune.loguniform(1e-4, 1e-1)}}; got {type(space).__name__}: {space!r}.'
            )
        if not space:
            raise ValueError(
                "param_space is empty. Give it parameters, or leave it out to run the trainable "
                "TuneConfig.num_samples times with an empty config."
            )
        self._template: dict[str, Any] = _parse(dict(space), ())
        self._grids = {
            path: leaf.values for path, leaf in _leaves(self._template) if isinstance(leaf, Grid)
        }

    @classmethod
    def nothing(cls) -> Space:
        """The space of a ``Tuner`` without a ``param_space``: one configuration, ``{}``."""
        space = cls.__new__(cls)
        space._template, space._grids = {}, {}
        return space

    @property
    def variants(self) -> int:
        """The number of combinations of the grids; 1 without any."""
        return math.prod(len(values) for values in self._grids.values())

    @property
    def domains(self) -> dict[Path, Domain | Grid]:
        """Everything that is searched over, by its path."""
        return {
            path: leaf for path, leaf in _leaves(self._template) if isinstance(leaf, (Domain, Grid))
        }

    def constants(self) -> dict[str, Any]:
        """The space as a configuration, for a searcher that brings its own space.

        Raises ``ValueError`` if there is anything to draw.
        """
        if self.domains:
            raise ValueError(
                "param_space holds search domains, but the search_alg brings its own space: "
                f"{listing(format_path(path) for path in self.domains)}. Give domains to one of "
                "the two only."
            )
        return self.resolve(np.random.default_rng(0))

    def resolve(self, rng: np.random.Generator, variant: int = 0) -> dict[str, Any]:
        """The configuration of one variant (0 <= variant < ``variants``), a new dict each time.

        An exception of a ``sample_from`` function comes out as it is, with a note that says which
        parameter it was for.
        """
        chosen: dict[Path, Any] = {}
        # The last grid turns fastest, as nested loops in the order of the space would.
        for path, values in reversed(self._grids.items()):
            variant, position = divmod(variant, len(values))
            chosen[path] = values[position]
        return _Resolution(rng, chosen).run(self._template)

    def fix(self, point: Mapping[str, Any]) -> Space:
        """This space with some parameters given: ``{"lr": 0.1}``, ``{"net/width": 8}`` or nested.

        Raises ``ValueError`` for a parameter that is not in the space, or a value that could not
        have been drawn.
        """
        if not isinstance(point, Mapping):
            raise TypeError(f"A point is a dict of parameters, got {point!r}.")
        given = dict(self._places(point))
        fixed = Space.nothing()
        fixed._template = self._template
        for path, value in given.items():
            fixed._template = _replace(fixed._template, path, value)
        fixed._grids = {path: grid for path, grid in self._grids.items() if path not in given}
        return fixed

    def _places(self, point: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
        """Where the values of a point belong, checked."""
        leaves = {format_path(path): (path, leaf) for path, leaf in _leaves(self._template)}
        for name, value in _flatten(point, leaves):
            if name not in leaves:
                raise ValueError(
                    f"A point names the parameter {name!r}, which is not in the param_space."
                    f"{nearest(name, leaves)} It has {listing(leaves)}."
                )
            path, leaf = leaves[name]
            if isinstance(leaf, (Domain, Grid)) and not leaf.is_valid(value):
                raise ValueError(f"A point gives {name!r} the value {value!r}, outside {leaf!r}.")
            yield path, value


class Spec(Mapping[str, Any]):
    """What a ``sample_from`` function sees: ``spec.config.lr``, ``spec["lr"]`` or ``spec.lr``.

    ``spec.config`` is the whole configuration wherever the function stands. Asking for a parameter
    that is itself a ``sample_from`` function computes that one first.
    """

    def __init__(self, values: Mapping[str, Any], resolution: _Resolution) -> None:
        self._values = values
        self._resolution = resolution

    @property
    def config(self) -> Spec:
        return Spec(self._resolution.config, self._resolution)

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise KeyError(
                f"There is no parameter {key!r}.{nearest(key, self._values)} "
                f"There are {listing(self._values)}."
            )
        return self._resolution.view(self._values[key])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle probe for these before there are any values
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Spec({dict(self)!r})"


def format_path(path: Path) -> str:
    """``("net", "width")`` as ``"net/width"``."""
    return "/".join(str(step) for step in path)


# --- resolving ----------------------------------------------------------------------------------


class _Deferred:
    """The place of a function that has not been called yet."""

    __slots__ = ("container", "func", "key", "path", "running")

    def __init__(self, func: Function, container: Any, key: Any, path: Path) -> None:
        self.func, self.container, self.key, self.path = func, container, key, path
        self.running = False


class _Resolution:
    """One configuration in the making."""

    def __init__(self, rng: np.random.Generator, grid: Mapping[Path, Any]) -> None:
        self._rng = rng
        self._grid = grid
        self._deferred: list[_Deferred] = []
        self.config: dict[str, Any] = {}

    def run(self, template: Mapping[str, Any]) -> dict[str, Any]:
        self._fill(self.config, template.items(), ())
        # A function's result may bring further functions, which join the end of the list.
        for deferred in self._deferred:
            self.compute(deferred)
        return self.config

    def _fill(self, container: Any, items: Any, path: Path) -> None:
        for key, value in items:
            container[key] = self._build(value, container, key, (*path, key))

    def _build(self, value: Any, container: Any, key: Any, path: Path) -> Any:
        if isinstance(value, Grid):
            return self._build(self._grid[path], container, key, path)
        if isinstance(value, Function):
            self._deferred.append(_Deferred(value, container, key, path))
            return self._deferred[-1]
        if isinstance(value, Domain):
            return self._build(value.draw(self._rng), container, key, path)
        if type(value) is dict:
            inner: dict[str, Any] = {}
            self._fill(inner, value.items(), path)
            return inner
        if type(value) is list:
            items: list[Any] = [None] * len(value)
            self._fill(items, enumerate(value), path)
            return items
        return value

    def compute(self, deferred: _Deferred) -> Any:
        current = deferred.container[deferred.key]
        if current is not deferred:
            return self.view(current)
        if deferred.running:
            raise ValueError(
                f"The sample_from function of {format_path(deferred.path)!r} needs its own result: "
                "functions of the param_space wait for one another in a circle."
            )
        deferred.running = True
        try:
            result = deferred.func.func(Spec(self.config, self))
        except Exception as error:
            error.add_note(
                f"Raised by the sample_from function of the parameter "
                f"{format_path(deferred.path)!r}."
            )
            raise
        finally:
            deferred.running = False
        value = _parse(_plain(result), deferred.path, inside=deferred.func)
        deferred.container[deferred.key] = self._build(
            value, deferred.container, deferred.key, deferred.path
        )
        return self.view(deferred.container[deferred.key])

    def view(self, value: Any) -> Any:
        """What a function gets to see of a value of the configuration."""
        if isinstance(value, _Deferred):
            return self.compute(value)
        if type(value) is dict:
            return Spec(value, self)
        if type(value) is list:
            return [self.view(item) for item in value]
        return value


def _plain(value: Any) -> Any:
    """A result of a function without views, which must not outlive the resolution."""
    if isinstance(value, Spec):
        return {key: _plain(value[key]) for key in value}
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item) for item in value]
    return value


# --- parsing ------------------------------------------------------------------------------------


def _parse(value: Any, path: Path, inside: Domain | Grid | None = None) -> Any:
    """``value`` with grids in their one form, checked. Dicts and lists are copied, not leaves."""
    if type(value) is dict:
        if value.keys() == {"grid_search"}:
            return _parse(Grid(value["grid_search"]), path, inside)
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"The keys of a param_space are str; {_place(path)} has the key {key!r}."
                )
        return {key: _parse(item, (*path, key), inside) for key, item in value.items()}
    if type(value) is list:
        return [_parse(item, (*path, index), inside) for index, item in enumerate(value)]
    if isinstance(value, Grid):
        if inside is not None:
            raise ValueError(
                f"{_place(path)}: a grid_search cannot stand inside {inside!r}. A grid runs in "
                "full, so it belongs at the top of its parameter; use tune.choice in here."
            )
        return Grid([_parse(item, path, value) for item in value.values])
    if isinstance(value, sample.Categorical):
        return sample.Categorical([_parse(item, path, value) for item in value.categories])
    if not isinstance(value, Domain):
        _check_leaf(value, path)
    return value


def _check_leaf(value: Any, path: Path) -> None:
    try:
        maker = _MAKERS.get(value)
    except TypeError:  # unhashable
        maker = None
    if maker is not None:
        raise TypeError(
            f"{_place(path)} is the function tune.{maker} itself. Call it: tune.{maker}(...)."
        )
    if isinstance(value, type) and issubclass(value, (Domain, Grid)):
        raise TypeError(f"{_place(path)} is the class {value.__name__}, not an instance of it.")
    items: Iterable[Any] = ()
    if isinstance(value, Mapping):
        items = value.values()
    elif isinstance(value, (tuple, set, frozenset)):
        items = value
    if any(isinstance(item, (Domain, Grid)) for item in items):
        raise TypeError(
            f"{_place(path)}: a domain inside a {type(value).__name__} would never be drawn. "
            "Use a plain dict or list."
        )


def _place(path: Path) -> str:
    return f"param_space[{format_path(path)!r}]" if path else "param_space"


def _leaves(template: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if type(template) is dict:
        for key, value in template.items():
            yield from _leaves(value, (*path, key))
    elif type(template) is list:
        for index, value in enumerate(template):
            yield from _leaves(value, (*path, index))
    else:
        yield path, template


def _replace(template: Any, path: Path, value: Any) -> Any:
    """``template`` with another value in one place; shares everything else with it."""
    if not path:
        return value
    changed: Any = dict(template) if isinstance(template, dict) else list(template)
    changed[path[0]] = _replace(template[path[0]], path[1:], value)
    return changed


def _flatten(
    point: Mapping[str, Any], places: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Names and values of a point, going into dicts that are no parameter of their own."""
    for key, value in point.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in places:
            yield from _flatten(value, places, f"{name}/")
        else:
            yield name, value
