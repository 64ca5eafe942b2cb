"""TCP sockets between machines: made without ever blocking, and told apart from dead ones.

Two options look right for dead links and are not. ``SO_KEEPALIVE`` is silent while data is on
its way. ``TCP_USER_TIMEOUT`` covers that, but also ends connections to processes that are
alive and merely do not read for a while, such as one that computes without letting go of the
interpreter. So keep-alive watches idle links (20 s), and :func:`is_dead` the others.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from air_cluster.transport import listening
from air_cluster.transport.addresses import Address, AddressError, TcpAddress, join, parse
from air_cluster.transport.reactor import Reactor

SILENT_S = 20.0
"""So long after the last sign of life of the other machine a link counts as dead."""

_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 5),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
)
# struct tcp_info of linux/tcp.h: retransmissions and unanswered probes in a row, packets that
# were not acknowledged, milliseconds since the last acknowledgement.
_INFO = struct.Struct("=2x2B20xI28xI")
_LOST_PROBES = 2  # one may just be on its way


def connect(address: TcpAddress) -> socket.socket:
    """A non-blocking socket that is about to be connected: once writable, it is or failed.

    Raises:
        AddressError: *address* is none to connect to.
        OSError: it is known at once that it cannot be reached.
    """
    _check_target(address)
    sock = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        prepare(sock)
        with contextlib.suppress(BlockingIOError):
            sock.connect((address.host, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _check_target(address: TcpAddress) -> None:
    _check_no_name(address)
    if address.is_any_host or not address.port:
        raise AddressError(f"{address} is an address to listen on, not one to connect to")


def _check_no_name(address: TcpAddress) -> None:
    # To look one up can take seconds, in which nothing else would be served.
    if address.is_name:
        raise AddressError(f"{address} holds a name: look it up first, with tcp.resolve()")


def prepare(sock: socket.socket) -> None:
    """Send small messages at once, and notice when the other machine is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def connection_error(sock: socket.socket) -> int:
    """The error number with which a connection attempt ended, or 0.

    A connection to a free port of the own machine may reach itself by chance, when that port
    is also picked for this side of it; that is a refused one.
    """
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        return error
    try:
        itself = sock.getsockname() == sock.getpeername()
    except OSError:
        return errno.ECONNRESET  # it was there, and is gone already
    return errno.ECONNREFUSED if itself else 0


def is_dead(sock: socket.socket, silent_s: float = SILENT_S) -> bool:
    """Whether data is on its way over a link from which nothing has come for *silent_s*.

    A machine whose process does not read still answers: that is no reason.
    """
    return is_dead_link(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), silent_s)


def is_dead_link(tcp_info: bytes, silent_s: float) -> bool:
    """See :func:`is_dead`; *tcp_info* is what the kernel says about the socket."""
    retransmits, probes, unacknowledged, silent_ms = _INFO.unpack_from(tcp_info)
    waits = (unacknowledged and retransmits) or probes >= _LOST_PROBES
    return bool(waits) and silent_ms >= silent_s * 1000


def resolve(text: str) -> str:
    """The same address with IP addresses in the place of names. Blocks, so not for handlers.

    Raises:
        AddressError: *text* is invalid, or a name is not known.
    """
    return join(_resolve_one(address) for address in parse(text))


def _resolve_one(address: Address) -> Address:
    if not isinstance(address, TcpAddress) or not address.is_name:
        return address
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"the host of {address} cannot be found: {error}") from error
    # The first is what the system prefers.
    return TcpAddress(str(found[0][4][0]), address.port)


def own_host(towards: str) -> str:
    """The IP address of this machine from which it reaches *towards*, and can be reached.

    Raises:
        AddressError: *towards* has no TCP part, or one that is none to connect to.
        OSError: there is no route.
    """
    for address in parse(towards):
        if isinstance(address, TcpAddress):
            _check_target(address)
            # Connecting a datagram socket sends nothing, it only looks the route up.
            with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
                sock.connect((address.host, address.port))
                return str(sock.getsockname()[0])
    raise AddressError(f"{towards} has no tcp: part")


def _family(address: TcpAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if address.is_ipv6 else socket.AF_INET


class Listener(listening.Listener):
    """Accepts connections on a port; :attr:`address` has its number if it was left open.

    Raises:
        AddressError: the host is a name.
        OSError: the port is taken, or the host is none of this machine.
    """

    def __init__(
        self, address: TcpAddress, reactor: Reactor, on_connect: Callable[[socket.socket], None]
    ) -> None:
        _check_no_name(address)
        sock = socket.socket(_family(address), socket.SOCK_STREAM)
        try:
            # A service that is started again must not wait until old connections are forgotten.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address.host, address.port))
            sock.listen(listening.BACKLOG)
            port = sock.getsockname()[1]
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
        super().__init__(sock, str(TcpAddress(address.host, port)), reactor, on_connect)
