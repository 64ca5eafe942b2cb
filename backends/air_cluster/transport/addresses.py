"""Where a process listens, as text.

``unix:PATH`` is reached from its own machine only, ``tcp:HOST:PORT`` from everywhere (an IPv6
host stands in brackets: ``tcp:[::1]:6380``). A process that listens on both says so with both,
joined by ``|``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import msgspec

_MAX_PATH_BYTES = 107  # of a Unix socket, on Linux
_MAX_PORT = 65535
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class AddressError(ValueError):
    """A text is no address, or no address that can be used for this.

    Attributes:
        why: what is wrong with it, without the text and what is expected in its place.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why or message


class UnixAddress(msgspec.Struct, frozen=True):
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class TcpAddress(msgspec.Struct, frozen=True):
    """A port of a host.

    Attributes:
        host: an IP address without brackets, or a name.
        port: 0 only where to listen: any that is free.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if self.is_ipv6 else f"tcp:{self.host}:{self.port}"

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, which has to be looked up."""
        return _ip_address(self.host) is None

    @property
    def is_any_host(self) -> bool:
        """Whether it stands for all addresses of a machine: good to listen on only."""
        ip = _ip_address(self.host)
        return ip is not None and ip.is_unspecified


Address = UnixAddress | TcpAddress


def parse(text: str) -> list[Address]:
    """The addresses in a text, at least one.

    Raises:
        AddressError: it is none; says what is wrong with it.
    """
    return [_parse_one(text, part) for part in text.split("|")]


def join(addresses: Iterable[Address | str]) -> str:
    """The text that names all of them."""
    return "|".join(str(address) for address in addresses)


def choose(text: str, *, same_machine: bool) -> Address:
    """The address by which to reach a process that listens on all that *text* names.

    Raises:
        AddressError: *text* is invalid, or the process is on another machine and cannot be
            reached from there.
    """
    found = parse(text)
    kinds = (UnixAddress, TcpAddress) if same_machine else (TcpAddress,)
    for kind in kinds:
        for address in found:
            if isinstance(address, kind):
                return address
    raise AddressError(f"{text} cannot be reached from another machine: it has no tcp: part")


def _parse_one(text: str, part: str) -> Address:
    scheme, colon, rest = part.partition(":")
    if scheme == "unix" and colon:
        return _parse_unix(text, rest)
    if scheme == "tcp" and colon:
        return _parse_tcp(text, rest)
    raise _invalid(text, f"{part!r} starts with neither unix: nor tcp:")


def _parse_unix(text: str, path: str) -> UnixAddress:
    if not path or "\0" in path:
        raise _invalid(text, "the path is empty" if not path else "a path holds no NUL")
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise _invalid(text, "the path is not valid text") from None
    if length > _MAX_PATH_BYTES:
        raise _invalid(text, f"the path has {length} bytes, of at most {_MAX_PATH_BYTES}")
    return UnixAddress(path)


def _parse_tcp(text: str, rest: str) -> TcpAddress:
    host, colon, port = rest.rpartition(":")
    if not colon or host.endswith(":"):
        raise _invalid(text, "there is no port")
    if not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise _invalid(text, f"the port {port!r} is no number from 0 to {_MAX_PORT}")
    bracketed = host.startswith("[") and host.endswith("]")
    ip = _ip_address(host[1:-1] if bracketed else host)
    if bracketed != isinstance(ip, ipaddress.IPv6Address):
        if ip is not None and not bracketed:
            raise _invalid(text, f"an IPv6 address stands in brackets: [{host}]")
        raise _invalid(text, f"{host} is no IPv6 address")
    if ip is None:
        if not _HOST_NAME.fullmatch(host) or host.replace(".", "").isdigit():
            raise _invalid(text, f"the host {host!r} is neither an IP address nor a name")
        return TcpAddress(host, int(port))
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        raise _invalid(text, f"{host} means another host on every machine; leave out the %")
    return TcpAddress(str(ip), int(port))


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _invalid(text: str, why: str) -> AddressError:
    return AddressError(
        f"invalid address {text!r}: {why}. An address is unix:PATH, tcp:HOST:PORT or"
        " tcp:[IPV6]:PORT, or several of these joined by '|'",
        why,
    )
