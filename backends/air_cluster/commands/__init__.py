"""The runtime's part of the command ``air``: nodes are started, looked at and ended by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air_cluster.commands import start, status, stop

if TYPE_CHECKING:
    import argparse


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``start``, ``stop`` and ``status``; the entry point of the group ``air.commands``."""
    start.add_command(commands)
    stop.add_command(commands)
    status.add_command(commands)
