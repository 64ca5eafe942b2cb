"""``air logs``: what workers print, and nodes log."""

from __future__ import annotations

import argparse
import sys
import time

from air.cli.arguments import add_address
from air.errors import InvalidOption

_DEFAULT_TAIL = 1000


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "logs",
        help="list log files, or show one",
        description="Without a name, list the log files of all nodes; with one, show its last"
        " lines. Workers that have printed nothing have no file.",
    )
    parser.add_argument(
        "name", nargs="?", help="of a file, with * for any characters, or the pid of a worker"
    )
    parser.add_argument("--follow", "-f", action="store_true", help="go on as it is written")
    parser.add_argument(
        "--tail",
        type=int,
        default=_DEFAULT_TAIL,
        metavar="LINES",
        help=f"begin so many lines before the end, -1 for all (default: {_DEFAULT_TAIL})",
    )
    parser.add_argument("--err", action="store_true", help="of a pid: its standard error")
    parser.add_argument("--node-id", metavar="ID", help="only files of this node")
    add_address(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List the files, or show one.

    Raises:
        InvalidOption, BackendError: as ``air.util.state.get_log`` says.
    """
    from air.util.state import get_log, list_logs

    if options.name is None:
        if options.follow:
            raise InvalidOption("--follow goes with the name of a file, or the pid of a worker")
        files = list_logs(options.address, options.node_id)
        rows = [("NODE", "ADDRESS", "FILE", "BYTES", "WRITTEN")]
        for file in files:
            written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.modified))
            rows.append((file.node_id, file.node_ip, file.name, str(file.nbytes), written))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(line.rstrip())
        return 0
    is_pid = options.name.isdecimal()
    for text in get_log(
        options.address,
        options.node_id,
        filename=None if is_pid else options.name,
        pid=int(options.name) if is_pid else None,
        follow=options.follow,
        tail=options.tail,
        suffix="err" if options.err else "out",
        errors="replace",
    ):
        sys.stdout.write(text)
        sys.stdout.flush()
    return 0
