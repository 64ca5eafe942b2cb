"""Resource requests: named quantities such as ``{"CPU": 1.0, "GPU": 0.5, "memory": 2e9}``.

Quantities are kept as whole numbers of ten-thousandths, so that a thousand tasks that each
take and give back 0.1 CPU leave exactly what was there before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from air.errors import InvalidOption
from air.executor.validation import check_number, check_text, nearest

UNIT = 10_000
CPU, GPU, MEMORY, OBJECT_STORE_MEMORY = "CPU", "GPU", "memory", "object_store_memory"
_OPTION_OF = {CPU: "num_cpus", GPU: "num_gpus", MEMORY: "memory"}
ACCELERATOR = "accelerator_type:"
"""Begins the custom resource, 1 of it, of a node with GPUs of a kind: ``accelerator_type:A100``."""

_TOKEN = 0.001
_COMPARED = 1000
"""With how many names a misspelt one is compared."""


class Resources(Mapping[str, float]):
    """An immutable set of resource quantities; absent names count as zero.

    ``memory`` and ``object_store_memory`` are in bytes, everything else in devices or
    whatever unit the custom resource stands for.
    """

    __slots__ = ("_hash", "_units")

    def __init__(self, quantities: Mapping[str, float] = {}) -> None:
        units = {name: round(value * UNIT) for name, value in quantities.items()}
        self._units = {name: value for name, value in sorted(units.items()) if value}
        self._hash: int | None = None

    @classmethod
    def _of_units(cls, units: Mapping[str, int]) -> Resources:
        made = cls.__new__(cls)
        made._units = {name: value for name, value in sorted(units.items()) if value}
        made._hash = None
        return made

    def __getitem__(self, name: str) -> float:
        return self._units[name] / UNIT

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def __hash__(self) -> int:
        if self._hash is None:  # most are never asked for it
            self._hash = hash(tuple(self._units.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resources) and self._units == other._units

    def __add__(self, other: Resources) -> Resources:
        units = dict(self._units)
        for name, value in other._units.items():
            units[name] = units.get(name, 0) + value
        return Resources._of_units(units)

    def __sub__(self, other: Resources) -> Resources:
        units = dict(self._units)
        for name, value in other._units.items():
            units[name] = units.get(name, 0) - value
        return Resources._of_units(units)

    def fits_in(self, supply: Resources) -> bool:
        """Whether *supply* holds at least this much of everything."""
        held = supply._units
        for name, value in self._units.items():  # noqa: SIM110 - a generator takes twice as long
            if held.get(name, 0) < value:
                return False
        return True

    def without(self, *names: str) -> Resources:
        """The same quantities less the named ones."""
        return Resources._of_units({k: v for k, v in self._units.items() if k not in names})

    def is_negative(self) -> bool:
        """Whether any quantity is below zero (which an account must never be)."""
        return any(value < 0 for value in self._units.values())

    def to_dict(self) -> dict[str, float]:
        """A plain dictionary of the quantities."""
        return {name: value / UNIT for name, value in self._units.items()}

    def __reduce__(self) -> tuple[type[Resources], tuple[dict[str, float]]]:
        return Resources, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"Resources({describe(self)})"


def describe(resources: Mapping[str, float]) -> str:
    """Render quantities for a message: ``{'CPU': 2, 'GPU': 0.5}``."""
    return "{" + ", ".join(f"{name!r}: {value:g}" for name, value in resources.items()) + "}"


def missing_hint(request: Mapping[str, float], known: Collection[str], whose: str = "node") -> str:
    """Name the first resource of *request* that is not *known*, and what may have been meant.

    Empty if all are known; else it begins with a space. Nothing is suggested in place of CPU,
    GPU and memory, which nobody mistypes: there are none.
    """
    for name in request:
        if name not in known:
            meant = "" if name in _OPTION_OF else nearest(name, islice(known, _COMPARED))
            return f" No {whose} has any {name!r}.{meant}"
    return ""


def make_request(
    *,
    num_cpus: float | None,
    num_gpus: float | None,
    memory: float | None,
    resources: Mapping[str, float] | None,
    default_cpus: float,
    accelerator_type: str | None = None,
) -> Resources:
    """Check the resource options of a task or an actor and put them together.

    ``accelerator_type`` asks for a node with such GPUs, of which it takes none: see
    :data:`ACCELERATOR`.

    Raises:
        InvalidOption: a quantity is negative or no number, GPUs above one are not whole, or
            ``resources`` names a resource that has an option of its own.
    """
    quantities: dict[str, float] = {
        CPU: default_cpus if num_cpus is None else check_quantity(num_cpus, "num_cpus")
    }
    if num_gpus is not None:
        quantities[GPU] = check_quantity(num_gpus, "num_gpus")
        if num_gpus > 1 and num_gpus != int(num_gpus):
            raise InvalidOption(f"num_gpus above 1 must be a whole number, got {num_gpus!r}")
    if memory is not None:
        quantities[MEMORY] = check_quantity(memory, "memory (in bytes)")
    quantities.update(check_custom(resources or {}))
    if accelerator_type is not None:
        quantities.setdefault(ACCELERATOR + accelerator_type, _TOKEN)
    return Resources(quantities)


def check_quantity(value: object, name: str) -> float:
    """Return *value* if it is a quantity that can be told from nothing; raise otherwise.

    Raises:
        InvalidOption: it is no number, negative, or smaller than one unit and not 0.
    """
    quantity = check_number(value, name, minimum=0)
    if quantity and not round(quantity * UNIT):
        raise InvalidOption(f"{name} must be 0 or at least {1 / UNIT:g}, got {value!r}")
    return quantity


def check_custom(resources: Mapping[str, float], *, what: str = "resources") -> dict[str, float]:
    """Check a ``resources={...}`` mapping of custom resource names to quantities."""
    if not isinstance(resources, Mapping):
        raise InvalidOption(f"{what} must map names to quantities, got {resources!r}")
    for name, value in resources.items():
        check_text(name, f"a key of {what}")
        if name in _OPTION_OF:
            raise InvalidOption(f"{what} must not hold {name!r}: use {_OPTION_OF[name]}=...")
        check_quantity(value, f"{what}[{name!r}]")
    return dict(resources)


def check_offered(resources: Mapping[str, float]) -> dict[str, float]:
    """Check the custom resources that a node is to offer."""
    if isinstance(resources, Mapping) and OBJECT_STORE_MEMORY in resources:
        raise InvalidOption(
            f"resources must not hold {OBJECT_STORE_MEMORY!r}: use {OBJECT_STORE_MEMORY}=..."
        )
    return check_custom(resources)


def check_bundle(bundle: Mapping[str, float], index: int) -> Resources:
    """Check one bundle of a placement group, e.g. ``{"CPU": 1, "GPU": 1}``."""
    if not isinstance(bundle, Mapping) or not bundle:
        raise InvalidOption(
            f"bundle {index} must be a non-empty mapping such as {{'CPU': 1}}, got {bundle!r}"
        )
    for name, value in bundle.items():
        check_text(name, f"a key of bundle {index}")
        if name in ("num_cpus", "num_gpus", "cpu", "gpu", "Memory"):
            raise InvalidOption(
                f"bundle {index} has no resource {name!r};"
                f"{nearest(name.removeprefix('num_').removesuffix('s').upper(), [CPU, GPU])}"
                " Bundles use the names CPU, GPU, memory and custom ones"
            )
        check_quantity(value, f"bundle {index}, resource {name!r}")
    made = Resources(bundle)
    if not made:
        raise InvalidOption(f"bundle {index} asks for nothing: {dict(bundle)!r}")
    return made
