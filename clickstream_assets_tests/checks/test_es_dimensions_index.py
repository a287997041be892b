"""The checks on the documents of dimensions: each fails for what it is to find, and waits while a day is behind."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from clickstream_assets.checks.day_checks import DayEvidence
from clickstream_assets.checks.es_dimensions_index import checks
from clickstream_assets.events.days import day_of_hour
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.dimensions_world import ALIAS, DimensionsWorld, write_cities
from clickstream_assets_tests.fakes.metrics_world import FIRST
from clickstream_assets_tests.fakes.servers import HOUR_MS
from clickstream_assets_tests.hard_cases import GOOGLEBOT

HOUR = FIRST + 3
DAY = day_of_hour(HOUR)
AT = HOUR * HOUR_MS
INDEX = f"{ALIAS}-2026"
CLICKS, HOURS, BOTS = "clicks_are_those_of_the_day", "hours_add_up", "bots_are_those_of_the_books"


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = DimensionsWorld(monkeypatch, write_cities(tmp_path / "City.mmdb"))
    world.visit(1, AT, "ada")
    world.visit(2, AT + 1, "bob", kind="scroll")
    world.visit(3, AT + HOUR_MS, "ada", says={"utm_source": "mail"}, url="x?utm_source=mail")
    world.visit(4, AT, "crawler", agent=GOOGLEBOT)
    world.visit(5, AT + HOUR_MS, "crawler", agent=GOOGLEBOT, kind="scroll")
    world.all_steps()
    return world


def failing(world, day=DAY):
    """The checks that fail in a day, with their words."""
    elasticsearch = SimpleNamespace(client=world.indices.client)
    evidence = DayEvidence([day], world.books, Settings(), elasticsearch)
    found = {name: check.find(evidence)[day] for name, check in checks.checks.items()}
    assert all(finding.words for finding in found.values())
    return {name: finding.words for name, finding in found.items() if not finding.passed}


def alter(world, span, dimension, **fields):
    """As a hand does; of each such document."""
    for index in (world.indices.documents[INDEX], world.indices.shown[INDEX]):
        for key, stored in index.items():
            document = stored[1] if isinstance(stored, tuple) else stored
            if (document["span"], document["dimension"]) == (span, dimension):
                altered = document | fields
                index[key] = (stored[0], altered) if isinstance(stored, tuple) else altered


def test_all_pass_where_nobody_has_altered_anything(world):
    assert failing(world) == {}
    assert failing(world, DAY + 9) == {}, "a day of nothing"


def test_clicks_of_a_dimension_that_are_not_the_days_are_told(world):
    for span in ("day", "hour"):
        alter(world, span, "os", clicks=7)
    assert failing(world).keys() == {CLICKS, HOURS}
    assert failing(world)[CLICKS] == "2 clicks in the day; by os: 7"


def test_a_dimension_without_documents_is_told(world):
    world.indices.shown[INDEX] = {k: d for k, d in world.indices.shown[INDEX].items() if d["dimension"] != "city"}
    assert failing(world) == {CLICKS: "2 clicks in the day; by city: 0"}


def test_documents_that_are_all_gone_are_told(world):
    world.indices.shown[INDEX] = {}
    assert failing(world).keys() == {CLICKS, BOTS}


def test_clicks_that_the_days_totals_lack_are_told(world):
    rows = world.hbase.tables["clickstream_daily_metrics"]
    for cells in rows.values():
        cells[b"metrics:clicks"] = b"1"
    assert failing(world).keys() == {CLICKS}


@pytest.mark.parametrize("field", ["events", "clicks"])
def test_hours_that_do_not_add_up_to_their_day_are_told(world, field):
    alter(world, "hour", "utm_source", **{field: 9})
    assert failing(world) == {HOURS: "the hours' documents come to other sums than the day's in utm_source"}


def test_bots_that_the_books_do_not_count_are_told(world):
    alter(world, "day", "bot", events=5)
    alter(world, "hour", "bot", events=2)
    assert failing(world).keys() == {BOTS, HOURS}
    assert failing(world)[BOTS] == "5 events of bots in the documents, 2 in the books"


def test_bots_of_hours_that_were_enriched_before_they_were_counted_are_not_compared(world, monkeypatch):
    alter(world, "day", "bot", events=5)
    parts = world.books.ledger.parts([HOUR, HOUR + 1])
    uncounted = {
        hour: [replace(part, block=replace(part.block, bots=None)) for part in of] for hour, of in parts.items()
    }
    monkeypatch.setattr(world.books.ledger, "parts", lambda hours: uncounted)
    assert failing(world).keys() == {HOURS}


def test_a_day_whose_hours_have_moved_on_waits_and_is_not_called_wrong(world):
    world.visit(6, AT + 2, "crawler", agent=GOOGLEBOT)
    world.visit(7, AT + 2, "eve")
    world.ingest()
    world.enrich()
    assert failing(world) == {}, "enriched, and not computed"
    world.compute()
    assert failing(world) == {}, "computed, and not rolled up"
    world.roll_up()
    assert failing(world) == {}, "rolled up, and its dimensions not written"
    world.books.days.mark_dimensions(DAY, world.books.days.read([DAY])[DAY].rolled_up_ms)
    assert failing(world).keys() == {CLICKS, BOTS}, "said to be written, and not"
    world.write_dimensions()
    assert failing(world) == {}
