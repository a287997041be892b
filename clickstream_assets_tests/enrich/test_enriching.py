"""Rows enriched and blocks made: from the events that ingestion left, and from the rows alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books import blocks
from clickstream_assets.books.table_schemas import CLICKS as CLICKS_TABLE
from clickstream_assets.enrich import enriching, from_rows
from clickstream_assets.enrich.enrichment import OUTPUT, EnrichmentRules, EnrichmentUnfit
from clickstream_assets.ingest import offset_plan
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.metrics_world import BLOCKS, FIRST, MetricsWorld, bot, event, write_geoip
from clickstream_assets_tests.fakes.servers import CLICKS, HOUR_MS
from clickstream_assets_tests.hard_cases import BRITISH, CHROME, GERMAN

HOUR = FIRST + 3
AT = HOUR * HOUR_MS
CELL = {name: column.key for name, column in CLICKS_TABLE.columns.items()}
EVENTS = (
    event("1", AT, "ada"),
    event("2", AT + 1, "bob", ip=BRITISH),
    bot("3", AT + 2, "crawler"),
    event("4", AT + 3, "cid", ip=None, user_agent=None),
    event(None, AT + HOUR_MS, "ada", event_type="scroll"),
    event("1", AT, "ada"),
)


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    return write_geoip(tmp_path_factory.mktemp("geoip") / "City.mmdb")


@pytest.fixture
def world(geoip, monkeypatch):
    world = MetricsWorld(monkeypatch, geoip)
    world.send(*EVENTS)
    world.ingest()
    return world


def enriched_cells(world):
    """Cells beside the rows, by event id."""
    names = {"event_id", *OUTPUT}
    rows = [CLICKS_TABLE.decode(cells) for cells in world.rows().values()]
    return {row.get("event_id"): {name: row[name] for name in row.keys() & names - {"event_id"}} for row in rows}


def audited(world):
    """By hour, what an audit finds: rows, and how many parts."""
    before = world.hbase.snapshot()[0]
    results = enriching.audit(world.spark, world.books, world.hours, world.rules)
    assert world.hbase.tables == before
    return {hour: (of.rows, len(of.parts[hour])) for hour, of in results.items()}


def without_events(world):
    """Blocks have to be made of rows."""
    for key in list(world.hbase.tables[BLOCKS]):
        world.change(BLOCKS, key, deletes=(b"todo",))


@pytest.mark.parametrize("way", ["events", "rows"])
def test_every_row_gets_every_column_and_every_part_a_block(world, way):
    if way == "rows":
        without_events(world)
    done = world.enrich()
    assert done.rows == 5
    assert {hour: len(parts) for hour, parts in done.parts.items()} == {HOUR: 1, HOUR + 1: 1}
    assert [set(cells) for cells in enriched_cells(world).values()] == [set(OUTPUT)] * 5
    assert {
        key: (cells["country"], cells["bot"], cells["browser"]) for key, cells in enriched_cells(world).items()
    } == {
        "1": ("DE", "false", "Chrome"),
        "2": ("GB", "false", "Chrome"),
        "3": ("DE", "true", "Googlebot"),
        "4": ("ZZ", "false", "Other"),
        None: ("DE", "false", "Chrome"),
    }
    world.assert_blocks_are_the_rows()
    (part,) = world.ledger.parts([HOUR])[HOUR]
    assert (part.block.clicks, part.block.first_ms, part.block.enriched_by) == (3, AT, world.rules.by)
    assert world.enrich().rows == 0, "what is enriched is left as it is"


def test_the_hour_behind_is_enriched_too(world):
    """Time spent has to know the bots there."""
    enriching.enrich(world.spark, world.books, [HOUR], world.rules, ())
    world.assert_blocks_are_the_rows()


def test_what_is_new_is_enriched_and_nothing_else_is_read(world, monkeypatch):
    world.enrich()
    world.send(event("9", AT + 9))
    world.ingest()
    monkeypatch.setattr(from_rows, "scan_tasks", lambda *of: pytest.fail("scanned"))
    done = world.enrich()
    assert (done.rows, len(done.parts[HOUR])) == (1, 1)
    world.assert_blocks_are_the_rows()


def test_an_hour_enriched_whole_has_the_same_blocks_and_changes_no_row(world):
    world.enrich()
    places, rows = world.places(), world.rows()
    done = world.enrich(whole=world.hours)
    assert (world.places(), world.rows()) == (places, rows)
    assert {hour: len(parts) for hour, parts in done.parts.items()} == {HOUR: 1, HOUR + 1: 1}


@pytest.mark.slow
@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 3).map(lambda ago: AT + ago * HOUR_MS),
                st.sampled_from(["a", "b", "c" * 99]),
                st.sampled_from(["", "x" * 300]),
                st.sampled_from([GERMAN, BRITISH, None]),
                st.booleans(),
            ),
            max_size=12,
        ),
        max_size=3,
    ),
    st.sampled_from([1_000, 3_000, 4 << 20]),
    st.sampled_from([3, 25_000]),
)
def test_an_audit_of_what_nobody_changed_finds_nothing_however_it_was_cut(geoip, drawn, cell_bytes, task_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enriching, "TASK_ROWS", task_rows)
        world = MetricsWorld(patch, geoip)
        for batch in drawn:
            patch.setattr(blocks, "CELL_BYTES", cell_bytes)
            values = [
                (bot if is_bot else event)(None, at, user, url, ip=ip)
                for at, user, url, ip, is_bot in batch
                if not is_bot or ip
            ]
            world.send(*values)
            world.ingest()
            world.enrich()
        world.assert_blocks_are_the_rows()
        assert audited(world) == dict.fromkeys(world.hours, (0, 0))


@pytest.mark.slow
def test_a_full_part_has_one_block_whichever_way_it_is_made(geoip, monkeypatch):
    """Its events with their long agents take several cells."""
    monkeypatch.setattr(offset_plan, "MAX_RANGE", 400)
    monkeypatch.setattr(blocks, "CELL_BYTES", 30_000)
    world = MetricsWorld(monkeypatch, geoip)
    world.send(*(event(None, AT + at, f"user {at}", user_agent=CHROME + " " * (at % 7)) for at in range(400)))
    world.update()
    (part,) = world.ledger.parts([HOUR])[HOUR]
    assert part.events.cells > 2
    assert part.block.cells.cells == 1
    assert audited(world)[HOUR] == (0, 0)


def test_an_audit_names_enriched_cells_that_a_hand_changed_or_deleted_and_it_is_healed(world):
    world.enrich()
    before = world.rows()
    by_id = {cells.get(CELL["event_id"]): key for key, cells in before.items()}
    first, second = by_id[b"1"], by_id[b"4"]
    world.change(CLICKS, first, {CELL["country"]: b"XX"})
    world.change(CLICKS, second, deletes=(b"user_agent_data",))
    hours = {key: int.from_bytes(key[1:5], "big") for key in (first, second)}
    results = enriching.audit(world.spark, world.books, world.hours, world.rules)
    assert sorted(name for of in results.values() for name in of.named) == sorted([first.hex(), second.hex()])
    assert {hour: of.rows for hour, of in results.items() if of.rows} == {
        hour: list(hours.values()).count(hour) for hour in hours.values()
    }
    assert all(not parts for of in results.values() for parts in of.parts.values()), "blocks are right"
    world.enrich(whole=world.hours)
    assert world.rows() == before


@pytest.mark.parametrize(
    ("change", "blocks_differ"),
    [({"url": b"https://h.example/other"}, True), ({"event_type": b"scroll"}, True), ({"referrer": b"r"}, False)],
)
def test_an_audit_finds_blocks_that_are_not_those_of_the_rows(world, change, blocks_differ):
    world.enrich()
    key = next(key for key, cells in world.rows().items() if cells.get(CELL["event_id"]) == b"1")
    world.change(CLICKS, key, {CELL[name]: value for name, value in change.items()})
    assert audited(world)[HOUR] == (0, int(blocks_differ))


def test_a_row_that_a_hand_put_or_deleted_is_found_by_an_audit(world):
    world.enrich()
    key = next(key for key, cells in world.rows().items() if cells.get(CELL["event_id"]) == b"1")
    world.change(CLICKS, key, deletes=tuple(family.encode() for family in CLICKS_TABLE.families))
    assert audited(world)[HOUR] == (0, 1)
    for place in world.places():
        if place.hour == HOUR:
            world.change(CLICKS, key[:5] + bytes(16), {CELL["timestamp"]: b"1"})
    assert audited(world)[HOUR] == (0, 1), "a row of no message is in no block"


def test_a_row_whose_request_data_has_expired_keeps_what_it_has(world, tmp_path):
    world.enrich()
    before = world.rows()
    for key in before:
        world.change(CLICKS, key, deletes=(b"request_data",))
    without_events(world)
    moved = write_database(tmp_path / "City.mmdb", {GERMAN: {"country": {"iso_code": "FR"}}}, built=8)
    world.rules = EnrichmentRules(str(moved), (), ("GeoLite2-City 8", world.rules.versions[1]))
    done = world.enrich(whole=world.hours)
    # Event 4 had neither address nor agent: what it has expired too, as far as anybody can tell.
    assert done.rows == 0
    enriched = tuple(CELL[name] for name in OUTPUT)
    assert {key: {c: cells[c] for c in enriched} for key, cells in world.rows().items()} == {
        key: {c: cells[c] for c in enriched} for key, cells in before.items()
    }
    world.assert_blocks_are_the_rows()


def test_new_versions_enrich_anew_what_is_still_there_to_be_looked_up(world, tmp_path):
    world.enrich()
    moved = write_database(tmp_path / "City.mmdb", {GERMAN: {"country": {"iso_code": "FR"}}}, built=8)
    world.rules = EnrichmentRules(str(moved), (), ("GeoLite2-City 8", world.rules.versions[1]))
    done = enriching.enrich(world.spark, world.books, [HOUR], world.rules, ())
    assert {len(parts) for parts in done.parts.values()} == {1}
    assert enriched_cells(world)["1"]["country"] == "FR"
    assert enriched_cells(world)["2"]["country"] == "ZZ"
    world.assert_blocks_are_the_rows()


def test_a_worker_that_cannot_enrich_by_these_versions_enriches_nothing(world):
    before = world.hbase.snapshot()[0]
    world.rules = EnrichmentRules(world.rules.geoip_database, (), ("GeoLite2-City 9", world.rules.versions[1]))
    for whole in ((), world.hours):
        with pytest.raises(EnrichmentUnfit, match=r"has GeoLite2-City 7 in .* and the run wants GeoLite2-City 9"):
            enriching.enrich(world.spark, world.books, world.hours, world.rules, whole)
    assert world.hbase.tables == before


def test_killed_at_any_write_from_rows_and_run_again_it_ends_the_same(world):
    world.enrich()
    rows, places = world.rows(), world.places()
    without_events(world)
    for key in world.rows():
        world.change(CLICKS, key, deletes=(b"geo_data",))
    for _ in world.killed_at_each_write_of(lambda: world.enrich(whole=world.hours)):
        world.enrich(whole=world.hours)
        assert (world.rows(), world.places()) == (rows, places)
        world.assert_blocks_are_the_rows()
