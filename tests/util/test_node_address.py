"""The address of this machine."""

from __future__ import annotations

import ipaddress

import pytest

from air.errors import InvalidOption
from air.util import get_node_ip_address


def test_the_way_to_this_machine_is_its_loopback():
    assert get_node_ip_address("127.0.0.1:80") == "127.0.0.1"


def test_without_an_argument_it_is_an_address():
    ipaddress.ip_address(get_node_ip_address())


def test_loopback_where_no_way_leads():
    assert get_node_ip_address("0.0.0.0.0:1") == "127.0.0.1"  # no such host
    assert get_node_ip_address("[ff00::1:2:3:4:5:6:7:8:9]:1") == "127.0.0.1"


@pytest.mark.parametrize("address", ["", "localhost", ":80", "host:", "host:http", "h:65536", 80])
def test_bad_addresses(address):
    with pytest.raises(InvalidOption, match="'HOST:PORT'"):
        get_node_ip_address(address)
