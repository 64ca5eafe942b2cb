"""What a directory of kept results was made from, and how that differs from another plan."""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import air
from air.data.checkpointing.fingerprint import digest
from air.data.plan import Checkpointed, InputBlocks, Map, Node, Read
from air.data.udf.calling import Call

FORMAT = 1
_TOLD = 5

FileState = tuple[str, int, int]
"""A file: where it is, its bytes, and when it was last changed, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class StepMark:
    """What is remembered of a step.

    Attributes:
        name: as messages call it.
        mark: the digest of what it does.
        files: those that it reads.
    """

    name: str
    mark: str
    files: tuple[FileState, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is remembered of a plan, its steps in the order of the data."""

    steps: tuple[StepMark, ...]
    air_version: str = air.__version__
    python_version: str = ".".join(platform.python_version_tuple()[:2])

    def as_json(self) -> dict[str, Any]:
        """What is written to the directory."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Manifest:
        """What was written.

        Raises:
            ValueError: it is no manifest, or one of another version of air.
        """
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError("not a manifest of this version")
        steps = tuple(
            StepMark(step["name"], step["mark"], tuple((p, s, t) for p, s, t in step["files"]))
            for step in found["steps"]
        )
        return cls(steps, found["air_version"], found["python_version"])


def manifest_of(plan: Node) -> Manifest:
    """What there is to remember of *plan*; looks at the files that it reads."""
    return Manifest(tuple(_marks(plan)))


def _marks(node: Node) -> list[StepMark]:
    found = [mark for below in node.inputs for mark in _marks(below)]
    if isinstance(node, Checkpointed):
        return found
    return [*found, _mark(node)]


def _mark(node: Node) -> StepMark:
    if isinstance(node, Map):  # where it runs makes no difference
        transform = node.transform
        if isinstance(transform, Call):
            transform = transform.with_skips(None)
        return StepMark(node.name, digest(transform))
    if isinstance(node, InputBlocks):
        blocks = [handle.get() for handle in node.handles]
        return StepMark(node.name, digest(blocks))
    if isinstance(node, Read):
        files = node.source.files_to_read()
        pieces = [(task.metadata.source, task.metadata.num_rows) for task in node.tasks()]
        states = () if files is None else tuple(files.states())
        return StepMark(node.name, digest((node.source, pieces)), states)
    own = [
        getattr(node, field.name)
        for field in dataclasses.fields(node)
        if not _is_input(getattr(node, field.name))
    ]
    return StepMark(node.name, digest(own))


def _is_input(value: object) -> bool:
    several = isinstance(value, tuple) and bool(value) and isinstance(value[0], Node)
    return several or isinstance(value, Node)


def differences(then: Manifest, now: Manifest) -> list[str]:
    """What is not as it was, in words; nothing if results can be used again."""
    if then.air_version != now.air_version:
        return [f"it was made with air {then.air_version}, and this is {now.air_version}"]
    if then.python_version != now.python_version:
        versions = f"Python {then.python_version}, and this is {now.python_version}"
        return [f"it was made with {versions}, whose functions cannot be compared"]
    names, others = [one.name for one in then.steps], [one.name for one in now.steps]
    if names != others:
        return [f"the steps were {' -> '.join(names)}, and are {' -> '.join(others)}"]
    return [
        text
        for before, after in zip(then.steps, now.steps, strict=True)
        for text in _step_differences(before, after)
    ]


def _step_differences(then: StepMark, now: StepMark) -> list[str]:
    files = _file_differences(then.files, now.files)
    if files or then.mark == now.mark:
        return files
    if now.files:
        return [f"{now.name} reads the same files in another way"]
    return [f"{now.name} is another: its code, its arguments or the values that it uses differ"]


def _file_differences(then: Sequence[FileState], now: Sequence[FileState]) -> list[str]:
    before = {path: (size, time) for path, size, time in then}
    after = {path: (size, time) for path, size, time in now}
    found = [f"{path} is read now" for path in after if path not in before]
    found += [f"{path} is read no more" for path in before if path not in after]
    found += [
        f"{path} was changed: {_state(*before[path])} then, {_state(*after[path])} now"
        for path in after
        if path in before and before[path] != after[path]
    ]
    if not found and [path for path, *_ in then] != [path for path, *_ in now]:
        found = ["the same files are read in another order"]
    more = len(found) - _TOLD
    return [*found[:_TOLD], *([f"{more} more files differ"] if more > 0 else [])]


def _state(size: int, time: int) -> str:
    seconds, nanoseconds = divmod(time, 10**9)
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{size} bytes of {when:%Y-%m-%d %H:%M:%S}.{nanoseconds // 1000:06d}"
