"""What is written of a row, and how an enricher stays warm."""

from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from clickstream_assets.domain import enrichment
from clickstream_assets.domain.enrichment import EnrichmentUnfit
from clickstream_assets.domain.table_schemas import CLICKS
from clickstream_assets.settings import Settings
from clickstream_assets_tests.domain.geoip_databases import write_database

TRUSTED = tuple(map(ip_network, Settings().trusted_proxies.split(",")))
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"


@pytest.fixture
def enricher(monkeypatch, tmp_path):
    monkeypatch.setattr(enrichment, "user_agent_version", lambda: "rules 3")
    place = {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Cologne", "de": "Köln"}}}
    return enrichment.Enricher(write_database(tmp_path / "City.mmdb", {"84.160.0.0/16": place}, built=7), TRUSTED)


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
    versions = {"geoip_version": "GeoLite2-City 7", "user_agent_version": "rules 3"}
    known = {
        "country": "DE",
        "city": "Cologne",
        "browser": "Firefox",
        "os": "Ubuntu",
        "device": "Other",
        "bot": "false",
    }
    unknown = {"country": "ZZ", "city": "", "browser": "Other", "os": "Other", "device": "Other", "bot": "false"}
    assert found == {b"1": known | versions, b"2": unknown | versions}


def test_each_address_is_looked_up_once_unless_it_is_long(enricher, monkeypatch):
    asked = []
    look_up = enricher.geoip.place
    monkeypatch.setattr(enricher.geoip, "place", lambda address: asked.append(str(address)) or look_up(address))
    long = "10.0.0.1, " * 30 + "9.9.9.8"
    written(enricher, *(row(bytes([at]), ip="84.160.1.1") for at in range(9)), row(b"x", ip="9.9.9.9"))
    written(enricher, *(row(bytes([at]), ip=long) for at in range(2)))
    assert asked == ["84.160.1.1", "9.9.9.9", "9.9.9.8", "9.9.9.8"]


def test_a_row_whose_request_data_has_expired_keeps_what_it_has(enricher):
    enriched = {"timestamp": "1", "geoip_version": "GeoLite2-City 6", "user_agent_version": "rules 3"}
    assert written(enricher, row(b"1", **enriched)) == {}
    assert written(enricher, row(b"1", **enriched, user_agent=FIREFOX)).keys() == {b"1"}


def country(code):
    return {"84.160.0.0/16": {"country": {"iso_code": code}}}


RULES = enrichment.user_agent_version()


def test_a_warm_worker_opens_a_database_that_was_replaced(tmp_path):
    path = write_database(tmp_path / "City.mmdb", country("DE"), built=7)
    before = enrichment.enricher_of(str(path), ("10.0.0.0/8",), ("GeoLite2-City 7", RULES))
    assert enrichment.enricher_of(str(path), ("10.0.0.0/8",), ("GeoLite2-City 7", RULES)) is before

    write_database(path, country("FR"), built=8)
    after = enrichment.enricher_of(str(path), ("10.0.0.0/8",), ("GeoLite2-City 8", RULES))
    cell, version = CLICKS.columns["country"].key, CLICKS.columns["geoip_version"].key
    assert (after.place(b"84.160.1.1")[cell], after.place(b"84.160.1.1")[version]) == (b"FR", b"GeoLite2-City 8")
    assert before.place(b"84.160.1.2")[cell] == b"DE"  # what is under way ends with the file that it began with


def test_a_worker_that_has_other_versions_than_the_run_names_says_so_and_where(tmp_path):
    path = write_database(tmp_path / "City.mmdb", country("DE"), built=7)
    with pytest.raises(
        EnrichmentUnfit, match=r"Spark worker .* has GeoLite2-City 7 in .*City\.mmdb, and .* wants .* 8:"
    ):
        enrichment.enricher_of(str(path), (), ("GeoLite2-City 8", RULES))
    with pytest.raises(EnrichmentUnfit, match=r"has ua-parser .*, and the run wants rules 3: "):
        enrichment.enricher_of(str(path), (), ("GeoLite2-City 7", "rules 3"))
    path.unlink()
    with pytest.raises(EnrichmentUnfit, match=r"no GeoIP database at .*City\.mmdb"):
        enrichment.enricher_of(str(path), (), ("GeoLite2-City 7", RULES))
