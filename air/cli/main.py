"""The `air` command: its own parts, and those that installed distributions add to it.

A distribution adds commands with::

    [project.entry-points."air.commands"]
    mine = "my_package:add_commands"

where ``add_commands(commands)`` gets what ``argparse.ArgumentParser.add_subparsers`` returns, and
each of its parsers sets ``run``: a function of the parsed options that returns the exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import NoReturn

import air
from air.cli import logs, state
from air.errors import AirError
from air.executor import registry
from air.executor.current import ADDRESS_VARIABLE
from air.executor.validation import nearest

GROUP = "air.commands"
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv* (``sys.argv[1:]`` if None); its exit status."""
    parser: argparse.ArgumentParser = _Parser(
        prog="air", description="Look after AIR from a shell."
    )
    parser.add_argument("--version", action="version", version=f"air {air.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    backends = commands.add_parser(
        "backends",
        help="list the installed backends and whether each can be imported",
        description="List the installed backends; the exit status is 1 if one cannot be imported.",
    )
    backends.set_defaults(run=_backends)
    state.add_commands(commands)
    logs.add_command(commands)
    _add_others(commands)
    options, others = parser.parse_known_args(argv)
    if others:
        known = commands.choices[options.command]._option_string_actions
        hint = nearest(others[0].partition("=")[0], known)
        commands.choices[options.command].error(f"unknown argument: {' '.join(others)}.{hint}")
    try:
        return int(options.run(options))
    except AirError as error:
        named = os.environ.get(ADDRESS_VARIABLE)
        is_meant = named and getattr(options, "address", None) == named and named in str(error)
        source = f" (the environment says {ADDRESS_VARIABLE}={named})" if is_meant else ""
        print(f"air {options.command}: {error}{source}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # such as of `air list tasks | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _add_others(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            point.load()(commands)
        except Exception as error:  # a plug-in may fail in any way; the others must work still
            problem = f"{type(error).__name__}: {error}"
            print(f"air: the commands of {point.value} are missing: {problem}", file=sys.stderr)


def _backends(_options: argparse.Namespace) -> int:
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
