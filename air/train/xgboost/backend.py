"""The collective: how XGBoost's workers find and talk to one another."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.train.backend import Backend, BackendConfig
from air.train.session import get_world_rank, get_world_size
from air.train.xgboost.library import ignore_in_this_thread, import_xgboost

if TYPE_CHECKING:
    from air.train.worker_group import WorkerGroup

COLLECTIVE_KEY = "collective"


@dataclass(frozen=True, slots=True)
class XGBoostConfig(BackendConfig):
    """Workers that train one model together."""

    @property
    def backend_cls(self) -> type[Backend]:
        return XGBoostBackend


class XGBoostBackend(Backend):
    """Starts XGBoost's tracker, where the workers meet, in the process of rank 0.

    There it has an address that the other workers can reach, and the process that calls
    ``fit()`` needs neither XGBoost nor its threads.
    """

    modules = (
        "xgboost",
        "xgboost.tracker",
        "air.train.xgboost.trainer",
        "air.train.xgboost.worker",
    )

    def on_start(self, workers: WorkerGroup, config: BackendConfig) -> dict[str, Any]:
        size = len(workers.placements)
        if size == 1:
            return {COLLECTIVE_KEY: None}
        first, nodes = workers.infos[0], {info.node_id for info in workers.infos}
        address = "127.0.0.1" if len(nodes) == 1 else first.address
        workers.execute_single(0, start_tracker, size, address)
        return {COLLECTIVE_KEY: workers.execute_single(0, tracker_arguments)}

    def is_consequence(self, error: BaseException) -> bool:
        return is_broken_collective(error)


def is_broken_collective(error: BaseException) -> bool:
    """Whether a worker failed because another one is gone, which it notices in its next call."""
    text = str(error)
    return any(base.__name__ == "XGBoostError" for base in type(error).__mro__) and (
        "collective/" in text or "llreduce" in text or "socket.h" in text
    )


_trackers: list[Any] = []
"""Trackers of this process, which work as long as they are referred to; the newest last."""


def start_tracker(num_workers: int, address: str) -> None:
    """Start a tracker in this process."""
    import_xgboost()
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(num_workers, address, sortby="task")
    tracker.start()
    _trackers.append(tracker)


def tracker_arguments() -> dict[str, Any]:
    """What workers need to find the newest tracker of this process.

    Not asked for in the same breath as the tracker is started: XGBoost waits for a tracker that is
    not ready in steps of a tenth of a second, and one is ready after a thousandth.
    """
    return dict(_trackers[-1].worker_args())


@contextlib.contextmanager
def collective(arguments: dict[str, Any] | None) -> Iterator[None]:
    """Be part of the collective in the ``with`` block; alone if *arguments* are ``None``.

    Its ranks are those of the session.
    """
    if arguments is None:
        yield
        return
    from xgboost import collective as library

    with contextlib.redirect_stdout(io.StringIO()):  # a line for each worker that joins
        library.init(**arguments, dmlc_task_id=f"{get_world_rank():08d}")
    assert (library.get_rank(), library.get_world_size()) == (get_world_rank(), get_world_size())
    # Some worker's part of a small dataset has no rows. It is meant to have none.
    warnings.filterwarnings("ignore", message="(?s).*Empty dataset at worker")
    try:
        yield
    except BaseException as error:
        # What XGBoost says of a collective that breaks off would bury the error.
        ignore_in_this_thread()
        # Leaving tells the tracker, and the others when they next ask this one. Where it is
        # another worker that failed the tracker may be gone with it, and XGBoost would try to
        # reach it for many seconds before the error could be reported.
        if not is_broken_collective(error):
            with contextlib.suppress(import_xgboost().core.XGBoostError):
                library.finalize()
        raise
    library.finalize()
