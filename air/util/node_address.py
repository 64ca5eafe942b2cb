"""Where other machines reach this one."""

from __future__ import annotations

import socket

from air.errors import InvalidOption
from air.executor import current
from air.executor.keywords import suggests_keywords

_LOOPBACK = "127.0.0.1"
_DEFAULT = "8.8.8.8:53"


@suggests_keywords
def get_node_ip_address(address: str = _DEFAULT) -> str:
    """The address by which other machines reach this one.

    In a cluster of several nodes, it is the one that they use (see ``air.nodes()``), unless an
    *address* is given. Else it is that on the network which leads to *address*, to which nothing is
    sent; ``"127.0.0.1"`` where none does.

    Args:
        address: ``"HOST:PORT"`` of any other machine, such as one that is to reach this one.

    Raises:
        InvalidOption: *address* has another form.
    """
    if address == _DEFAULT and current.is_initialized():
        known = current.get_executor().context().host
        if known and known != _LOOPBACK:
            return known
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
