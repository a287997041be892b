"""Which of the addresses in a list is the client's, and what databases of all shapes say of it."""

import time
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.enrich.geoip import (
    LONGEST_LIST,
    GeoIPDatabase,
    GeoIPUnfit,
    Location,
    client_address,
)
from clickstream_assets.settings import Settings
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.fakes.geoip_databases import write_database

TRUSTED = tuple(map(ip_network, Settings().trusted_proxies.split(",")))

addresses = st.one_of(
    st.integers(0, (1 << 32) - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, (1 << 128) - 1).map(lambda number: str(IPv6Address(number))),
    st.sampled_from(
        [
            *("84.160.1.1", "10.1.2.3", "172.16.0.1", "172.32.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1"),
            *("100.64.0.1", "100.128.0.1", "2003:c0::1", "2A01:CB00::1", "::1", "fc00::1", "fe80::1", "::"),
            *("::ffff:84.160.1.1", "::ffff:10.0.0.1", "::84.160.1.1", "0.0.0.0", "255.255.255.255"),
            *("64:ff9b::84.160.1.1", "64:ff9b::10.0.0.1", "64:ff9b::1:84.160.1.1", "64:ff9b:1::84.160.1.1"),
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


@pytest.mark.slow
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
        ("64:ff9b::84.160.1.1", "84.160.1.1"),
        ("86.140.1.1, [64:ff9b::a00:1]:443", "86.140.1.1"),  # 10.0.0.1, a trusted proxy
        ("64:ff9b:1::84.160.1.1", "64:ff9b:1::54a0:101"),
        ("84.160.1.1, 2003:c0::1%eth0", "84.160.1.1"),
    ],
)
def test_the_rightmost_valid_address_outside_the_proxies_counts(text, address):
    assert client_address(text, TRUSTED) == ip_address(address)


def test_without_trusted_proxies_the_last_address_counts():
    assert client_address("84.160.1.1, 10.0.0.1", ()) == ip_address("10.0.0.1")


def test_a_list_of_2048_characters_is_read_and_a_longer_one_is_as_missing():
    text = "84.160.1.1".rjust(LONGEST_LIST, ",")
    assert LONGEST_LIST == 2_048
    assert client_address(text, TRUSTED) == ip_address("84.160.1.1")
    assert client_address("," + text, TRUSTED) is None


def test_no_list_takes_longer_than_the_longest_that_is_read():
    parts = ("", "1", "::1", "::::", "1.1.1.", "10.0.0.1", "1::1::1", "1:2:3:4:5:6:7:8:", "fe80::1%x")
    lists = [",".join([part] * (LONGEST_LIST // (len(part) + 1))) for part in parts]
    worst = max((seconds_of(text), text[:20]) for text in [*lists, "," * 10**6])
    assert worst < (0.03,)


def seconds_of(text):
    """Processor time, the least of five: the machine does other things too."""
    seconds = []
    for _ in range(5):
        begun = time.thread_time()
        assert client_address(text, TRUSTED) is None
        seconds.append(time.thread_time() - begun)
    return min(seconds)


GERMANY = {"geoname_id": 2921044, "iso_code": "DE", "names": {"en": "Germany", "de": "Deutschland"}}
COLOGNE = {"geoname_id": 2886242, "names": {"de": "Köln", "en": "Cologne"}}
CITY = {"city": COLOGNE, "country": GERMANY, "registered_country": GERMANY, "location": {"latitude": 50.9}}
ENTERPRISE = {
    "city": {**COLOGNE, "confidence": 50},
    "country": {**GERMANY, "confidence": 99, "is_in_european_union": True},
    "traits": {"isp": "Example", "is_anonymous": False, "user_type": "business"},
}


@pytest.mark.parametrize(
    ("record", "place"),
    [
        (CITY, Location("DE", "Cologne")),
        (ENTERPRISE, Location("DE", "Cologne")),
        ({"country": GERMANY}, Location("DE", "")),
        ({"country": GERMANY, "city": {"names": {"de": "Köln"}}}, Location("DE", "")),
        ({"city": COLOGNE}, Location("ZZ", "Cologne")),
        ({"registered_country": GERMANY, "represented_country": GERMANY}, Location("ZZ", "")),
        # Other vendors' shapes
        ({"country": "DE", "city": "Cologne"}, Location("ZZ", "")),
        ({"country_code": "DE", "city": {"names": "Cologne"}}, Location("ZZ", "")),
        ({"location": {"country": GERMANY, "city": COLOGNE}}, Location("ZZ", "")),
        ({"country": ["DE"], "city": [COLOGNE]}, Location("ZZ", "")),
        ({"country": {"iso_code": ["DE"]}, "city": {"names": {"en": 7}}}, Location("ZZ", "")),
        ({"autonomous_system_number": 64512, "autonomous_system_organization": "Example"}, Location("ZZ", "")),
        ({}, Location("ZZ", "")),
        ("DE", Location("ZZ", "")),
        ([GERMANY], Location("ZZ", "")),
        (7, Location("ZZ", "")),
        *(
            ({"country": {"iso_code": code}}, Location("ZZ", ""))
            for code in ("de", "DEU", "D", "D1", "", "ÄÖ", "DE\n", 49)
        ),
    ],
)
def test_what_a_record_does_not_say_in_geoip2s_shape_is_unknown(tmp_path, record, place):
    database = GeoIPDatabase(write_database(tmp_path / "some.mmdb", {"84.160.0.0/16": record, "2003:c0::/32": record}))
    assert database.place(ip_address("84.160.1.1")) == place
    assert database.place(ip_address("2003:c0::1")) == place
    assert database.place(ip_address("9.9.9.9")) == database.place(None) == Location("ZZ", "")


def test_a_database_of_ipv4_addresses_knows_no_ipv6_ones_but_those_that_hold_an_ipv4_one(tmp_path):
    database = GeoIPDatabase(write_database(tmp_path / "some.mmdb", {"84.160.0.0/16": CITY}, ip_version=4))
    known = ("84.160.1.1", "::ffff:84.160.1.1", "64:ff9b::54a0:101")
    assert [database.place(client_address(text, TRUSTED)).country for text in known] == ["DE"] * 3
    assert database.place(client_address("2003:c0::1", TRUSTED)) == Location("ZZ", "")


def test_a_record_that_cannot_be_read_is_unknown_and_the_others_are_not(tmp_path):
    france = {"country": {"iso_code": "FR"}}
    path = write_database(tmp_path / "some.mmdb", {"84.160.0.0/16": {"country": GERMANY}, "86.140.0.0/16": france})
    content = path.read_bytes()
    assert content.count(b"\x42DE") == 1  # a text of two bytes
    path.write_bytes(content.replace(b"\x42DE", b"\x42\xff\xff"))  # which is no UTF-8
    database = GeoIPDatabase(path)
    assert database.place(ip_address("84.160.1.1")) == Location("ZZ", "")
    assert database.place(ip_address("86.140.1.1")) == Location("FR", "")
    assert "no countries" in next(database.warnings(0))


NOW = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
LAST_MONTH, LAST_YEAR = (int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) for year in (2026, 2025))


@pytest.mark.parametrize(
    ("record", "ip_version", "built", "words"),
    [
        (CITY, 6, LAST_MONTH, []),
        ({"country": GERMANY}, 6, LAST_MONTH, []),
        (CITY, 6, LAST_YEAR, ["built in June 2025, over a year ago"]),
        (CITY, 4, LAST_MONTH, ["no IPv6 addresses"]),
        ({"country": "DE"}, 6, LAST_MONTH, ["no countries"]),
        ({"autonomous_system_number": 64512}, 4, LAST_YEAR, ["no countries", "no IPv6", "over a year ago"]),
    ],
)
def test_what_should_be_known_of_a_database_is_said(tmp_path, record, ip_version, built, words):
    path = write_database(tmp_path / "some.mmdb", {"84.160.0.0/16": record}, ip_version=ip_version, built=built)
    said = list(GeoIPDatabase(path).warnings(NOW))
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_a_database_without_any_record_has_no_countries(tmp_path):
    (said,) = GeoIPDatabase(write_database(tmp_path / "some.mmdb", {}, built=LAST_MONTH)).warnings(NOW)
    assert "no countries" in said


@pytest.mark.parametrize("content", [b"", b"no database", b"\xab\xcd\xefMaxMind.com"])
def test_a_file_that_is_no_database_is_told_by_its_path(tmp_path, content):
    path = tmp_path / "some.mmdb"
    path.write_bytes(content)
    with pytest.raises(
        GeoIPUnfit, match=r"some\.mmdb .* cannot be read as a GeoIP database .*CLICKSTREAM_GEOIP_DATABASE"
    ):
        GeoIPDatabase(path)


def test_a_folder_or_nothing_at_the_path_is_told(tmp_path):
    with pytest.raises(GeoIPUnfit, match="cannot be read as a GeoIP database"):
        GeoIPDatabase(tmp_path)
    with pytest.raises(GeoIPUnfit, match=r"no GeoIP database at .*nothing\.mmdb"):
        GeoIPDatabase(tmp_path / "nothing.mmdb")


def test_the_version_is_type_and_build(tmp_path):
    path = write_database(tmp_path / "some.mmdb", {"84.160.0.0/16": CITY}, built=1574118223)
    assert GeoIPDatabase(path).version == "GeoLite2-City 1574118223"
