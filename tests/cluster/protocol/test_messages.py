"""The wire format, pinned: ``vectors.json`` is what another language is written against.

In that file bytes are ``{"hex": "..."}``, structures are ``{"Name": {field: value}}``. To add
a message, add its entry; the test says what it encodes to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_cluster.protocol import handshake as handshake_module
from air_cluster.protocol import head_messages, messages
from air_cluster.protocol.codec import Message, decode, encode
from air_cluster.protocol.frames import FrameDecoder, pack
from air_cluster.protocol.handshake import MAGIC, NONCE_BYTES, Handshake
from air_cluster.protocol.messages import (
    INLINE,
    Exit,
    Register,
    Shape,
    Value,
)

KINDS: tuple[type[msgspec.Struct], ...] = get_args(Message)
VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())


def kind_named(name: str) -> Any:
    return getattr(messages, name, None) or getattr(head_messages, name, None)


def build(described: Any) -> Any:
    """The object that a description in the file stands for."""
    if isinstance(described, list):
        return [build(item) for item in described]
    if not isinstance(described, dict):
        return described
    if len(described) == 1:
        [(name, content)] = described.items()
        if name == "hex":
            return bytes.fromhex(content)
        kind = kind_named(name)
        if kind is not None:
            return kind(**{field: build(value) for field, value in content.items()})
    return {name: build(value) for name, value in described.items()}


def name_of(vector: dict[str, Any]) -> str:
    [name] = vector["message"]
    return str(name)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=name_of)
def test_vectors_of_messages(vector: dict[str, Any]) -> None:
    message, encoded = build(vector["message"]), bytes.fromhex(vector["encoded"])
    assert encode(message).hex() == encoded.hex()
    assert decode(encoded) == message


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=name_of)
def test_vectors_show_every_field(vector: dict[str, Any]) -> None:
    [(name, fields)] = vector["message"].items()
    assert list(fields) == list(kind_named(name).__struct_fields__)


def test_every_message_has_a_vector() -> None:
    assert {name_of(vector) for vector in VECTORS["messages"]} == {kind.__name__ for kind in KINDS}


def test_tags_are_different_and_never_change() -> None:
    tags = {kind.__name__: kind.__struct_config__.tag for kind in KINDS}
    assert len(set(tags.values())) == len(KINDS)
    pinned = {name_of(vector): build({"hex": vector["encoded"]}) for vector in VECTORS["messages"]}
    for name, encoded in pinned.items():
        assert msgspec.msgpack.decode(encoded)[0] == tags[name]


@pytest.mark.parametrize("vector", VECTORS["frames"])
def test_vectors_of_frames(vector: dict[str, Any]) -> None:
    message, payload = build(vector["message"]), build(vector["payload"])
    encoded = bytes.fromhex(vector["encoded"])
    assert b"".join(pack(message, payload)).hex() == encoded.hex()
    assert list(FrameDecoder().feed(encoded)) == [(message, b"".join(payload))]


def test_vector_of_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = build(VECTORS["handshake"])
    nonces = [vector["client_hello"], vector["server_answer"]]
    nonces = [hello[len(MAGIC) : len(MAGIC) + NONCE_BYTES] for hello in nonces]
    monkeypatch.setattr(handshake_module.os, "urandom", lambda _count: nonces.pop(0))
    client = Handshake(vector["token"], vector["client"], server=False)
    server = Handshake(vector["token"], vector["server"], server=True)
    assert client.opening().hex() == vector["client_hello"].hex()
    assert server.feed(vector["client_hello"]).hex() == vector["server_answer"].hex()
    assert client.feed(vector["server_answer"]).hex() == vector["client_proof"].hex()
    server.feed(vector["client_proof"])
    assert server.done


# Round trips ------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bytes: st.binary(max_size=20),
    str: st.text(max_size=10),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    Any: PLAIN,
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if hint in SCALARS:
        return SCALARS[hint]
    if get_origin(hint) is list:
        return st.lists(values_of(*get_args(hint)), max_size=3)
    if get_origin(hint) is dict:
        return st.dictionaries(*map(values_of, get_args(hint)), max_size=3)
    fields = {name: values_of(kind) for name, kind in get_type_hints(hint).items()}
    return st.builds(hint, **{name: fields[name] for name in hint.__struct_fields__})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_messages_come_back(kind: type[msgspec.Struct]) -> None:
    @given(values_of(kind))
    @settings(max_examples=5, deadline=None, derandomize=True, database=None)
    def comes_back(message: Any) -> None:
        assert decode(encode(message)) == message

    comes_back()


# Other versions ---------------------------------------------------------------------------


def test_fields_of_a_newer_peer_are_skipped() -> None:
    environment = [b"", b"", False, b"", "new"]
    shape = [{"CPU": 1.0}, b"", -1, "", False, False, 0, [], [], environment, "new"]
    newer = msgspec.msgpack.encode([3, 1, shape, 2, 0, messages.HOME, 0, "new"])
    assert decode(newer) == messages.SetDemand(1, Shape({"CPU": 1.0}), 2, 0)


def test_fields_that_an_older_peer_does_not_send_have_their_defaults() -> None:
    older = msgspec.msgpack.encode([1, "driver", 12, "unix:/x"])
    assert decode(older) == Register("driver", 12, "unix:/x")
    assert decode(msgspec.msgpack.encode([32])) == Exit(graceful=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_messages_are_immutable(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.array_like


# Values -----------------------------------------------------------------------------------


def test_values_do_not_share_their_defaults() -> None:
    make: Callable[[], Value] = lambda: Value(INLINE, [])  # noqa: E731
    assert make().refs is not make().refs
