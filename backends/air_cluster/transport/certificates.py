"""A certificate authority for one cluster, and the certificate that its nodes share."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from air_cluster.transport.tls import ClusterFiles

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_YEARS = 10
_CLOCKS_DIFFER = datetime.timedelta(days=1)


def make_cluster_certificates(directory: str | os.PathLike[str]) -> ClusterFiles:
    """Make what the nodes of a cluster need for TLS, unless it is there already.

    Writes ``ca.crt``, ``node.crt`` and ``node.key`` (ECDSA P-256, valid for ten years), each
    whole or not at all and readable by this user only. The nodes of a cluster share all three.
    The authority's own key is thrown away: nobody can ever add another certificate.

    Args:
        directory: made if it is not there.

    Raises:
        ImportError: the package ``cryptography`` is missing; says how to install it.
        FileExistsError: the directory holds a part of these files.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    files = ClusterFiles.of(directory)
    with _locked(directory):
        # Written last: where it is missing, what else there is was never used.
        if os.path.exists(files.authority):
            for path in (files.certificate, files.key):
                if not os.path.exists(path):
                    raise FileExistsError(
                        f"{files.authority} is there but {path} is not: copy it from another"
                        " node, or remove all three files to make a new cluster's"
                    )
            return files
        contents = _make()
        for path in (files.key, files.certificate, files.authority):
            _write(path, contents[os.path.basename(path)])
    return files


@contextlib.contextmanager
def _locked(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from doing the same at the same time."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write(path: str, content: bytes) -> None:
    # mkstemp gives the file mode 0600 from its first moment.
    fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _make() -> dict[str, bytes]:
    """The files' contents."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise ImportError(
            f"certificates for TLS cannot be made ({error}). Install what makes them with:"
            ' pip install "airloom[tls]"'
        ) from error
    authority_key = ec.generate_private_key(ec.SECP256R1())
    node_key = ec.generate_private_key(ec.SECP256R1())
    authority = _sign(authority_key, authority_key, is_authority=True)
    node = _sign(node_key, authority_key, is_authority=False)
    return {
        "ca.crt": authority.public_bytes(serialization.Encoding.PEM),
        "node.crt": node.public_bytes(serialization.Encoding.PEM),
        "node.key": node_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    }


def _sign(
    key: EllipticCurvePrivateKey, authority_key: EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    """A certificate for *key*, signed by the authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    authority_name = named("airloom cluster authority")
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(authority_name if is_authority else named("airloom node"))
        .issuer_name(authority_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None),
            critical=True,
        )
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if not is_authority:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(authority_key, hashes.SHA256())
