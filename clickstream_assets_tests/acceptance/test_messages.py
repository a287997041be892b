"""Messages that went wrong once end as the contract says: by golden.py, and by our own rules without a server."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from clickstream_assets.enrich.enrichment import Enricher
from clickstream_assets.events.message_files import write_envelope
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets.settings import Settings
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.acceptance.cases import CASES, NIGHT_MS
from clickstream_assets_tests.acceptance.without_servers import outcome
from clickstream_assets_tests.hard_cases import (
    BRITISH,
    FRENCH,
    FRENCH_6,
    GERMAN,
    GERMAN_6,
    HOUR,
    first_hour,
    first_hour_ms,
    write_file,
)

NOW_MS = NIGHT_MS + 2 * HOUR
FIRST = "2026-11-01T00"
FIRST_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1000


COUNTRIES = {GERMAN: "DE", GERMAN_6: "DE", BRITISH: "GB", FRENCH: "FR", FRENCH_6: "FR"}


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    """A GeoIP database of a few addresses, for golden.py and for us alike."""
    writer = MMDBWriter(6, "GeoLite2-City", languages=["en"], ipv4_compatible=True)
    for address, country in COUNTRIES.items():
        writer.insert_network(IPSet([address]), {"country": {"iso_code": country}})
    path = tmp_path_factory.mktemp("geoip") / "City.mmdb"
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="module")
def enricher(geoip):
    return Enricher(geoip, tuple(map(ip_network, Settings().trusted_proxies.split(","))))


named = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])


@pytest.mark.slow
@named
def test_golden_makes_of_a_case_what_is_expected(geoip, case):
    found = golden.expect(case.lines, str(geoip), FIRST)
    assert {name: found[name] for name in case.expected} == case.expected


@named
def test_our_rules_make_of_a_case_what_is_expected(enricher, case):
    found = outcome(case.lines, enricher, FIRST_MS)
    assert {name: found[name] for name in case.expected} == case.expected


@named
def test_a_case_that_is_moved_is_the_same_case(enricher, case):
    moved = case.moved(-50)
    assert moved.lines != case.lines
    found = outcome(moved.lines, enricher, FIRST_MS)
    assert {name: found[name] for name in moved.expected} == moved.expected
    assert all(key.startswith("2026-11-21T01:00:00Z|") for key in moved.expected["metrics"])


def test_each_kind_of_outcome_occurs():
    assert len(CASES) == len({case.id for case in CASES}) == 19
    assert any(case.expected["bots"] for case in CASES)
    assert any(case.expected["refused"] for case in CASES)
    assert any(row["time_spent_seconds"] for case in CASES for row in case.expected["metrics"].values())


@pytest.mark.slow
def test_our_rules_make_of_the_hard_cases_what_golden_does(geoip, enricher, tmp_path):
    path = tmp_path / "hard"
    write_file(path, NOW_MS)
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = golden.expect(lines, str(geoip), first_hour(NOW_MS))
    found = outcome(lines, enricher, first_hour_ms(NOW_MS))
    assert golden.compare(expected["metrics"], found["metrics"]) == []
    counts = ("read", "stored", "duplicates", "dead_lettered", "bots")
    assert {name: found[name] for name in counts} == {name: expected[name] for name in counts}
    assert found["refused"] == expected["refused"]


@pytest.mark.slow
def test_our_rules_make_of_demo_traffic_what_golden_does(geoip, enricher, tmp_path):
    path = tmp_path / "demo"
    with path.open("w", encoding="utf-8") as file:
        for message in demo_messages(3, datetime.fromtimestamp(NOW_MS / 1000, UTC), events=5000):
            write_envelope(file, message)
    lines = path.read_text(encoding="utf-8").splitlines()
    expected, found = golden.expect(lines, str(geoip), FIRST), outcome(lines, enricher, FIRST_MS)
    assert golden.compare(expected["metrics"], found["metrics"]) == []
    assert {name: expected[name] for name in found if name != "metrics"} == {
        name: value for name, value in found.items() if name != "metrics"
    }
