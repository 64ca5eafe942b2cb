"""Steps that leave the rows as they are and do something beside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from air.data.plan.node import Node, Step

if TYPE_CHECKING:
    from air.data.checkpointing.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Checkpointed(Step):
    """The same blocks, kept in files of which each is written as soon as its rows are made.

    Attributes:
        filesystem: the ``pyarrow.fs.FileSystem`` of :attr:`directory`.
        manifest: what the rows are made from, as it was when the step was added: functions may
            change what they use.
    """

    filesystem: Any
    directory: str
    manifest: Manifest

    @property
    def name(self) -> str:
        return f"checkpointed({self.directory!r})"

    def below(self, plan: Node, name: str) -> Checkpointed:
        """The same for a part of what the rows are made from, in a directory inside this one."""
        return replace(self, input=plan, directory=f"{self.directory}/{name}")
