"""Who came with what and from where, by column, as hours grow, move and lose what they were made of."""

import pytest

from clickstream_assets.books import blocks
from clickstream_assets.books.checkpoints import Checkpoints, people_key
from clickstream_assets.enrich.enrichment import EnrichmentRules
from clickstream_assets.metrics.people_columns import WHO_CAME
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.metrics_world import BLOCKS, FIRST, MetricsWorld, bot, event, write_geoip
from clickstream_assets_tests.fakes.servers import HOUR_MS
from clickstream_assets_tests.hard_cases import BRITISH, GERMAN

HOUR = FIRST + 3
AT = HOUR * HOUR_MS


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = MetricsWorld(monkeypatch, write_geoip(tmp_path / "City.mmdb"))
    world.send(
        event("1", AT, "ada", referrer="https://Search.example/?q=x"),
        event("2", AT + 1, "ada", referrer="https://search.example/"),
        event("3", AT + 2, "ada", "x?utm_source=mail&utm_campaign=Spring%20sale"),
        event("4", AT + 3, "bob", event_type="scroll", ip=BRITISH),
        bot("5", AT + 4, "crawler"),
    )
    world.update()
    return world


def audience(world):
    """By user, in order, what differs between these users: city, referrer's host, campaign, events and clicks."""
    shown = ("user_key", "event_type", "city", "referrer_host", "utm_source", "utm_campaign", "bot", "events", "clicks")
    places = Checkpoints(world.books).columns([HOUR])[HOUR].audience
    rows = [row for place in places for row in WHO_CAME.read(world.hbase, BLOCKS, HOUR, place).to_pylist()]
    return sorted(tuple(row[name] for name in shown) for row in rows)


def test_events_of_a_user_that_agree_are_one_row_and_what_is_not_said_is_empty(world):
    assert audience(world) == [
        ("uada", "page_view", "", "", "mail", "Spring sale", False, 1, 1),
        ("uada", "page_view", "", "search.example", "", "", False, 2, 2),
        ("ubob", "scroll", "", "", "", "", False, 1, 0),
        ("ucrawler", "page_view", "", "", "", "", True, 1, 1),
    ]
    world.assert_golden()


def test_an_hour_of_many_runs_lies_in_a_few_places(world):
    for at in range(40):
        world.send(event(f"run-{at}", AT + at * 1_000, f"w{at}", "x"))
        world.update()
    places = Checkpoints(world.books).columns([HOUR])[HOUR].audience
    assert len(places) <= 6
    named = {people_key(HOUR, place, "a") for place in places}
    assert {key for key in world.hbase.tables[BLOCKS] if key.startswith(people_key(HOUR, places[0], "a")[:7])} == named
    world.assert_golden()


def test_cities_that_a_new_database_names_are_taken_over_though_no_metric_changes(world, tmp_path):
    records = {
        GERMAN: {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Cologne"}}},
        BRITISH: {"country": {"iso_code": "GB"}},
    }
    path = write_database(tmp_path / "Later.mmdb", records, built=8)
    world.geoip, world.rules = path, EnrichmentRules(str(path), (), ("GeoLite2-City 8", world.rules.versions[1]))
    before = world.plain()
    world.update(whole=[HOUR])
    assert world.plain() == before
    assert {city for user, _, city, *_ in audience(world) if user == "uada"} == {"Cologne"}
    world.assert_golden()


@pytest.mark.parametrize("of_block", [True, False])
def test_what_a_hand_changed_is_made_again(world, of_block):
    columns = Checkpoints(world.books).columns([HOUR])[HOUR]
    if of_block:
        (place,) = [place for place in world.places() if place.hour == HOUR]
        key, cell = blocks.row_key(place), blocks.cell(0, blocks.OF_AUDIENCE)
    else:
        key, cell = people_key(HOUR, columns.audience[0], "a"), blocks.cell(0, "hour")
    assert world.hbase.tables[BLOCKS][key][cell]
    world.change(BLOCKS, key, {cell: b"nothing"})
    world.send(*(event(f"late {at}", AT + 9, f"eve {at}") for at in range(9)))
    world.ingest()
    world.enrich()
    world.compute(whole=[HOUR] if of_block else ())
    world.assert_golden()
    world.assert_blocks_are_the_rows()
