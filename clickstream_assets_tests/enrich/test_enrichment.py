"""What is written of a row or an event, what metrics get of it, and how an enricher stays warm."""

from ipaddress import ip_network
from types import SimpleNamespace

import pyarrow as pa
import pytest

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CLICK, LEAVE, OTHER_KIND, Place
from clickstream_assets.books.row_keys import first_key
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.enrich import enriching, enrichment, from_rows
from clickstream_assets.enrich.enrichment import EnrichmentRules, EnrichmentUnfit
from clickstream_assets.events.origins import ORIGINS
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.geoip_databases import write_database

TRUSTED = tuple(map(ip_network, Settings().trusted_proxies.split(",")))
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"


@pytest.fixture
def enricher(monkeypatch, tmp_path):
    monkeypatch.setattr(enrichment, "user_agent_version", lambda: "rules 3")
    place = {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Cologne", "de": "Köln"}}}
    return enrichment.Enricher(write_database(tmp_path / "City.mmdb", {"84.160.0.0/16": place}, built=7), TRUSTED)


PLAIN = {"source": "log/0/0", "timestamp": "1", "url": "https://h/", "event_type": "page_view", "user_id": "ada"}
VERSIONS = {"geoip_version": "GeoLite2-City 7", "user_agent_version": "rules 3"}
KNOWN = {
    "country": "DE",
    "city": "Cologne",
    "browser": "Firefox",
    "os": "Ubuntu",
    "device": "Other",
    "bot": "false",
}
UNKNOWN = {"country": "ZZ", "city": "", "browser": "Other", "os": "Other", "device": "Other", "bot": "false"}


def raw_row(key, **values):
    """A row as Thrift gives it."""
    cells = {CLICKS.columns[name].key: SimpleNamespace(value=value.encode()) for name, value in values.items()}
    return SimpleNamespace(row=key, columns=cells)


def row(key, **values):
    """An event's row as Thrift gives it."""
    return raw_row(key, **PLAIN | values)


def cells_of(mutations):
    """Row key to column name to value."""
    names = {column.key: name for name, column in CLICKS.columns.items()}
    return {change.key: {names[cell]: value.decode() for cell, value in change.puts.items()} for change in mutations}


def of_rows(enricher, *rows, places=()):
    """What metrics get of rows, and what changes in them."""
    return from_rows._enriched_rows(rows, from_rows._Locator(places, dict.fromkeys(places, 9)), enricher)


def written(enricher, *rows):
    return cells_of(of_rows(enricher, *rows)[1])


def events(*rows):
    """Events by column as ingestion leaves them; each is what differs from a plain one."""
    plain = {"offset": 0, "row_key": b"", "time_ms": 1, "user_key": "uada", "url": "https://h/", "kind": CLICK}
    plain |= {"engaged_ms": -1, "ip": None, "user_agent": None, "event_type": "page_view"} | dict.fromkeys(ORIGINS, "")
    return pa.RecordBatch.from_pylist([plain | row for row in rows], blocks.EVENTS)


def from_events(enricher, *rows):
    mutations, clicks = enriching._enriched(events(*rows), enricher)
    own = [
        SimpleNamespace(key=m.key, puts={c: v for part in m.shared for c, v in part.cells.items()}) for m in mutations
    ]
    return clicks.to_pylist(), cells_of(own)


def test_a_row_gets_every_column_of_the_output_whatever_it_lacks(enricher):
    assert {*KNOWN, *VERSIONS} == set(enrichment.OUTPUT)
    assert written(enricher, row(b"1", ip="84.160.1.1", user_agent=FIREFOX), row(b"2")) == {
        b"1": KNOWN | VERSIONS,
        b"2": UNKNOWN | VERSIONS,
    }


def test_an_event_gets_what_its_row_would(enricher):
    _, cells = from_events(
        enricher, {"row_key": b"1", "ip": "84.160.1.1", "user_agent": FIREFOX}, {"row_key": b"2"}, {"row_key": b"3"}
    )
    assert cells == {b"1": KNOWN | VERSIONS, b"2": UNKNOWN | VERSIONS, b"3": UNKNOWN | VERSIONS}


def test_metrics_get_of_rows_what_they_get_of_events(enricher):
    long_ago, google = 1_700_000_000_000, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    place = Place("log", 0, 0, 0)
    clicks, _ = of_rows(
        enricher,
        row(
            bytes(5),
            timestamp=str(long_ago),
            ip="84.160.1.1",
            user_agent=FIREFOX,
            event_type="click",
            referrer_host="search.example",
            utm_medium="cpc",
        ),
        row(bytes(5), source="log/0/1", user_id="bob", engagement_time_ms="7", user_agent=google),
        row(bytes(5), source="log/0/2", event_type="page_leave"),
        raw_row(bytes(5), **PLAIN | {"source": "log/0/3", "event_type": "scroll", "anonymous_id": "eve"}),
        raw_row(
            bytes(5),
            **{name: text for name, text in PLAIN.items() if name != "user_id"},
            anonymous_id="eve",
        ),
        places=[place],
    )
    made, _ = from_events(
        enricher,
        {
            "time_ms": long_ago,
            "ip": "84.160.1.1",
            "user_agent": FIREFOX,
            "event_type": "click",
            "referrer_host": "search.example",
            "utm_medium": "cpc",
        },
        {"user_key": "ubob", "engaged_ms": 7, "user_agent": google},
        {"kind": LEAVE, "event_type": "page_leave"},
        {"kind": OTHER_KIND, "event_type": "scroll"},
        {"user_key": "aeve"},
    )
    assert [dict(zip(blocks.ENRICHED.names, click[2:], strict=True)) for click in clicks] == made
    assert [(click["country"], click["bot"]) for click in made[:2]] == [("DE", False), ("ZZ", True)]
    assert [click[:2] for click in clicks] == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 0)]


def test_a_row_belongs_to_the_part_that_begins_last_before_its_offset_even_if_another_is_wanted(enricher):
    hour = 498_000
    places = [Place("log", 0, first, hour) for first in (0, 100, 200)]
    others = [Place("log", 1, 50, hour), Place("other", 0, 50, hour), Place("log", 0, 150, hour + 1)]
    ends = {place: place.first + 90 for place in [*reversed(places), *others]}
    locator = from_rows._Locator([places[0], places[2]], ends)

    def number_of(source, of_hour=hour):
        return locator.locate(raw_row(first_key(32, of_hour), source=source))

    assert [number_of(f"log/0/{at}") for at in (0, 89, 100, 189, 200, 289)] == [
        (0, 0),
        (0, 89),
        (-1, 100),
        (-1, 189),
        (1, 200),
        (1, 289),
    ]
    assert number_of("log/0/95") == (-1, 95), "which is not booked yet"
    assert [number_of(source)[0] for source in ("log/1/49", "log/1/60", "other/0/60", "third/0/60")] == [-1] * 4
    assert number_of("log/0/160", hour + 1)[0] == number_of("log/0/160", hour + 2)[0] == -1


def test_a_row_that_a_hand_put_without_what_each_event_has_is_left_alone(enricher):
    lacking = [
        raw_row(bytes(5), **{name: text for name, text in PLAIN.items() if name != gone})
        for gone in ("source", "timestamp", "url", "event_type")
    ]
    assert of_rows(enricher, *lacking, places=[Place("log", 0, 0, 0)]) == ([], [])


def test_each_address_is_looked_up_once_unless_it_is_long(enricher, monkeypatch):
    asked = []
    look_up = enricher.geoip.place
    monkeypatch.setattr(enricher.geoip, "place", lambda address: asked.append(str(address)) or look_up(address))
    long = "10.0.0.1, " * 30 + "9.9.9.8"
    written(enricher, *(row(bytes([at]), ip="84.160.1.1") for at in range(9)), row(b"x", ip="9.9.9.9"))
    written(enricher, *(row(bytes([at]), ip=long) for at in range(2)))
    assert asked == ["84.160.1.1", "9.9.9.9", "9.9.9.8", "9.9.9.8"]
    from_events(enricher, *({"ip": long} for _ in range(9)))
    assert asked.count("9.9.9.8") == 3, "by column even a long one is looked up once"


def test_a_row_whose_request_data_has_expired_keeps_what_it_has(enricher):
    enriched = KNOWN | {"geoip_version": "GeoLite2-City 6", "user_agent_version": "rules 3", "bot": "true"}
    assert written(enricher, row(b"1", **enriched)) == {}
    ((_, _, *click),), _ = of_rows(enricher, row(bytes(5), **enriched), places=[Place("log", 0, 0, 0)])
    of_row = dict(zip(blocks.ENRICHED.names, click, strict=True))
    assert {name: of_row[name] for name in ("country", "city", "browser", "bot")} == {
        "country": "DE",
        "city": "Cologne",
        "browser": "Firefox",
        "bot": True,
    }
    assert written(enricher, row(b"1", **enriched, user_agent=FIREFOX)).keys() == {b"1"}


def country(code):
    return {"84.160.0.0/16": {"country": {"iso_code": code}}}


RULES = enrichment.user_agent_version()


def test_a_warm_worker_opens_a_database_that_was_replaced(tmp_path):
    path = write_database(tmp_path / "City.mmdb", country("DE"), built=7)
    before = EnrichmentRules(str(path), ("10.0.0.0/8",), ("GeoLite2-City 7", RULES)).enricher()
    assert EnrichmentRules(str(path), ("10.0.0.0/8",), ("GeoLite2-City 7", RULES)).enricher() is before

    write_database(path, country("FR"), built=8)
    after = EnrichmentRules(str(path), ("10.0.0.0/8",), ("GeoLite2-City 8", RULES)).enricher()
    cell, version = CLICKS.columns["country"].key, CLICKS.columns["geoip_version"].key
    found = after.place(b"84.160.1.1").cells
    assert (found[cell], found[version]) == (b"FR", b"GeoLite2-City 8")
    assert before.place(b"84.160.1.2").cells[cell] == b"DE"  # what is under way ends with the file that it began with


def test_a_worker_that_has_other_versions_than_the_run_names_says_so_and_where(tmp_path):
    path = write_database(tmp_path / "City.mmdb", country("DE"), built=7)
    with pytest.raises(
        EnrichmentUnfit, match=r"Spark worker .* has GeoLite2-City 7 in .*City\.mmdb, and .* wants .* 8:"
    ):
        EnrichmentRules(str(path), (), ("GeoLite2-City 8", RULES)).enricher()
    with pytest.raises(EnrichmentUnfit, match=r"has ua-parser .*, and the run wants rules 3: "):
        EnrichmentRules(str(path), (), ("GeoLite2-City 7", "rules 3")).enricher()
    path.unlink()
    with pytest.raises(EnrichmentUnfit, match=r"no GeoIP database at .*City\.mmdb"):
        EnrichmentRules(str(path), (), ("GeoLite2-City 7", RULES)).enricher()
