"""Which of the addresses in a list is the client's."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.domain.enrichment import client_address
from clickstream_assets.settings import Settings
from clickstream_assets_tests.acceptance import golden

TRUSTED = tuple(Settings().trusted_networks)

addresses = st.one_of(
    st.integers(0, (1 << 32) - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, (1 << 128) - 1).map(lambda number: str(IPv6Address(number))),
    st.sampled_from(
        [
            *("84.160.1.1", "10.1.2.3", "172.16.0.1", "172.32.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1"),
            *("100.64.0.1", "100.128.0.1", "2003:c0::1", "2A01:CB00::1", "::1", "fc00::1", "fe80::1", "::"),
            *("::ffff:84.160.1.1", "::ffff:10.0.0.1", "::84.160.1.1", "0.0.0.0", "255.255.255.255"),
        ]
    ),
)
junk = st.sampled_from(
    ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", ":", "[", "[]", "::1::", "-"]
)
ports = st.sampled_from(["", ":443", ":", ":x"])
parts = st.one_of(
    addresses,
    st.builds("{}{}".format, addresses, ports),
    st.builds("[{}]{}".format, addresses, ports),
    st.builds("[{}".format, addresses),
    junk,
    st.text(st.characters(exclude_characters="%,", exclude_categories=("Cs",)), max_size=8),
)
blanks = st.sampled_from(["", " ", "  ", "\t"])
lists = st.lists(st.builds("{}{}{}".format, blanks, parts, blanks), max_size=6).map(",".join)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(lists)
def test_equals_golden(text):
    found = client_address(text, TRUSTED)
    assert (None if found is None else str(found)) == golden._address(text)


@pytest.mark.parametrize("text", [None, "", ",", "unknown", "10.0.0.1, 192.168.0.1", "fe80::1%eth0", "1.2.3.4/8"])
def test_no_client_in_sight(text):
    assert client_address(text, TRUSTED) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("84.160.1.1, 86.140.1.1, 10.0.0.1", "86.140.1.1"),
        ("84.160.1.1, unknown", "84.160.1.1"),
        ("84.160.1.1:443", "84.160.1.1"),
        ("[2003:c0::1]:443", "2003:c0::1"),
        ("::ffff:84.160.1.1", "84.160.1.1"),
        ("84.160.1.1, ::ffff:10.0.0.1", "84.160.1.1"),
    ],
)
def test_the_rightmost_valid_address_outside_the_proxies_counts(text, address):
    assert client_address(text, TRUSTED) == ip_address(address)


def test_without_trusted_proxies_the_last_address_counts():
    assert client_address("84.160.1.1, 10.0.0.1", ()) == ip_address("10.0.0.1")
