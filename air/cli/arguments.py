"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os

from air.executor.current import ADDRESS_VARIABLE


def add_address(parser: argparse.ArgumentParser) -> None:
    """Which cluster a command is about."""
    parser.add_argument(
        "--address",
        default=os.environ.get(ADDRESS_VARIABLE) or "auto",
        metavar="HOST:PORT",
        help=f"of the head (default: {ADDRESS_VARIABLE} in the environment, or else the cluster of"
        " this machine's node)",
    )
