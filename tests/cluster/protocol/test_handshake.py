"""The handshake lets members of the cluster in and nobody else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_cluster.protocol.handshake import (
    MAGIC,
    NONCE_BYTES,
    PROCESS_ID_BYTES,
    PROOF_BYTES,
    Handshake,
    HandshakeError,
)

TOKEN = b"the token of this cluster"
CLIENT, SERVER = b"client__", b"server__"


def make_pair(
    client_token: bytes = TOKEN, server_token: bytes = TOKEN
) -> tuple[Handshake, Handshake]:
    return (
        Handshake(client_token, CLIENT, server=False),
        Handshake(server_token, SERVER, server=True),
    )


def shake(client: Handshake, server: Handshake) -> None:
    client_says = client.opening()
    while client_says:
        client_says = client.feed(server.feed(client_says))


def test_both_sides_learn_who_the_other_is() -> None:
    client, server = make_pair()
    shake(client, server)
    assert client.done
    assert server.done
    assert (client.peer, server.peer) == (SERVER, CLIENT)
    assert client.leftover == server.leftover == b""


def test_any_split_of_the_bytes_will_do() -> None:
    generator = random.Random(1)
    for _ in range(300):
        client, server = make_pair()
        behind = generator.randbytes(generator.randint(0, 100))
        to_server, to_client = bytearray(client.opening()), bytearray()
        sent_behind = False
        while not (client.done and server.done):
            for side, inbox, outbox in (
                (server, to_server, to_client),
                (client, to_client, to_server),
            ):
                if inbox and not side.done:
                    count = generator.choice([1, generator.randint(1, len(inbox)), len(inbox)])
                    outbox += side.feed(bytes(inbox[:count]))
                    del inbox[:count]
            if client.done and not sent_behind:
                to_server += behind
                sent_behind = True
        # What comes behind the proof belongs to the frames.
        assert server.leftover + to_server == behind
        assert to_client == client.leftover == b""


def test_a_client_with_another_token_is_refused_by_itself() -> None:
    client, server = make_pair(client_token=b"another")
    with pytest.raises(HandshakeError, match="does not know this cluster's token"):
        client.feed(server.feed(client.opening()))
    assert not client.done


def test_a_client_that_does_not_check_is_refused_by_the_server() -> None:
    client, server = make_pair()
    server.feed(client.opening())
    with pytest.raises(HandshakeError, match="does not know this cluster's token"):
        server.feed(bytes(32))
    assert not server.done


@pytest.mark.parametrize("server", [True, False])
def test_another_version_is_named(server: bool) -> None:
    side = Handshake(TOKEN, SERVER, server=server)
    newer = MAGIC[-1] + 1
    assert side.feed(MAGIC[:-1]) == b""
    why = f"speaks protocol version {newer}, this one 1: install the same release of airloom"
    with pytest.raises(HandshakeError, match=why) as raised:
        side.feed(bytes([newer]))
    # A client has said its version already; without this, a server never would.
    assert raised.value.farewell == (MAGIC if server else b"")


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n", b"SSH-2.0", b"\x16\x03\x01", b"\0", b"B"]
)
@pytest.mark.parametrize("server", [True, False])
def test_a_stranger_is_refused_at_the_first_byte(server: bool, request_: bytes) -> None:
    side = Handshake(TOKEN, SERVER, server=server)
    with pytest.raises(HandshakeError, match="does not speak this protocol") as raised:
        side.feed(request_[:1])
    assert raised.value.farewell == b""
    assert ("it seems to use TLS" in str(raised.value)) == (request_[0] == 0x16)


def test_a_stranger_is_refused_at_the_first_byte_that_differs() -> None:
    side = Handshake(TOKEN, SERVER, server=True)
    assert side.feed(b"A") == b""
    with pytest.raises(HandshakeError):
        side.feed(b"B")


def test_what_a_client_said_does_not_work_a_second_time() -> None:
    client, server = make_pair()
    hello = client.opening()
    proof = client.feed(server.feed(hello))
    server.feed(proof)
    assert server.done
    again = Handshake(TOKEN, SERVER, server=True)
    again.feed(hello)
    with pytest.raises(HandshakeError):
        again.feed(proof)


def test_what_a_server_said_does_not_work_a_second_time() -> None:
    client, server = make_pair()
    answer = server.feed(client.opening())
    client.feed(answer)
    assert client.done
    again = Handshake(TOKEN, CLIENT, server=False)
    again.opening()
    with pytest.raises(HandshakeError):
        again.feed(answer)


def test_a_servers_proof_is_no_clients_proof() -> None:
    client, server = make_pair()
    answer = server.feed(client.opening())
    with pytest.raises(HandshakeError):
        server.feed(answer[-32:])


@pytest.mark.parametrize("changed", ["nonce", "process id"])
@pytest.mark.parametrize("direction", ["client", "server"])
def test_a_hello_changed_on_the_way_is_found_out(direction: str, changed: str) -> None:
    offset = len(MAGIC) if changed == "nonce" else len(MAGIC) + NONCE_BYTES
    client, server = make_pair()

    def change(hello: bytes) -> bytes:
        return hello[:offset] + bytes([hello[offset] ^ 1]) + hello[offset + 1 :]

    hello = client.opening()
    answer = server.feed(change(hello) if direction == "client" else hello)
    with pytest.raises(HandshakeError):
        client.feed(change(answer) if direction == "server" else answer)
    assert not client.done


def test_nothing_secret_is_said() -> None:
    client, server = make_pair()
    hello = client.opening()
    answer = server.feed(hello)
    proof = client.feed(answer)
    assert TOKEN not in hello + answer + proof
    assert len(hello) == len(MAGIC) + NONCE_BYTES + PROCESS_ID_BYTES
    assert len(answer) == len(hello) + len(proof) == len(hello) + 32


def test_garbage_never_gets_in() -> None:
    generator = random.Random(3)
    for round_ in range(500):
        client, server = make_pair()
        side = server if round_ % 2 else client
        side.opening()
        length = generator.randint(1, 300)
        data = MAGIC[: generator.randint(0, 8)] + generator.randbytes(length)
        try:
            while data and not side.done:
                count = generator.randint(1, 60)
                side.feed(data[:count])
                data = data[count:]
        except HandshakeError:
            pass
        assert not side.done


def test_mutated_handshakes_never_get_in() -> None:
    generator = random.Random(4)
    for _ in range(300):
        client, server = make_pair()

        def mutate(data: bytes) -> bytes:
            changed = bytearray(data)
            changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            return bytes(changed)

        target = generator.randrange(3)
        try:
            hello = client.opening()
            answer = server.feed(mutate(hello) if target == 0 else hello)
            proof = client.feed(mutate(answer) if target == 1 else answer)
            server.feed(mutate(proof) if target == 2 else proof)
        except HandshakeError:
            pass
        assert not server.done
        assert client.done == (target == 2)


def test_who_reads_only_what_is_wanted_reads_nothing_of_what_follows() -> None:
    client, server = make_pair()
    to_server, to_client = bytearray(client.opening()), bytearray()
    while not (client.done and server.done):
        for side, inbox, outbox in (
            (server, to_server, to_client),
            (client, to_client, to_server),
        ):
            if inbox and not side.done:
                assert 0 < side.wanted <= 80
                count = side.wanted
                outbox += side.feed(bytes(inbox[:count]))
                del inbox[:count]
        if client.done and not to_server.endswith(b"frames"):
            to_server += b"frames"
    assert client.wanted == server.wanted == 0
    assert client.leftover == server.leftover == b""
    assert to_server == b"frames"


@given(
    st.booleans(),
    st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: MAGIC + tail),
    st.lists(st.integers(1, 60), max_size=20),
)
def test_whatever_comes_little_is_held(server: bool, data: bytes, cuts: list[int]) -> None:
    side = Handshake(TOKEN, SERVER, server=server)
    side.opening()
    for cut in [*cuts, 200]:
        piece = data[: min(cut, side.wanted)]
        data = data[len(piece) :]
        try:
            side.feed(piece)
        except HandshakeError:
            break
        assert len(side._received) < 80
        assert side.wanted > 0
    assert not side.done


@pytest.mark.parametrize("keep", [0, 32], ids=["as it is", "with room for a proof"])
def test_a_mirror_is_no_member(keep: int) -> None:
    """Who sends back what it gets, its own challenge among it, proves nothing."""
    client = Handshake(TOKEN, CLIENT, server=False)
    hello = client.opening()
    with pytest.raises(HandshakeError):
        client.feed(hello + hello[:keep] + bytes(PROOF_BYTES))
    assert not client.done


def test_a_server_cannot_be_made_to_answer_its_own_challenge() -> None:
    """What one connection to a server says does not answer what another one asks."""
    one, two = (Handshake(TOKEN, SERVER, server=True) for _ in range(2))
    asked = one.feed(Handshake(b"?", CLIENT, server=False).opening())
    hello = asked[:-PROOF_BYTES]
    answered = two.feed(hello)  # the challenge of the one, put to the other
    with pytest.raises(HandshakeError):
        one.feed(answered[-PROOF_BYTES:])
    assert not one.done
