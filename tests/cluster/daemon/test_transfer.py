"""Bytes between nodes, over real sockets; what peers do wrong is done by a peer made for it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air_cluster.core.copies import FailureKind
from air_cluster.daemon import blocking
from air_cluster.daemon import transfer as transfer_module
from air_cluster.daemon.transfer import Failure, Peer, Range, Transfers, TransferServer
from air_cluster.protocol.handshake import Handshake
from air_cluster.store.writer import Reserved
from air_cluster.transport.addresses import TcpAddress
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import TlsContexts

TOKEN = b"token of this cluster"
SERVER, CLIENT = b"server00", b"client00"
MIB = 1 << 20
PATIENCE_S = 20.0


class Outcome:
    """What becomes of a transfer."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._results: list[Failure | None] = []

    def __call__(self, failure: Failure | None) -> None:
        self._results.append(failure)
        self._over.set()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def result(self) -> Failure | None:
        assert self._over.wait(PATIENCE_S), "the transfer hangs"
        assert len(self._results) == 1
        return self._results[0]

    def failure(self, kind: FailureKind, *parts: str) -> None:
        result = self.result()
        assert result is not None
        assert result.kind is kind
        for part in parts:
            assert part in result.reason


class Client:
    """Fetches from a server into a node's memory of its own."""

    def __init__(self, peer: Peer, transfers: Transfers, memory: Any) -> None:
        self.peer = peer
        self.transfers = transfers
        self.memory = memory

    def fetch(
        self, nbytes: int, segment: int = 1, offset: int = 0, *, spilled: bool = False
    ) -> tuple[Reserved, Outcome, Any]:
        target = self.memory.writer.reserve((nbytes,))
        outcome = Outcome()
        wanted = Range(spilled, segment, offset, nbytes)
        transfer = self.transfers.fetch(self.peer, wanted, target, outcome)
        return target, outcome, transfer

    def fails(self, kind: FailureKind, *parts: str, nbytes: int = 100) -> None:
        self.fetch(nbytes)[1].failure(kind, *parts)


@pytest.fixture
def make_server(reactor: Reactor, memory: Any) -> Iterator[Callable[..., TransferServer]]:
    made = []

    def make(open_source: Any = None, **options: Any) -> TransferServer:
        open_source = open_source or (lambda spilled, place: memory.node.lend(place))
        with reactor.lock:
            server = TransferServer(
                reactor, TcpAddress("127.0.0.1", 0), TOKEN, SERVER, open_source, **options
            )
        made.append(server)
        return server

    yield make
    for server in made:
        with reactor.lock:
            server.close()
        server.join()


@pytest.fixture
def server(make_server: Callable[..., TransferServer]) -> TransferServer:
    return make_server()


@pytest.fixture
def make_client(make_memory: Callable[..., Any]) -> Iterator[Callable[..., Client]]:
    made = []

    def make(address: str, token: bytes = TOKEN, peer: bytes = SERVER, **options: Any) -> Client:
        client = Client(Peer(peer, address), Transfers(token, CLIENT, **options), make_memory())
        made.append(client)
        return client

    yield make
    for client in made:
        client.transfers.close()
        client.transfers.join()


@pytest.fixture
def client(make_client: Callable[..., Client], server: TransferServer) -> Client:
    return make_client(server.address)


# What arrives -----------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [1, 100, 70_000, 30 * MIB + 1])
def test_what_arrives_is_what_was_there(client: Client, memory: Any, nbytes: int) -> None:
    source, data = memory.put(nbytes)
    at = source.location
    for _ in range(2):  # into fresh pages, and into those that were used
        target, outcome, _ = client.fetch(nbytes, at.segment, at.offset)
        assert outcome.result() is None
        assert bytes(target.view) == data
        client.memory.writer.free(target.location)


def test_files_are_sent_too(
    make_server: Callable[..., TransferServer], make_client: Callable[..., Client], tmp_path: Any
) -> None:
    path = tmp_path / "spilled"
    path.write_bytes(bytes(range(256)) * 1000)
    asked = []

    def open_source(spilled: bool, place: int) -> tuple[int, int]:
        asked.append((spilled, place))
        return os.open(path, os.O_RDONLY), 256_000

    client = make_client(make_server(open_source).address)
    target, outcome, _ = client.fetch(255_000, segment=77, offset=1000, spilled=True)
    assert outcome.result() is None
    assert bytes(target.view) == path.read_bytes()[1000:]
    assert asked == [(True, 77)]


def test_links_are_used_again(client: Client, server: TransferServer, memory: Any) -> None:
    memory.put(1000)
    for _ in range(3):
        assert client.fetch(1000)[1].result() is None
    assert len(server._threads) == 1


def test_several_transfers_run_side_by_side(
    make_server: Callable[..., TransferServer], make_client: Callable[..., Client], memory: Any
) -> None:
    memory.put(1000)
    together = threading.Barrier(4)

    def open_source(_spilled: bool, place: int) -> tuple[int, int] | str:
        together.wait(PATIENCE_S)
        return memory.node.lend(place)  # type: ignore[no-any-return]

    client = make_client(make_server(open_source).address)
    outcomes = [client.fetch(1000)[1] for _ in range(8)]
    assert [outcome.result() for outcome in outcomes] == [None] * 8


def test_no_more_run_side_by_side_than_allowed(
    make_server: Callable[..., TransferServer], make_client: Callable[..., Client], memory: Any
) -> None:
    memory.put(1000)
    running, most = 0, 0
    lock = threading.Lock()

    def open_source(_spilled: bool, place: int) -> tuple[int, int] | str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        lent = memory.node.lend(place)
        with lock:
            running -= 1
        return lent  # type: ignore[no-any-return]

    client = make_client(make_server(open_source).address, max_side_by_side=2)
    outcomes = [client.fetch(1000)[1] for _ in range(20)]
    assert [outcome.result() for outcome in outcomes] == [None] * 20
    assert most <= 2


def test_a_segment_that_is_given_back_meanwhile_is_sent_to_its_end(
    make_server: Callable[..., TransferServer], make_client: Callable[..., Client], memory: Any
) -> None:
    source, data = memory.put(20 * MIB)
    segment = source.location.segment

    def open_source(_spilled: bool, place: int) -> tuple[int, int] | str:
        lent = memory.node.lend(place)
        memory.node.drop(b"writer", place)
        return lent  # type: ignore[no-any-return]

    client = make_client(make_server(open_source).address)
    target, outcome, _ = client.fetch(20 * MIB, segment)
    assert outcome.result() is None
    assert bytes(target.view) == data
    client.fetch(100, segment)[1].failure(FailureKind.LOST, "memory is gone")


def test_transfers_can_be_encrypted(
    make_server: Callable[..., TransferServer],
    make_client: Callable[..., Client],
    memory: Any,
    tls: TlsContexts,
) -> None:
    source, data = memory.put(5 * MIB + 3)
    client = make_client(make_server(tls=tls.server).address, tls=tls.client)
    for _ in range(2):
        target, outcome, _ = client.fetch(len(data), source.location.segment)
        assert outcome.result() is None
        assert bytes(target.view) == data


# What is refused --------------------------------------------------------------------------


def test_what_is_not_there_is_lost_and_the_link_is_still_good(
    client: Client, server: TransferServer, memory: Any
) -> None:
    source, data = memory.put(1000)
    size = 1 << 20
    client.fetch(1000, segment=99)[1].failure(FailureKind.LOST, "memory is gone")
    for offset in (size - 999, size, 1 << 63):
        client.fetch(1000, offset=offset)[1].failure(
            FailureKind.LOST, f"segment 1 has {size} bytes, not 1000 at {offset}"
        )
    target, outcome, _ = client.fetch(1000)
    assert outcome.result() is None
    assert bytes(target.view) == data
    assert len(server._threads) == 1
    assert source.location.segment == 1


def test_another_daemon_at_the_same_address_is_not_asked(
    make_client: Callable[..., Client], server: TransferServer, memory: Any
) -> None:
    memory.put(1000)
    client = make_client(server.address, peer=b"previous")
    client.fails(FailureKind.CUT, server.address, "another daemon listens there now")


def test_who_does_not_know_the_token_gets_nothing(
    make_client: Callable[..., Client], server: TransferServer, memory: Any
) -> None:
    memory.put(1000)
    client = make_client(server.address, token=b"another one")
    client.fails(FailureKind.CUT, "does not know this cluster's token")


def test_a_server_without_the_token_is_told_nothing(make_client: Callable[..., Client]) -> None:
    with Impostor(token=b"another one") as impostor:
        client = make_client(impostor.address)
        client.fails(FailureKind.CUT, "does not know this cluster's token")
        assert impostor.questions == []


def test_both_sides_use_tls_or_neither(
    make_server: Callable[..., TransferServer],
    make_client: Callable[..., Client],
    memory: Any,
    tls: TlsContexts,
    other_tls: TlsContexts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocking, "CONNECT_S", 0.3)  # either waits for the other to begin
    memory.put(1000)
    plain, encrypted = make_server(), make_server(tls=tls.server)
    make_client(plain.address, tls=tls.client).fails(FailureKind.CUT, "the handshake failed")
    make_client(encrypted.address).fails(FailureKind.CUT, "the handshake failed")
    stranger = make_client(encrypted.address, tls=other_tls.client)
    stranger.fails(FailureKind.CUT, "the handshake failed")


def test_nobody_listens(make_client: Callable[..., Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
    make_client(address).fails(FailureKind.CUT, address, "refused")


def connected(server: TransferServer) -> socket.socket:
    port = int(server.address.rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(PATIENCE_S)
    return sock


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        while sock.recv(4096):
            pass
    return True


@settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(garbage=st.binary(min_size=8, max_size=300))
def test_strangers_are_turned_away(server: TransferServer, garbage: bytes) -> None:
    with connected(server) as sock:
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)


def test_a_stranger_is_not_waited_for_long(
    make_server: Callable[..., TransferServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "CONNECT_S", 0.1)
    with connected(make_server()) as sock:
        assert is_closed(sock)


def test_there_are_never_too_many_strangers(
    server: TransferServer, client: Client, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(100)
    monkeypatch.setattr(transfer_module, "_MAX_STRANGERS", 3)
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(connected(server)) for _ in range(3)]
        with connected(server) as one_more:
            assert is_closed(one_more)
        strangers[0].close()
        outcome: Failure | None = Failure(FailureKind.CUT, "")
        while outcome is not None:  # until its thread has noticed
            outcome = client.fetch(100)[1].result()


def shaken(server: TransferServer) -> socket.socket:
    """A member of the cluster that is about to misbehave."""
    sock = connected(server)
    handshake = Handshake(TOKEN, CLIENT, server=False)
    sock.sendall(handshake.opening())
    while not handshake.done:
        sock.sendall(handshake.feed(sock.recv(1000)))
    return sock


@settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(kind=st.integers(2, 255), rest=st.binary(min_size=24, max_size=24))
def test_a_member_that_asks_for_nonsense_is_cut_off(
    server: TransferServer, kind: int, rest: bytes
) -> None:
    with shaken(server) as sock:
        sock.sendall(bytes([kind]) + rest)
        assert is_closed(sock)


def test_nothing_at_all_is_refused(server: TransferServer, memory: Any) -> None:
    memory.put(100)
    with shaken(server) as sock:
        sock.sendall(struct.pack("<BQQQ", 0, 1, 0, 0))
        kind, nbytes = struct.unpack("<BQ", sock.recv(9, socket.MSG_WAITALL))
        assert kind == 1
        assert b"not 0 at 0" in sock.recv(nbytes, socket.MSG_WAITALL)


def test_a_question_may_come_together_with_the_proof(server: TransferServer, memory: Any) -> None:
    _, data = memory.put(100)
    handshake = Handshake(TOKEN, CLIENT, server=False)
    with connected(server) as sock:
        sock.sendall(handshake.opening())
        received = b""
        while len(received) < 80:
            received += sock.recv(1000)
        question = struct.pack("<BQQQ", 0, 1, 0, 100)
        sock.sendall(handshake.feed(received) + question)
        answer = b""
        while len(answer) < 9 + 100:
            answer += sock.recv(1000)
    assert answer == struct.pack("<BQ", 0, 100) + data


def test_a_client_that_takes_nothing_is_cut_off(
    make_server: Callable[..., TransferServer], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(24 * MIB)
    ended = threading.Event()
    monkeypatch.setattr(
        transfer_module.logger, "debug", lambda _text, error: ended.set() if "silent" in str(error)
        else None,
    )  # fmt: skip
    server = make_server(stall_s=0.1)
    with shaken(server) as sock:
        sock.sendall(struct.pack("<BQQQ", 0, 1, 0, 24 * MIB))
        assert ended.wait(PATIENCE_S)


# Peers that fail --------------------------------------------------------------------------


class Impostor:
    """A server that answers each question with the next of some scripts, and then closes."""

    def __init__(self, *answers: bytes | None, token: bytes = TOKEN, hangs: bool = False) -> None:
        self._answers = list(answers)
        self._token = token
        self._hangs = hangs
        self.questions: list[bytes] = []
        self.links = 0
        self.asked = threading.Semaphore(0)
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.address = f"tcp:127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                sock, _ = self._socket.accept()
                self.links += 1
                with sock:
                    sock.settimeout(PATIENCE_S)
                    self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        handshake = Handshake(self._token, SERVER, server=True)
        while not handshake.done:
            data = sock.recv(1000)
            if not data:
                return
            sock.sendall(handshake.feed(data))
        early = handshake.leftover
        while self._answers:
            question, early = early or sock.recv(1000), b""
            if not question:
                return
            self.questions.append(question)
            answer = self._answers.pop(0)
            self.asked.release()
            if answer is None:
                return
            sock.sendall(answer)
        if self._hangs:
            self._over.wait(PATIENCE_S)

    def __enter__(self) -> Impostor:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def has(nbytes: int) -> bytes:
    return struct.pack("<BQ", 0, nbytes)


def test_a_peer_that_goes_away_in_the_middle(make_client: Callable[..., Client]) -> None:
    with Impostor(has(1000) + b"x" * 500) as impostor:
        client = make_client(impostor.address)
        client.fails(FailureKind.CUT, "closed the connection", nbytes=1000)


def test_a_peer_that_goes_away_before_it_answers(make_client: Callable[..., Client]) -> None:
    with Impostor(None) as impostor:
        client = make_client(impostor.address)
        client.fails(FailureKind.CUT, "closed the connection", nbytes=1000)
        assert len(impostor.questions) == 1


@pytest.mark.parametrize("answer", [b"", has(1000), has(1000) + b"x" * 999])
def test_a_peer_that_stalls(make_client: Callable[..., Client], answer: bytes) -> None:
    with Impostor(answer, hangs=True) as impostor:
        client = make_client(impostor.address, stall_s=0.1)
        client.fails(FailureKind.CUT, "has been silent for 0.1 s", nbytes=1000)
        assert not any(client.transfers._idle.values())


@pytest.mark.parametrize("answer", [b"\2" + b"\0" * 8, has(999), struct.pack("<BQ", 1, 1 << 40)])
def test_a_peer_that_speaks_something_else(
    make_client: Callable[..., Client], answer: bytes
) -> None:
    with Impostor(answer, hangs=True) as impostor:
        client = make_client(impostor.address)
        client.fails(FailureKind.CUT, "does not speak this protocol", nbytes=1000)


def test_a_link_that_was_given_up_meanwhile_is_opened_anew(
    make_client: Callable[..., Client],
) -> None:
    good = has(100) + b"y" * 100
    with Impostor(good, None, good) as impostor:
        client = make_client(impostor.address)
        assert client.fetch(100)[1].result() is None
        target, outcome, _ = client.fetch(100)
        assert outcome.result() is None
        assert bytes(target.view) == b"y" * 100
        assert impostor.links == 2


def test_a_link_that_fails_in_the_middle_is_not_tried_again(
    make_client: Callable[..., Client],
) -> None:
    with Impostor(has(100) + b"y" * 100, has(100) + b"y" * 50) as impostor:
        client = make_client(impostor.address)
        assert client.fetch(100)[1].result() is None
        client.fails(FailureKind.CUT, "closed the connection")
        assert impostor.links == 1
        assert not any(client.transfers._idle.values())


# Giving up --------------------------------------------------------------------------------


def test_a_transfer_that_is_cancelled_fails_at_once(make_client: Callable[..., Client]) -> None:
    with Impostor(has(1000) + b"x", hangs=True) as impostor:
        client = make_client(impostor.address)
        _, outcome, transfer = client.fetch(1000)
        assert impostor.asked.acquire(timeout=PATIENCE_S)
        transfer.cancel()
        outcome.failure(FailureKind.CUT)
        transfer.cancel()


def test_a_transfer_that_waits_in_line_can_be_cancelled(
    make_client: Callable[..., Client],
) -> None:
    with Impostor(b"", hangs=True) as impostor:
        client = make_client(impostor.address, max_side_by_side=1)
        _, first, running = client.fetch(1000)
        _, second, waiting = client.fetch(1000)
        assert impostor.asked.acquire(timeout=PATIENCE_S)
        waiting.cancel()
        running.cancel()
        first.failure(FailureKind.CUT)
        second.failure(FailureKind.CUT, "the transfer was cancelled")
        assert len(impostor.questions) == 1


def test_cancelling_what_has_arrived_does_not_harm_the_next(
    client: Client, server: TransferServer, memory: Any
) -> None:
    memory.put(100)
    _, outcome, transfer = client.fetch(100)
    assert outcome.result() is None
    transfer.cancel()
    assert client.fetch(100)[1].result() is None
    assert len(server._threads) == 1


def test_a_node_that_is_gone_leaves_no_links(
    client: Client, memory: Any, count_fds: Callable[[], int]
) -> None:
    memory.put(100)
    assert client.fetch(100)[1].result() is None
    before = count_fds()
    client.transfers.forget(client.peer)
    client.transfers.forget(client.peer)
    assert not client.transfers._idle
    assert count_fds() < before
    assert client.fetch(100)[1].result() is None


def test_links_that_are_not_used_are_closed(
    client: Client, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(100)
    assert client.fetch(100)[1].result() is None
    client.transfers.tick()
    assert client.transfers._idle
    monkeypatch.setattr(transfer_module, "_CLIENT_IDLE_S", -1.0)
    client.transfers.tick()
    assert not client.transfers._idle
    assert client.fetch(100)[1].result() is None


def test_closing_ends_everything(
    reactor: Reactor,
    make_memory: Callable[..., Any],
    make_client: Callable[..., Client],
    count_fds: Callable[[], int],
    count_threads: Callable[[], int],
) -> None:
    memory = make_memory()
    memory.put(100)
    before = count_fds(), count_threads()
    stuck = threading.Event()
    held = threading.Event()

    def open_source(_spilled: bool, place: int) -> tuple[int, int] | str:
        if place == 2:
            held.set()
            stuck.wait(PATIENCE_S)
        return memory.node.lend(place)  # type: ignore[no-any-return]

    with reactor.lock:
        server = TransferServer(reactor, TcpAddress("127.0.0.1", 0), TOKEN, SERVER, open_source)
    client = make_client(server.address)
    assert client.fetch(100)[1].result() is None
    outcome = client.fetch(100, segment=2)[1]
    assert held.wait(PATIENCE_S)
    client.transfers.close()
    client.transfers.join()
    with reactor.lock:
        server.close()
    stuck.set()
    server.join()
    client.memory.close()
    assert not outcome.is_over  # nobody is told any more
    assert count_fds() <= before[0]
    assert count_threads() <= before[1]
