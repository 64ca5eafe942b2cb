"""The head that an address names, and the nodes of its cluster that run on this machine."""

from __future__ import annotations

import ipaddress
import os
import socket

from air.errors import BackendError, InvalidOption
from air_cluster.credentials import VARIABLE, Credentials
from air_cluster.directories import RunningNode, running_nodes


def nodes_here(address: str) -> list[RunningNode]:
    """This user's nodes on this machine of the cluster with that head; of any for ``auto``.

    A head that runs here is also known by what every machine calls itself: ``localhost:PORT``,
    ``127.0.0.1:PORT`` and ``[::1]:PORT``, whatever address it listens at.

    Raises:
        InvalidOption: *address* has another form.
        BackendError: its host is not known.
    """
    nodes = running_nodes()
    if address == "auto" or not nodes:
        return nodes
    found = [node for node in nodes if node.head == address]
    if found:
        return found
    host, port = _parse(address)
    ips = _look_up(address, host)
    is_own = any(ip.is_loopback for ip in ips)
    heads = set()
    for node in nodes:
        known, _, known_port = node.head.rpartition(":")
        is_same = ipaddress.ip_address(known.strip("[]")) in ips
        if int(known_port) == port and (is_same or (is_own and node.is_head)):
            heads.add(node.head)
    return [node for node in nodes if node.head in heads]


def find_head(address: str) -> str:
    """The address of a head with its name looked up, as ``IP:PORT``.

    Raises:
        InvalidOption: it has another form.
        BackendError: its host is not known.
    """
    host, port = _parse(address)
    for node in nodes_here(address):
        return node.head
    ip = _look_up(address, host)[0]
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def read_credentials(address: str) -> Credentials:
    """Those of the cluster at *address*, from the file that ``AIR_TOKEN_FILE`` names.

    Raises:
        BackendError: the variable is not set, or the file cannot be used.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise BackendError(
            f"joining the cluster at {address} takes its token: copy the token file of its head to"
            f" this machine and set {VARIABLE} to the path"
        )
    return Credentials.read(path)


def check_token_file(node: RunningNode) -> None:
    """Complain if the environment names another cluster's token file than that of *node*.

    Raises:
        BackendError: it does, or the file cannot be used.
    """
    path = os.environ.get(VARIABLE)
    if path and Credentials.read(path).token != node.credentials.token:
        raise BackendError(
            f"{VARIABLE}={path} holds another token than the cluster with the head {node.head},"
            " whose node runs on this machine: unset the variable, which is not needed here, or"
            " give the address of the cluster that the token is of"
        )


def _parse(address: str) -> tuple[str, int]:
    """Host, without brackets, and port.

    Raises:
        InvalidOption: it is no such address.
    """
    from air_cluster.transport.addresses import AddressError, TcpAddress, parse

    try:
        [parsed] = parse(f"tcp:{address}")
    except ValueError as error:  # or there are several
        why = error.why if isinstance(error, AddressError) else "it names several"
    else:
        assert isinstance(parsed, TcpAddress)
        if parsed.port:
            return parsed.host, parsed.port
        why = "0 is no port to connect to"
    raise InvalidOption(f"address must be 'HOST:PORT' or 'auto', got {address!r}: {why}")


def _look_up(address: str, host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The IP addresses of a host, in the order in which the system prefers them."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BackendError(f"the host of {address} cannot be found: {error}") from error
    return [ipaddress.ip_address(str(one[4][0])) for one in found]
