"""Mutual challenge and response, before anything else is parsed.

Both sides show that they know the cluster's token without sending it (HMAC-SHA256 over the
role and what both sides have said so far), so neither a stranger nor a replay gets past, and
nobody between them can change who they say they are; see RFC 2104. Every message has a fixed
size, so there is nothing to parse wrongly::

    client -> server   magic (8)  nonce (32)  process id (8)
    server -> client   magic (8)  nonce (32)  process id (8)  proof (32)
    client -> server   proof (32)
"""

from __future__ import annotations

import hashlib
import hmac
import os

MAGIC = b"AIR\x00\x00\x00\x00\x01"
"""Its last byte is the version of the protocol."""

NONCE_BYTES = 32
PROCESS_ID_BYTES = 8
PROOF_BYTES = 32
_HELLO_BYTES = len(MAGIC) + NONCE_BYTES + PROCESS_ID_BYTES


_TLS_RECORDS = b"\x15\x16"  # how those begin that open a connection, or refuse one


class HandshakeError(Exception):
    """The peer is no member of this cluster, or speaks another version.

    Attributes:
        farewell: to be sent before the connection is closed, so that the other side can say
            what is wrong too; to strangers, nothing.
    """

    def __init__(self, message: str, farewell: bytes = b"") -> None:
        super().__init__(message)
        self.farewell = farewell


class Handshake:
    """One side of the handshake: bytes in, bytes out, no I/O.

    Feed what arrives to :meth:`feed`; send what it returns. When :attr:`done`, the rest of
    the bytes is in :attr:`leftover` and the peer is :attr:`peer`.
    """

    def __init__(self, token: bytes, process_id: bytes, *, server: bool) -> None:
        self._token = token
        self._server = server
        self._hello = MAGIC + os.urandom(NONCE_BYTES) + process_id
        self._received = bytearray()
        self._expected_proof: bytes | None = None
        self.done = False
        self.peer = b""
        self.leftover = b""

    def opening(self) -> bytes:
        """What to send before anything was received."""
        return b"" if self._server else self._hello

    @property
    def wanted(self) -> int:
        """How many bytes the next step takes; nobody has to read more before it is done.

        So a stranger cannot make us hold more than these.
        """
        if self.done:
            return 0
        if self._expected_proof is None:
            step = _HELLO_BYTES + (0 if self._server else PROOF_BYTES)
        else:
            step = PROOF_BYTES
        return step - len(self._received)

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take received bytes and return what to send.

        Raises:
            HandshakeError: wrong magic, version or proof.
        """
        self._received += data
        if self._expected_proof is None:
            # A stranger is turned away at the first wrong byte, not when it has sent enough.
            self._check_magic()
            if self.wanted > 0:
                return b""
            return self._answer_hello()
        self._check_proof()
        return b""

    def _check_magic(self) -> None:
        got = bytes(self._received[: len(MAGIC)])
        if not MAGIC.startswith(got):
            if got[:-1] == MAGIC[:-1]:
                raise HandshakeError(
                    f"the other side speaks protocol version {got[-1]}, this one {MAGIC[-1]}:"
                    " install the same release of airloom on both machines",
                    farewell=MAGIC if self._server else b"",  # a client has said it already
                )
            why = ": it seems to use TLS, this one does not" if got[0] in _TLS_RECORDS else ""
            raise HandshakeError(f"the other side does not speak this protocol{why}")

    def _answer_hello(self) -> bytes:
        hello = self._take(_HELLO_BYTES)
        self.peer = hello[-PROCESS_ID_BYTES:]
        if self._server:
            self._expected_proof = self._proof(b"client", hello, self._hello)
            self._check_proof()
            return self._hello + self._proof(b"server", hello, self._hello)
        self._expected_proof = self._proof(b"server", self._hello, hello)
        self._check_proof()
        return self._proof(b"client", self._hello, hello)

    def _check_proof(self) -> None:
        assert self._expected_proof is not None
        if len(self._received) < PROOF_BYTES:
            return
        if not hmac.compare_digest(self._take(PROOF_BYTES), self._expected_proof):
            raise HandshakeError(
                "the other side does not know this cluster's token: give both the same one"
            )
        self._done()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _done(self) -> None:
        self.done = True
        self.leftover = bytes(self._received)
        self._received.clear()

    def _proof(self, role: bytes, client_hello: bytes, server_hello: bytes) -> bytes:
        return hmac.digest(self._token, role + client_hello + server_hello, hashlib.sha256)
