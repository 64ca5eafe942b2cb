"""Arguments that several commands have."""

from __future__ import annotations

import argparse


def add_address(parser: argparse.ArgumentParser) -> None:
    """Which cluster a command is about."""
    parser.add_argument(
        "--address",
        default="auto",
        metavar="HOST:PORT",
        help="of the head (default: the cluster of this machine's node)",
    )
