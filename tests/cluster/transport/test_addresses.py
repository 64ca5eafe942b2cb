"""Addresses as text: what is one, what is none, and which part is for whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_cluster.transport.addresses import (
    AddressError,
    TcpAddress,
    UnixAddress,
    choose,
    join,
    parse,
)

PATHS = st.text(st.characters(exclude_characters="|\0", codec="utf-8"), min_size=1, max_size=25)
HOSTS = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["localhost", "head-1.example.org", "a_b", "a."])
)
ADDRESSES = st.one_of(
    st.builds(UnixAddress, PATHS), st.builds(TcpAddress, HOSTS, st.integers(0, 65535))
)


@given(st.lists(ADDRESSES, min_size=1, max_size=4))
def test_what_was_joined_is_parsed_again(addresses: list[UnixAddress | TcpAddress]) -> None:
    assert parse(join(addresses)) == addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/run/a.sock", UnixAddress("/run/a.sock")),
        ("unix:/run/a:b.sock", UnixAddress("/run/a:b.sock")),
        ("tcp:10.0.0.1:6380", TcpAddress("10.0.0.1", 6380)),
        ("tcp:[::1]:6380", TcpAddress("::1", 6380)),
        ("tcp:[2001:DB8:0:0::1]:0", TcpAddress("2001:db8::1", 0)),
        ("tcp:head.example.org:65535", TcpAddress("head.example.org", 65535)),
    ],
)
def test_examples(text: str, expected: UnixAddress | TcpAddress) -> None:
    assert parse(text) == [expected]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "starts with neither unix: nor tcp:"),
        ("10.0.0.1:6380", "starts with neither unix: nor tcp:"),
        ("http://10.0.0.1:6380", "starts with neither"),
        ("TCP:10.0.0.1:6380", "starts with neither"),
        ("tcp:10.0.0.1:80|", "'' starts with neither"),
        ("unix:", "the path is empty"),
        ("unix:a\0b", "a path holds no NUL"),
        ("unix:/" + "a" * 107, "the path has 108 bytes, of at most 107"),
        ("unix:\udc80", "the path is not valid text"),
        ("tcp:10.0.0.1", "there is no port"),
        ("tcp::80", "the host '' is neither"),
        ("tcp:10.0.0.1:", "the port '' is no number"),
        ("tcp:10.0.0.1:65536", "the port '65536' is no number from 0 to 65535"),
        ("tcp:10.0.0.1:-1", "the port '-1' is no number"),
        ("tcp:10.0.0.1:٣", "is no number"),
        ("tcp:::1:80", r"stands in brackets: \[::1\]"),
        ("tcp:[10.0.0.1]:80", r"\[10.0.0.1\] is no IPv6 address"),
        ("tcp:[::g]:80", r"\[::g\] is no IPv6 address"),
        ("tcp:[fe80::1%eth0]:80", "means another host on every machine"),
        ("tcp:10.0.0.256:80", "the host '10.0.0.256' is neither an IP address nor a name"),
        ("tcp:a b:80", "the host 'a b' is neither"),
        ("tcp:-a:80", "the host '-a' is neither"),
        ("tcp:a..b:80", "is neither"),
        ("tcp:user@host:80", "is neither"),
        ("tcp:host\n:80", "is neither"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    with pytest.raises(AddressError, match=why) as raised:
        parse(text)
    assert "invalid address" in str(raised.value)
    assert "An address is unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT" in str(raised.value)


@given(st.text(max_size=40) | st.text("unixtcp:[]|.%0123456789", max_size=40))
def test_any_other_text_is_refused_with_the_one_error(text: str) -> None:
    try:
        found = parse(text)
    except AddressError:
        return
    assert parse(join(found)) == found


BOTH = "unix:/a.sock|tcp:10.0.0.1:80|tcp:[::1]:81"


def test_the_same_machine_is_reached_by_its_unix_socket() -> None:
    assert choose(BOTH, same_machine=True) == UnixAddress("/a.sock")
    assert choose("tcp:10.0.0.1:80|unix:/a.sock", same_machine=True) == UnixAddress("/a.sock")
    assert choose("tcp:10.0.0.1:80", same_machine=True) == TcpAddress("10.0.0.1", 80)


def test_another_machine_is_reached_by_its_first_port() -> None:
    assert choose(BOTH, same_machine=False) == TcpAddress("10.0.0.1", 80)
    with pytest.raises(AddressError, match=r"unix:/a\.sock cannot be reached from another"):
        choose("unix:/a.sock", same_machine=False)


@pytest.mark.parametrize(
    ("host", "is_name", "is_any"),
    [
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", True, False),
    ],
)
def test_kinds_of_hosts(host: str, is_name: bool, is_any: bool) -> None:
    address = TcpAddress(host, 1)
    assert (address.is_name, address.is_any_host) == (is_name, is_any)
