"""TLS on TCP connections: bytes in, bytes out, around a socket that does not block.

Both sides present a certificate, and trust those that the cluster's own certificate authority
has signed, nobody else's. Names in certificates are not looked at: nodes are known by their IP
addresses, which change, and the authority signs for nothing but this one cluster, so whoever
has a certificate of it is a member, whatever the name on it. The token is asked for all the
same, inside.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from air_cluster.protocol.frames import Buffer

_RECORD_BYTES = 16 << 10  # the longest that TLS has
_CHUNK_BYTES = 256 << 10  # of one write: what was encrypted cannot be taken back
_LEAST_READ = 4 << 10
_ALERT, _HANDSHAKE = 0x15, 0x16  # how a record begins


class TlsError(OSError):
    """The other side is no member of this cluster, or what came is not what was sent."""


class ClusterFiles(msgspec.Struct, frozen=True):
    """The paths of what a node needs, in PEM format.

    Attributes:
        authority: the certificate of the cluster's authority.
        certificate: the node's, signed by it.
        key: that certificate's private key.
    """

    authority: str
    certificate: str
    key: str

    @classmethod
    def of(cls, directory: str | os.PathLike[str]) -> ClusterFiles:
        """Those in a directory of :func:`~.certificates.make_cluster_certificates`."""
        names = ("ca.crt", "node.crt", "node.key")
        return cls(*(os.path.join(directory, name) for name in names))


class TlsContexts(msgspec.Struct, frozen=True):
    """What the two roles of a connection need."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def load_contexts(files: ClusterFiles) -> TlsContexts:
    """The settings for both roles.

    Raises:
        ValueError: a file is missing or holds something else; names it.
    """
    server = _context(ssl.PROTOCOL_TLS_SERVER, files)
    server.num_tickets = 0  # connections are not resumed
    return TlsContexts(server, _context(ssl.PROTOCOL_TLS_CLIENT, files))


def _context(protocol: int, files: ClusterFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    # Both sides are ours: nothing older has to be spoken, and there is no renegotiation.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # see the module's docstring
    context.verify_mode = ssl.CERT_REQUIRED
    for path in (files.authority, files.certificate, files.key):
        if not os.access(path, os.R_OK):
            raise ValueError(f"TLS: {path} is missing or cannot be read")
    try:
        context.load_verify_locations(files.authority)
    except ssl.SSLError as error:
        raise ValueError(f"TLS: {files.authority} holds no certificate ({error})") from error
    try:
        context.load_cert_chain(files.certificate, files.key)
    except ssl.SSLError as error:
        raise ValueError(
            f"TLS: {files.certificate} and {files.key} are no certificate with its private key"
            f" ({error})"
        ) from error
    return context


class TlsStream:
    """An encrypted connection, used as the socket below it would be.

    Args:
        sock: non-blocking and connected; closed with this.
        context: for this side's role.
        server: that role.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server: bool) -> None:
        self._socket = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._unsent = memoryview(b"")
        self._begun = False

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """As of the socket below."""
        self._socket.setsockopt(level, option, value)

    def setblocking(self, flag: bool) -> None:
        """As of the socket below."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Close the socket, without TLS's own farewell.

        That would only tell an end from a cut, and frames say themselves whether they are whole.
        """
        self._socket.close()

    @property
    def backlog(self) -> bool:
        """Whether encrypted bytes wait for the socket to take them."""
        return bool(self._unsent) or self._outgoing.pending > 0

    def handshake(self) -> bool:
        """Go on with it, as far as that needs one read; whether it has ended.

        Raises:
            OSError: it failed, or the connection did.
        """
        if not self._shake():
            try:
                data = self._socket.recv(_LEAST_READ)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                data = b""
            if not data:
                raise TlsError(
                    "connection closed by the other side during the TLS handshake: it may not"
                    " use TLS, or be of another cluster"
                )
            if not self._begun and data[0] not in (_ALERT, _HANDSHAKE):
                raise TlsError("the other side does not use TLS, this one does")
            self._begun = True
            self._incoming.write(data)
            if not self._shake():
                return False
        return True

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
            return False
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                self.flush()  # tells the other side why
            raise _explained(error) from error
        self.flush()
        return True

    def flush(self) -> bool:
        """Send what was encrypted; whether none is left."""
        while self.backlog:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]
        return True

    def send(self, data: Buffer) -> int:
        """Like that of a socket; takes nothing while a backlog waits.

        Raises:
            BlockingIOError: the socket takes nothing now.
        """
        if not self.flush():
            raise BlockingIOError
        chunk = memoryview(data)[:_CHUNK_BYTES]
        taken = 0
        while taken < len(chunk):
            taken += self._tls.write(chunk[taken:])
        self.flush()
        return taken

    def sendmsg(self, parts: Sequence[Buffer]) -> int:
        """Like that of a socket: parts that are short share a record."""
        fits = sum(end <= _CHUNK_BYTES for end in accumulate(len(part) for part in parts))
        return self.send(b"".join(parts[:fits]) if fits else parts[0])

    def recv(self, size: int) -> bytes:
        """All that can be read now; about *size* bytes, empty at the end.

        Leaves nothing behind that the socket would not announce again.

        Raises:
            BlockingIOError: nothing whole has come.
        """
        while True:
            data = self._socket.recv(max(size, _LEAST_READ))
            if not data:
                return b""
            self._incoming.write(data)
            decrypted = self._decrypted()
            if self.backlog:
                with contextlib.suppress(OSError):  # found out again by whoever sends
                    self.flush()
            if decrypted is not None:
                return decrypted

    def read_ahead(self) -> bytes:
        """What came together with the end of the handshake, if anything did."""
        return self._decrypted() or b""

    def _decrypted(self) -> bytes | None:
        """What can be read; ``None`` if it is nothing, empty if it is the end."""
        pieces = []
        try:
            while piece := self._tls.read(_RECORD_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if not pieces:
                return None
        except ssl.SSLError as error:
            raise _explained(error) from error
        return b"".join(pieces)


def _explained(error: ssl.SSLError) -> TlsError:
    why = (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(f"TLS: the other side's certificate is refused: {error.verify_message}")
    if "ALERT" in (error.reason or ""):
        return TlsError(f"TLS: the other side refuses this one's certificate or data: {why}")
    return TlsError(f"TLS failed: {why}")
