"""What a framework needs around the training function: its distributed set-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from air.train.worker_group import WorkerGroup


class BackendConfig:
    """Settings of a framework's distributed set-up; subclasses are dataclasses.

    What is given as ``backend_config`` of a :class:`~air.train.DataParallelTrainer`; this class
    itself stands for no set-up at all.
    """

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that does what these settings say."""
        return Backend


class Backend:
    """A framework's distributed set-up. This class itself does nothing.

    One instance serves one start of the workers.
    """

    modules: ClassVar[Sequence[str]] = ()
    """Modules that the workers import, so that they can be started with these loaded."""

    def on_start(self, workers: WorkerGroup, config: BackendConfig) -> dict[str, Any]:
        """Set up the workers before the training function is called.

        Returns what the training function's config has in addition to what the user gave.
        """
        return {}

    def on_shutdown(self, workers: WorkerGroup) -> None:
        """Take down what :meth:`on_start` set up, after training that ended well.

        After a failure the workers are ended without this.
        """

    def close(self) -> None:
        """Let go of what :meth:`on_start` made outside of the workers, however training ended."""

    def is_consequence(self, error: BaseException) -> bool:
        """Whether a worker's *error* may come from the failure of another worker."""
        return False
