"""The `air` command: `air --version`, `air backends`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import air
from air.executor import registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv* (``sys.argv[1:]`` if None); its exit status."""
    parser = argparse.ArgumentParser(prog="air", description="Look after AIR from a shell.")
    parser.add_argument("--version", action="version", version=f"air {air.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    backends = commands.add_parser(
        "backends",
        help="list the installed backends and whether each can be imported",
        description="List the installed backends; the exit status is 1 if one cannot be imported.",
    )
    backends.set_defaults(run=_backends)
    return int(parser.parse_args(argv).run())


def _backends() -> int:
    """One line a backend: its name, the distribution that brings it, "ok" or what is wrong."""
    status = 0
    rows = [("NAME", "INSTALLED BY", "STATUS")]
    for name, point in registry.backends().items():
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        try:
            registry.load(name)
            state = "ok"
        except Exception as error:  # a plug-in may fail in any way; the others are listed still
            state, status = f"{type(error).__name__}: {error}", 1
        rows.append((name, source, state))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, source, state in rows:
        print(f"{name:{widths[0]}}  {source:{widths[1]}}  {state}")
    return status
