"""TLS: certificates of one cluster, and streams that carry what a socket would."""

from __future__ import annotations

import datetime
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_cluster.transport.certificates import make_cluster_certificates
from air_cluster.transport.tls import (
    ClusterFiles,
    TlsContexts,
    TlsError,
    TlsStream,
    load_contexts,
)

MIB = 1 << 20


class Ends:
    """Both ends of an encrypted connection in this process."""

    def __init__(self, client: TlsContexts, server: TlsContexts, buffer_bytes: int = 0) -> None:
        ours, theirs = socket.socketpair()
        self.sockets = (ours, theirs)
        for sock in self.sockets:
            sock.setblocking(False)
            if buffer_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.client = TlsStream(ours, client.client, server=False)
        self.server = TlsStream(theirs, server.server, server=True)

    def shake(self) -> Ends:
        done = [False, False]
        while not all(done):
            done = [done[0] or self.client.handshake(), done[1] or self.server.handshake()]
        return self

    def send(self, data: bytes) -> bytes:
        """What the server gets when the client sends, as much at a time as is taken."""
        received = bytearray()
        while data or self.client.backlog or len(received) < self.expected:
            try:
                data = data[self.client.send(data) :]
            except BlockingIOError:
                self.client.flush()
            received += take(self.server)
        return bytes(received)

    expected = 0

    def close(self) -> None:
        self.client.close()
        self.server.close()


def take(stream: TlsStream) -> bytes:
    try:
        return stream.recv(256 << 10)
    except BlockingIOError:
        return b""


@pytest.fixture
def ends(tls: TlsContexts) -> Iterator[Ends]:
    made = Ends(tls, tls)
    yield made
    made.close()


# Streams ----------------------------------------------------------------------------------


def test_both_directions(ends: Ends) -> None:
    ends.shake()
    assert ends.client.send(b"question") == 8
    assert ends.server.recv(100) == b"question"
    assert ends.server.sendmsg([b"ans", b"", memoryview(b"wer")]) == 6
    assert ends.client.recv(100) == b"answer"
    assert not ends.client.backlog
    assert not ends.server.backlog


def test_nothing_readable_is_said_on_the_wire(ends: Ends) -> None:
    ends.shake()
    ends.client.send(b"a secret that nobody else may read")
    assert b"secret" not in ends.sockets[1].recv(1000)


def test_what_came_with_the_end_of_the_handshake_is_not_forgotten(ends: Ends) -> None:
    while not ends.client.handshake():
        ends.server.handshake()
    ends.client.send(b"early")
    assert ends.server.handshake()
    assert ends.server.read_ahead() + take(ends.server) == b"early"
    assert ends.server.read_ahead() == b""


@pytest.mark.parametrize("size", [0, 1, 16 << 10, (16 << 10) + 1, MIB, 3 * MIB + 7])
def test_any_length_through_a_socket_that_takes_little(tls: TlsContexts, size: int) -> None:
    ends = Ends(tls, tls, buffer_bytes=4096).shake()
    data = os.urandom(size)
    ends.expected = size
    assert ends.send(data) == data
    ends.close()


def test_no_more_is_taken_while_the_socket_takes_nothing(tls: TlsContexts) -> None:
    ends = Ends(tls, tls, buffer_bytes=4096).shake()
    taken = ends.client.send(bytes(10 * MIB))
    assert 0 < taken <= 256 << 10
    assert ends.client.backlog
    with pytest.raises(BlockingIOError):
        ends.client.send(b"more")
    ends.close()


@given(st.lists(st.binary(max_size=300) | st.just(bytes(300_000)), min_size=1, max_size=6))
@settings(max_examples=30)
def test_parts_go_out_in_order(tls: TlsContexts, parts: list[bytes]) -> None:
    ends = Ends(tls, tls).shake()
    received = b""
    waiting = list(parts)
    total = b"".join(parts)
    while len(received) < len(total):
        try:
            sent = ends.client.sendmsg(waiting)
        except BlockingIOError:
            sent = 0
        while waiting and sent >= len(waiting[0]):
            sent -= len(waiting.pop(0))
        if sent:
            waiting[0] = waiting[0][sent:]
        received += take(ends.server)
    assert received == total
    ends.close()


def test_the_end_is_an_end(ends: Ends) -> None:
    ends.shake()
    ends.client.send(b"last words")
    ends.client.close()
    assert ends.server.recv(100) == b"last words"
    assert ends.server.recv(100) == b""


def test_what_was_changed_on_its_way_is_refused(ends: Ends) -> None:
    ends.shake()
    ends.client.send(b"pay 1 to Alice")
    record = bytearray(ends.sockets[1].recv(1000))
    record[-3] ^= 1
    ends.sockets[0].send(record)
    with pytest.raises(TlsError, match="TLS failed: decryption failed or bad record mac"):
        ends.server.recv(100)


def test_blocking_mode_sends_all(ends: Ends) -> None:
    ends.shake()
    ends.client.setblocking(True)
    assert ends.client.send(bytes(10_000)) == 10_000
    assert not ends.client.backlog


# Who is let in ----------------------------------------------------------------------------


def test_a_server_of_another_cluster_is_refused(tls: TlsContexts, other_tls: TlsContexts) -> None:
    ends = Ends(client=tls, server=other_tls)
    with pytest.raises(TlsError, match="the other side's certificate is refused: "):
        ends.shake()
    with pytest.raises(TlsError, match="the other side refuses this one's certificate"):
        ends.server.handshake()
    ends.close()


def test_a_client_of_another_cluster_is_refused(
    tls: TlsContexts, cluster_files: ClusterFiles, tmp_path: Path
) -> None:
    """Also one that does not look at who it talks to."""
    other_tls = load_contexts(make_cluster_certificates(tmp_path))
    other_tls.client.load_verify_locations(cluster_files.authority)
    ends = Ends(client=other_tls, server=tls)
    with pytest.raises(TlsError, match="the other side's certificate is refused: "):
        ends.shake()
    with pytest.raises(TlsError, match="the other side refuses this one's certificate"):
        ends.client.recv(100)  # the handshake is over for a client before it is for the server
    ends.close()


def test_a_client_without_a_certificate_is_refused(tls: TlsContexts) -> None:
    import ssl

    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    ends = Ends(client=TlsContexts(server=stranger, client=stranger), server=tls)
    with pytest.raises(TlsError, match="peer did not return a certificate"):
        ends.shake()
    ends.close()


def test_older_versions_are_refused(tls: TlsContexts) -> None:
    import ssl

    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    ends = Ends(client=TlsContexts(server=old, client=old), server=tls)
    with pytest.raises(TlsError, match="unsupported protocol"):
        ends.shake()
    ends.close()


@pytest.mark.parametrize("first", [b"G", b"A", b"\0", b"\x17"])
def test_what_is_not_tls_is_refused_at_its_first_byte(ends: Ends, first: bytes) -> None:
    ends.sockets[0].send(first)
    with pytest.raises(TlsError, match="the other side does not use TLS, this one does"):
        ends.server.handshake()


def test_a_server_that_hangs_up(ends: Ends) -> None:
    assert not ends.client.handshake()
    ends.sockets[1].close()
    with pytest.raises(TlsError, match="closed by the other side during the TLS handshake"):
        ends.client.handshake()


# Certificates -----------------------------------------------------------------------------


def test_certificates_are_for_this_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    files = make_cluster_certificates(directory)
    assert files == ClusterFiles.of(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert sorted(path.name for path in directory.iterdir()) == ["ca.crt", "node.crt", "node.key"]
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_certificates_are_made_once(tmp_path: Path) -> None:
    first = make_cluster_certificates(tmp_path)
    contents = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert make_cluster_certificates(tmp_path) == first
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == contents


def test_certificates_are_valid_for_ten_years(cluster_files: ClusterFiles) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, node = (
        x509.load_pem_x509_certificate(Path(path).read_bytes())
        for path in (cluster_files.authority, cluster_files.certificate)
    )
    node.verify_directly_issued_by(authority)
    now = datetime.datetime.now(datetime.UTC)
    for certificate in (authority, node):
        assert certificate.not_valid_before_utc < now - datetime.timedelta(hours=23)
        assert certificate.not_valid_after_utc > now + datetime.timedelta(days=3649)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"


@pytest.mark.parametrize("missing", ["node.crt", "node.key"])
def test_a_part_of_the_files_is_not_completed(tmp_path: Path, missing: str) -> None:
    make_cluster_certificates(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileExistsError, match=rf"ca\.crt is there but .*{missing} is not: copy"):
        make_cluster_certificates(tmp_path)


def test_what_a_start_that_was_killed_has_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("of a start that was killed")
    load_contexts(make_cluster_certificates(tmp_path))


def test_failing_to_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            make_cluster_certificates(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_makes_certificates_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ImportError, match=r'pip install "airloom\[tls\]"'):
        make_cluster_certificates(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ca.crt", r"ca\.crt holds no certificate"),
        ("node.crt", r"node\.crt and .*node\.key are no certificate with its private key"),
        ("node.key", r"node\.crt and .*node\.key are no certificate with its private key"),
    ],
)
def test_files_that_hold_something_else_are_named(tmp_path: Path, name: str, why: str) -> None:
    files = make_cluster_certificates(tmp_path)
    (tmp_path / name).write_text("something else")
    with pytest.raises(ValueError, match=why):
        load_contexts(files)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=rf"{name} is missing or cannot be read"):
        load_contexts(files)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = (make_cluster_certificates(tmp_path / name) for name in ("one", "other"))
    with pytest.raises(ValueError, match="no certificate with its private key"):
        load_contexts(ClusterFiles(one.authority, one.certificate, other.key))
