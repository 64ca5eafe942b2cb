"""Which address other machines know this one by."""

from __future__ import annotations

import socket
from typing import Any

LOOPBACK = "127.0.0.1"


def local_host(network: dict[str, Any] | None) -> str:
    """The address to listen on: the one asked for, or the one that faces the head.

    Args:
        network: see ``launch.Network``; ``None`` for a cluster of this machine alone.
    """
    if network is None:
        return ""
    if network["host"]:
        return str(network["host"])
    host, _, port = network["head"].rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))  # sends nothing, but chooses the way
        return str(probe.getsockname()[0])
