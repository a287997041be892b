"""The documents of dimensions, from messages: late events, kills, more values than have a document, hostile texts."""

import weakref

import pyarrow as pa
import pytest

from clickstream_assets.books import blocks
from clickstream_assets.books.checkpoints import Checkpoints, people_key
from clickstream_assets.events.days import day_of_hour, end_of_day_ms
from clickstream_assets.index import dimension_documents as module
from clickstream_assets.index.dimension_document_fields import DIMENSION_MAPPING, DIMENSIONS_VERSION
from clickstream_assets.index.dimension_documents import DimensionDay, dimension_documents, dimension_sums
from clickstream_assets.metrics import counting_dimensions
from clickstream_assets.metrics.counting_dimensions import count_dimensions
from clickstream_assets.metrics.dimension_totals import DIMENSION_TOTALS
from clickstream_assets_tests.fakes.dimensions_world import ALIAS, FIREFOX, DimensionsWorld, write_cities
from clickstream_assets_tests.fakes.metrics_world import BLOCKS, FIRST
from clickstream_assets_tests.fakes.servers import HOUR_MS, Killed
from clickstream_assets_tests.hard_cases import BRITISH, GERMAN, GOOGLEBOT

HOUR = FIRST + 3
DAY = day_of_hour(HOUR)
AT = HOUR * HOUR_MS
NEXT = HOUR_MS
INDEX = f"{ALIAS}-2026"


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("geoip") / "City.mmdb")


@pytest.fixture
def world(geoip, monkeypatch):
    """Two hours of a day and one of the next, with their documents."""
    world = DimensionsWorld(monkeypatch, geoip)
    mail = {"utm_source": "mail", "utm_medium": "news letter", "utm_campaign": "ü"}
    world.visit(1, AT, "ada", referrer="https://Search.example:443/?q=x", says={"referrer_host": "search.example"})
    world.visit(2, AT + 1, "ada", agent=FIREFOX)
    world.visit(3, AT + NEXT, "ada", url="x?utm_source=mail&utm_medium=news+letter&utm_campaign=%C3%BC", says=mail)
    world.visit(4, AT + NEXT + 1, "bob", ip=BRITISH, kind="scroll")
    world.visit(5, AT + NEXT + 2, "bob", ip=BRITISH, kind="click", agent=None)
    world.visit(6, AT + 2, "crawler", agent=GOOGLEBOT)
    world.visit(7, AT + NEXT + 3, "crawler", agent=GOOGLEBOT, kind="scroll")
    world.visit(8, AT + 24 * NEXT, "ada")
    world.all_steps()
    return world


def test_hours_and_days_come_to_what_the_messages_say(world):
    world.assert_dimensions()
    found = {(d["span"], d["dimension"], d["value"]): d for d in world.documents_of(DAY).values()}
    assert found["day", "browser", "Chrome"]["unique_users"] == 1
    assert (found["day", "bot", "Googlebot"]["events"], found["day", "bot", "Googlebot"]["clicks"]) == (2, 1)
    assert found["day", "event_type", "scroll"]["unique_users"] == 1


def test_what_stays_the_same_is_not_written(world):
    before, world.indices.writes = world.indices.found(INDEX), []
    assert {done["documents_written"] for done in world.write_dimensions().values()} == {0}
    assert world.indices.writes == []
    assert world.indices.found(INDEX) == before


def test_late_events_change_their_hour_and_its_day_and_nothing_else(world):
    world.indices.writes = []
    world.visit(9, AT + 3, "eve", kind="click")
    world.all_steps()
    world.assert_dimensions()
    stored = world.indices.found(INDEX)
    changed = {(stored[key]["start"], stored[key]["span"]) for _, key in world.indices.writes}
    assert changed == {("2026-11-20T03:00:00Z", "hour"), ("2026-11-20T00:00:00Z", "day")}


def test_what_a_hand_altered_added_or_deleted_is_put_right(world):
    stored = world.indices.documents[INDEX]
    keys = sorted(key for key, (_, document) in stored.items() if document["day"] == "2026-11-20")
    version, document = stored[keys[0]]
    stored[keys[0]] = version, document | {"clicks": 99}
    stored["made up"] = version, document | {"value": "made up"}
    del stored[keys[1]]
    elsewhere = f"{ALIAS}-copy"
    world.indices.mappings = {elsewhere: DIMENSION_MAPPING["properties"]} | world.indices.mappings
    world.indices.documents[elsewhere][keys[2]] = stored[keys[2]]
    done = world.write_dimensions(DAY)[DAY]
    assert (done["documents_written"], done["documents_left_over"]) == (2, 2)
    assert world.indices.found(elsewhere) == {}
    world.assert_dimensions()


@pytest.mark.parametrize("start", ["2026-11-20T01:00:00Z", "2026-11-20T23:00:00Z", "2026-11-20T03:30:00Z", None])
@pytest.mark.parametrize("span", ["hour", "day", "week"])
def test_a_document_that_a_hand_moved_to_another_span_is_put_back_and_its_copy_deleted(world, span, start):
    stored = world.indices.documents[INDEX]
    key = next(key for key, (_, document) in stored.items() if document["start"] == "2026-11-20T03:00:00Z")
    version, document = stored[key]
    stored[key] = stored["made up"] = version, document | {"span": span, "start": start}
    assert world.write_dimensions(DAY)[DAY]["documents_written"] == 1
    world.assert_dimensions()


def test_documents_are_held_of_one_start_at_a_time(world, monkeypatch):
    class Documents(dict):
        """To have a weak reference to."""

    def watched(*of):
        found = Documents(dimension_documents(*of))
        made.append(weakref.ref(found))
        alive.append(sum(of() is not None for of in made))
        return found

    made, alive = [], []
    monkeypatch.setattr(module, "dimension_documents", watched)
    world.write_dimensions(DAY)
    assert (len(alive), max(alive)) == (25, 2), "those before, until they are replaced"


def test_a_later_runs_document_is_not_written_over_by_one_that_was_overtaken(world):
    stored = world.indices.documents[INDEX]
    key = min(stored)
    stored[key] = world.version + 99, stored[key][1] | {"clicks": 99}
    world.write_dimensions()
    assert stored[key][1]["clicks"] == 99


@pytest.mark.parametrize("of_books", [True, False])
def test_killed_at_any_write_it_is_due_and_run_again_it_ends_right(world, of_books):
    for at in range(3):
        world.visit(20 + at, AT + 9 + at, f"v{at}", agent=FIREFOX if at else GOOGLEBOT)
    world.update()
    world.roll_up()
    stored = world.indices.documents[INDEX]
    stored["made up"] = next(of for of in stored.values() if of[1]["day"] == "2026-11-20")
    start, documents, kills = world.hbase.snapshot(), dict(stored), 0
    mortal = world.hbase if of_books else world.indices
    while True:
        world.hbase.restore(start)
        world.indices.documents[INDEX] = dict(documents)
        mortal.lives = kills
        try:
            world.write_dimensions(DAY)
        except Killed:
            kills += 1
            mortal.lives = None
            state = world.books.days.read([DAY])[DAY]
            assert state.is_stale(world.books.hours.read([HOUR]), DAY, world.hbase.clock())
            world.write_dimensions(DAY)
            world.assert_dimensions()
            state = world.books.days.read([DAY])[DAY]
            assert state.dimensions_ms == state.rolled_up_ms
            continue
        mortal.lives = None
        break
    assert kills == 1 if of_books else kills > 10


def test_values_beyond_a_thousand_are_one_and_come_back_by_their_clicks(world, monkeypatch):
    for at in range(1_001):
        campaign = f"c{at:04}"
        url = f"x?utm_campaign={campaign}"
        world.visit(100 + at, AT + at, f"v{at % 9}", url=url, says={"utm_campaign": campaign})
    world.all_steps()
    world.assert_dimensions()
    found = [d for d in world.documents_of(DAY).values() if (d["span"], d["dimension"]) == ("day", "utm_campaign")]
    assert len(found) == 1_001
    (other,) = (d for d in found if d["value"] == "(other)")
    # 1,001 campaigns, the one of the world, and none: three too many, those that come last by their name.
    assert (other["events"], other["clicks"], "unique_users" in other) == (3, 3, False)
    monkeypatch.setattr(counting_dimensions, "SLICE_BYTES", 20_000)
    assert {done["documents_written"] for done in world.write_dimensions().values()} == {0}, "of several tasks"
    for at in range(2):
        world.visit(9_000 + at, AT + at, "w", url="x?utm_campaign=c1000", says={"utm_campaign": "c1000"})
    world.all_steps()
    world.assert_dimensions()


HOSTILE = [
    ("\x01\x1b[31m", "%01%1B%5B31m"),
    ("é" * 128, "%C3%A9" * 200),
    ("\u202egpj.exe", "%E2%80%AEgpj.exe"),
    ("a|b", "a|b"),
    ("(other)", "(other)"),
    ("(none)", "(none)"),
    ('"<script>', "%22%3Cscript%3E"),
]


def test_texts_that_a_producer_makes_up_are_values_like_others(world):
    for at, (value, sent) in enumerate(HOSTILE):
        world.visit(50 + at, AT + at, f"v{at}", url=f"x?utm_source={sent}", says={"utm_source": value})
    for at, kind in enumerate(("\x7f\n", "x" * 128, "(other)", "day|2026")):
        world.visit(70 + at, AT + at, f"v{at}", kind=kind)
    world.all_steps()
    world.assert_dimensions()


def test_users_are_shared_out_to_tasks_and_come_to_the_same(world, monkeypatch):
    monkeypatch.setattr(counting_dimensions, "SLICE_BYTES", 300)
    assert {done["documents_written"] for done in world.write_dimensions().values()} == {0}
    for at in range(20):  # each user comes from two towns
        world.visit(100 + at, AT + at, f"v{at % 5}", ip=(GERMAN, BRITISH)[at // 5 % 2])
    world.spark.attempts = 2
    world.all_steps()
    world.assert_dimensions()


def test_an_audience_that_a_hand_changed_is_named_and_leaves_no_totals(world):
    place = Checkpoints(world.books).columns([HOUR])[HOUR].audience[0]
    world.change(BLOCKS, people_key(HOUR, place, "a"), {blocks.cell(0, "hour"): b"nothing"})
    totals, unfit = count_dimensions(world.spark, world.books, DAY)
    assert (len(totals), unfit) == (0, {HOUR})
    world.books.hours.doubt([HOUR])
    world.update(whole=[HOUR])
    world.roll_up()
    world.write_dimensions()
    world.assert_dimensions()


def test_an_hour_of_an_earlier_version_has_no_audience_and_is_named(world):
    Checkpoints(world.books).drop([HOUR + 1])
    assert count_dimensions(world.spark, world.books, DAY)[1] == {HOUR + 1}


def test_a_day_of_nobody_has_no_documents(world):
    world.books.hours.touch([FIRST + 26])
    world.update()
    totals, unfit = count_dimensions(world.spark, world.books, day_of_hour(FIRST + 24) + 9)
    assert (len(totals), unfit) == (0, set())
    world.roll_up()
    world.write_dimensions()
    world.assert_dimensions()


@pytest.mark.parametrize(
    ("rolled_up_ms", "wanted"),
    [
        (AT + HOUR_MS - 1, {"03": "open", "04": "open", "day": "open"}),
        (AT + HOUR_MS, {"03": "final", "04": "open", "day": "open"}),
        (end_of_day_ms(DAY) - 1, {"03": "final", "04": "final", "day": "open"}),
        (end_of_day_ms(DAY), {"03": "final", "04": "final", "day": "final"}),
    ],
)
def test_a_document_says_whether_its_span_had_ended(rolled_up_ms, wanted):
    row = {"dimension": "os", "value": "Linux", "events": 1, "clicks": 1, "unique_users": 1}
    totals = pa.Table.from_pylist([{"hour": hour, **row} for hour in (HOUR, HOUR + 1, None)], DIMENSION_TOTALS)
    documents = dimension_documents(totals, DimensionDay(DAY, rolled_up_ms, "run"), 7).values()
    assert {"day" if d["span"] == "day" else d["start"][11:13]: d["state"] for d in documents} == wanted
    assert {(d["computed_at"], d["run_id"], d["day"]) for d in documents} == {(7, "run", "2026-11-20")}


def test_indices_of_an_earlier_edition_get_the_fields_once(world):
    world.indices.templates[ALIAS]["version"] = DIMENSIONS_VERSION - 1
    world.indices.mappings[INDEX] = {"span": {"type": "keyword"}}
    world.write_dimensions()
    assert world.indices.mappings[INDEX] == DIMENSION_MAPPING["properties"]
    assert world.indices.templates[ALIAS]["version"] == DIMENSIONS_VERSION


def test_without_an_index_all_sums_are_empty(geoip, monkeypatch):
    with DimensionsWorld(monkeypatch, geoip).indices.client() as es:
        assert dimension_sums(es, ALIAS, [DAY]) == {DAY: {"hour": {}, "day": {}}}
