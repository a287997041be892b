"""Which of the addresses in a list is the client's, and what is written of a row."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.domain import enrichment
from clickstream_assets.domain.enrichment import client_address
from clickstream_assets.domain.table_schemas import CLICKS
from clickstream_assets.settings import Settings
from clickstream_assets_tests.acceptance import golden

TRUSTED = tuple(Settings().trusted_networks)
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"

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


class Places:
    """A GeoIP database that knows one address and counts who asks."""

    def __init__(self):
        self.asked = []

    def get(self, address):
        self.asked.append(str(address))
        place = {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Köln", "de": "Köln"}}}
        return place if str(address) == "84.160.1.1" else None


@pytest.fixture
def enricher(monkeypatch):
    monkeypatch.setattr(enrichment.maxminddb, "open_database", lambda _: Places())
    monkeypatch.setattr(enrichment, "geoip_version", lambda _: "City 7")
    monkeypatch.setattr(enrichment, "user_agent_version", lambda: "rules 3")
    return enrichment.Enricher(None, TRUSTED)


def row(key, **values):
    """A row as Thrift gives it."""
    cells = {CLICKS.columns[name].key: SimpleNamespace(value=value.encode()) for name, value in values.items()}
    return SimpleNamespace(row=key, columns=cells)


def written(enricher, *rows):
    """Row key to column name to value."""
    names = {column.key: name for name, column in CLICKS.columns.items()}
    return {
        change.key: {names[cell]: value.decode() for cell, value in change.puts.items()}
        for change in enricher.changes(rows)
    }


def test_a_row_gets_every_column_of_the_output_whatever_it_lacks(enricher):
    found = written(enricher, row(b"1", timestamp="1", ip="84.160.1.1", user_agent=FIREFOX), row(b"2", timestamp="1"))
    assert all(cells.keys() == set(enrichment.OUTPUT) for cells in found.values())
    versions = {"geoip_version": "City 7", "user_agent_version": "rules 3"}
    known = {"country": "DE", "city": "Köln", "browser": "Firefox", "os": "Ubuntu", "device": "Other", "bot": "false"}
    unknown = {"country": "ZZ", "city": "", "browser": "Other", "os": "Other", "device": "Other", "bot": "false"}
    assert found == {b"1": known | versions, b"2": unknown | versions}


def test_each_address_is_looked_up_once(enricher):
    written(enricher, *(row(bytes([at]), ip="84.160.1.1") for at in range(9)), row(b"x", ip="9.9.9.9"))
    assert enricher._reader.asked == ["84.160.1.1", "9.9.9.9"]


def test_a_row_whose_request_data_has_expired_keeps_what_it_has(enricher):
    enriched = {"timestamp": "1", "geoip_version": "City 6", "user_agent_version": "rules 3"}
    assert written(enricher, row(b"1", **enriched)) == {}
    assert written(enricher, row(b"1", **enriched, user_agent=FIREFOX)).keys() == {b"1"}
