"""``air stop``: the nodes of this user on this machine end."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import time

from air.errors import BackendError
from air_cluster.directories import RunningNode, remove_dead
from air_cluster.heads import nodes_here

_GRACE_S = 10.0


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "stop",
        help="end the nodes on this machine",
        description="End the nodes that `air start` has started on this machine, for this user,"
        f" with all that runs on them. A node that has not ended after {_GRACE_S:.0f} s is killed.",
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="only nodes of the cluster with this head"
    )
    parser.add_argument("--force", action="store_true", help="kill them at once")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """End the nodes; the head last, so that the others can tell it.

    Raises:
        BackendError: none of that cluster runs here.
    """
    nodes = nodes_here(options.address or "auto")
    if not nodes and options.address is not None:
        raise BackendError(f"no node of a cluster with the head {options.address} runs here")
    for node in sorted(nodes, key=lambda node: node.is_head):
        how = _end(node, 0.0 if options.force else _GRACE_S)
        print(f"{'head' if node.is_head else 'node'} {node.host} of {node.head}: {how}")
    remove_dead()
    if not nodes:
        print("no node runs here")
    return 0


def _end(node: RunningNode, grace_s: float) -> str:
    """End one node's processes."""
    try:
        process = os.pidfd_open(node.pid)
    except ProcessLookupError:
        return "it had ended already"
    try:
        deadline = time.monotonic() + grace_s
        if grace_s:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGTERM)
        if _has_ended(process, deadline):
            return "ended"
        # Its template and workers end with it; its directory is left.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        _has_ended(process, time.monotonic() + _GRACE_S)
        return "killed"
    finally:
        os.close(process)


def _has_ended(process: int, deadline: float) -> bool:
    """Wait for the end of a process, which makes its descriptor readable."""
    left = max(0.0, deadline - time.monotonic())
    return bool(select.select([process], [], [], left)[0])
