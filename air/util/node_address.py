"""Where other machines reach this one."""

from __future__ import annotations

import socket

from air.errors import InvalidOption
from air.executor.keywords import suggests_keywords

_LOOPBACK = "127.0.0.1"


@suggests_keywords
def get_node_ip_address(address: str = "8.8.8.8:53") -> str:
    """The address of this machine on the network that leads to *address*.

    Nothing is sent. ``"127.0.0.1"`` where no network leads there.

    Args:
        address: ``"HOST:PORT"`` of any other machine, such as one that is to reach this one.

    Raises:
        InvalidOption: *address* has another form.
    """
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidOption(f"address must be 'HOST:PORT', got {address!r:.80}")
    host = host.removeprefix("[").removesuffix("]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect((host, int(port)))
        except OSError:
            return _LOOPBACK
        found: str = s.getsockname()[0]
        return found
