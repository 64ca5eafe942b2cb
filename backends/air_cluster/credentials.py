"""What the members of a cluster know, and strangers do not: one file to copy to each machine.

Its first line is the token. Where the cluster uses TLS, the certificates follow in PEM format:
the authority's, the one that all nodes share, and the private key of that one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from typing import NamedTuple

from air.errors import BackendError
from air_cluster.session_files import CERTIFICATES, TOKEN, write_private

VARIABLE = "AIR_TOKEN_FILE"
"""The environment variable that holds the path of the file."""

_TOKEN_BYTES = 32
_LEAST_CHARACTERS = 16
_MAX_FILE_BYTES = 1 << 16
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n[A-Za-z0-9+/=\n]+-----END \1-----\n?")


class Certificates(NamedTuple):
    """What a cluster's nodes need for TLS, in PEM format; see :mod:`.transport.certificates`."""

    authority: bytes
    certificate: bytes
    key: bytes


class Credentials(NamedTuple):
    """The secrets of a cluster.

    Attributes:
        token: what both sides of every connection prove that they know.
        certificates: ``None`` where connections are not encrypted.
    """

    token: bytes
    certificates: Certificates | None = None

    @classmethod
    def fresh(cls, *, tls: bool) -> Credentials:
        """Those of a new cluster.

        Raises:
            BackendError: certificates need a package that is missing; says which.
        """
        token = secrets.token_hex(_TOKEN_BYTES).encode()
        return cls(token, _make_certificates() if tls else None)

    @classmethod
    def read(cls, path: str) -> Credentials:
        """Those in a token file.

        Raises:
            BackendError: it cannot be read, others can read it too, or it holds something else.
        """
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise BackendError(f"the token file {path} cannot be read: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BackendError(
                f"the token file {path} is open to other users (mode {stat.S_IMODE(mode):04o});"
                f" whoever can read it can run code on the cluster: chmod 600 {path}"
            )
        return _parse(path, content)

    def write(self, path: str) -> None:
        """Make a token file, readable by this user only; its directory is made as well.

        Raises:
            BackendError: it cannot be written, or the directory's own one is not there: a path that
                is misspelt near its beginning leaves nothing behind.
        """
        content = self.token + b"\n" + b"".join(self.certificates or ())
        directory = os.path.dirname(os.path.abspath(path))
        above = os.path.dirname(directory)
        if not os.path.isdir(above):
            raise BackendError(
                f"the token file {path} cannot be written: there is no directory {above};"
                " make it, or name another file"
            )
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, mode=0o700)
            write_private(path, content)
        except OSError as error:
            raise BackendError(
                f"the token file {path} cannot be written: {error.strerror}"
            ) from error

    def install(self, session: str) -> None:
        """Put them where the processes of a session, and those who join it, look for them."""
        self.write(os.path.join(session, TOKEN))
        if self.certificates is None:
            return
        directory = os.path.join(session, CERTIFICATES)
        os.mkdir(directory, mode=0o700)
        for path, content in zip(_paths(directory), self.certificates, strict=True):
            write_private(path, content)


def _parse(path: str, content: bytes) -> Credentials:
    line, _, rest = content.partition(b"\n")
    token = line.strip()
    if len(content) > _MAX_FILE_BYTES or b"-----" in token or not token.isascii():
        raise BackendError(f"{path} is no token file: its first line is not a token")
    if len(token) < _LEAST_CHARACTERS:
        raise BackendError(
            f"the token in {path} has {len(token)} characters; at least {_LEAST_CHARACTERS} are"
            " needed, so that it cannot be guessed"
        )
    blocks = [match.group(0) for match in _PEM.finditer(rest)]
    left = _PEM.sub(b"", rest).strip()
    if left or len(blocks) not in (0, len(Certificates._fields)):
        raise BackendError(
            f"the token file {path} holds more than a token, but not the two certificates and the"
            " private key of a cluster that uses TLS: copy the whole file from the head's machine"
        )
    return Credentials(token, Certificates(*blocks) if blocks else None)


def _make_certificates() -> Certificates:
    from air_cluster.transport.certificates import make_cluster_certificates

    with tempfile.TemporaryDirectory() as directory:
        try:
            make_cluster_certificates(directory)
        except ImportError as error:
            raise BackendError(str(error)) from error
        contents = []
        for path in _paths(directory):
            with open(path, "rb") as file:
                contents.append(file.read())
    return Certificates(*contents)


def _paths(directory: str) -> tuple[str, str, str]:
    from air_cluster.transport.tls import ClusterFiles

    files = ClusterFiles.of(directory)
    return files.authority, files.certificate, files.key
