"""``air status``: the nodes of a cluster, and what is free on them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence

from air.executor.current import ADDRESS_VARIABLE
from air.executor.interface import InitConfig
from air_cluster.session import connect

_GIB = 1 << 30
_BYTES = ("memory", "object_store_memory")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "status",
        help="show the nodes of a cluster",
        description="Show the nodes of a cluster, and how much of what they offer is in use.",
    )
    parser.add_argument(
        "--address",
        default=os.environ.get(ADDRESS_VARIABLE) or "auto",
        metavar="HOST:PORT",
        help=f"of the head (default: {ADDRESS_VARIABLE} in the environment, or else the cluster of"
        " this machine's node)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a table.

    Raises:
        BackendError: there is no such cluster.
    """
    executor = connect(InitConfig(address=options.address))
    try:
        nodes = executor.usage()
    finally:
        executor.shutdown()
    names = list(dict.fromkeys(name for node in nodes for name in node["resources"]))
    rows = [["node", "address", *(_title(name) for name in names), "labels"]]
    for node in nodes:
        total, free = node["resources"], node["free"]
        labels = ", ".join(f"{key}={value}" for key, value in sorted(node["labels"].items()))
        used = [_used(name, total, free) for name in names]
        rows.append([node["node_id"], node["address"], *used, labels])
    print(f"{len(nodes)} node{'s' * (len(nodes) != 1)}; in use of what there is:")
    _print_columns(rows)
    return 0


def _title(name: str) -> str:
    return f"{name} (GiB)" if name in _BYTES else name


def _used(name: str, total: Mapping[str, float], free: Mapping[str, float]) -> str:
    if name not in total:
        return "-"
    scale = _GIB if name in _BYTES else 1
    used = (total[name] - free.get(name, 0.0)) / scale
    return f"{round(used, 2):g}/{round(total[name] / scale, 2):g}"


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
