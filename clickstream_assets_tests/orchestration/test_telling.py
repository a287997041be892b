"""What the sensor tells of hours that no run is at."""

import logging
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from elasticsearch.helpers import BulkIndexError

from clickstream_assets.assets import hours_index
from clickstream_assets.assets.hours_index import to_tell
from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.misfits import Misfit
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.index import hour_documents
from clickstream_assets.orchestration import telling
from clickstream_assets.orchestration.planning import Look
from clickstream_assets.orchestration.telling import tell_changed
from clickstream_assets.orchestration.turns import Turn
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR = 500_000
NOW = HOUR * 3600 + 1800.0
LIMITS = Settings(first_hour=key_of_hour(HOUR - 100))
STEPS = ("enriched", "computed", "indexed")


class Elasticsearch:
    """Takes documents while it is up."""

    def __init__(self):
        self.told, self.is_up, self.asked, self.misfits = {}, True, 0, []

    @contextmanager
    def quick_client(self):
        self.asked += 1
        if not self.is_up:
            raise ConnectionError("nobody answers")
        yield self

    def behind(self, indices):
        assert indices.alias == LIMITS.hours_alias
        return SimpleNamespace(misfits=lambda: self.misfits)


class World:
    def __init__(self, monkeypatch):
        self.books, self.es = Books(FakeHBase(), TableNames.of()), Elasticsearch()
        self.patch = monkeypatch.setattr
        self.patch(hour_documents, "write_hours", lambda es, alias, documents, _: es.told.update(documents))

    def up_to_date(self, *hours):
        states = self.books.hours
        states.touch(hours)
        touched = {hour: state.touched for hour, state in states.read(hours).items()}
        for step in (*STEPS, "closed"):
            states.mark(step, {hour: n for hour, n in touched.items() if step != "closed" or hour < HOUR})

    def tick(self, *, now=NOW, busy=range(0)):
        """States by hour that a look tells of."""
        self.es.told.clear()
        self.patch(hours_index, "time", lambda: now)
        look = Look(None, LIMITS, None, now, Turn(busy=busy))
        tell_changed(look, self.books, self.books.hours.all(), "log", 5, self.es)
        return {hour - HOUR: document["state"] for hour, document in self.es.told.items()}


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_each_hour_is_told_of_once_and_elasticsearch_not_asked_while_nothing_changes(world):
    world.up_to_date(HOUR - 1, HOUR)
    assert world.tick() == {-1: "final", 0: "open"}
    assert {document["lag"] for document in world.es.told.values()} == {5}
    asked = world.es.asked
    assert world.tick() == {}
    assert world.es.asked == asked


def test_hours_that_end_become_stale_are_held_or_released_are_told_of_without_a_run(world):
    states, later = world.books.hours, NOW + 3600
    world.up_to_date(HOUR - 2, HOUR - 1, HOUR)
    world.tick()
    assert world.tick(now=later) == {0: "stale"}, "its documents still say that it is open"
    states.mark("closed", {HOUR: 1})
    assert world.tick(now=later) == {0: "final"}
    states.touch([HOUR - 1])
    assert world.tick(now=later) == {-1: "stale"}
    states.hold("raw_clicks", states.read([HOUR - 2]), {HOUR - 2: ["books_balance"]})
    assert world.tick(now=later) == {-2: "held"}
    states.hold("raw_clicks", states.read([HOUR - 2]), {})
    world.up_to_date(HOUR - 1)
    assert world.tick(now=later) == {-2: "final", -1: "final"}


def test_what_checks_or_roll_ups_say_anew_is_told(world):
    states = world.books.hours
    world.up_to_date(HOUR - 1)
    world.tick()
    states.remember_users({HOUR - 1: (12, 1)})
    assert world.tick() == {-1: "final"}
    assert world.es.told[HOUR - 1]["unique_users"] == 12
    states.remember_checks("es_index", states.read([HOUR - 1]), {HOUR - 1: {"documents_match": "they differ"}})
    assert world.tick() == {-1: "final"}
    assert world.es.told[HOUR - 1]["failed_checks"] == ["es_index.documents_match: they differ"]
    states.remember_checks("es_index", states.read([HOUR - 1]), {HOUR - 1: {"documents_match": "they differ"}})
    assert world.tick() == {}, "that is nothing new"


def test_hours_that_a_run_is_at_are_left_to_it(world):
    world.up_to_date(HOUR - 2, HOUR - 1, HOUR)
    assert world.tick(busy=range(HOUR - 1, HOUR + 1)) == {-2: "final"}
    assert world.tick() == {-1: "final", 0: "open"}


def test_hours_of_which_nothing_is_known_or_before_the_first_have_no_document(world):
    states = world.books.hours
    states.remember_clicks({HOUR - 1: 0})
    states.touch([HOUR - 101])
    assert world.tick() == {}
    states.hold("raw_clicks", states.read([HOUR - 1]), {HOUR - 1: ["books_balance"]})
    assert world.tick() == {-1: "held"}


def test_without_elasticsearch_the_tick_goes_on_and_the_next_ones_tell(world):
    world.up_to_date(HOUR - 1)
    world.es.is_up = False
    assert world.tick() == {}
    world.es.is_up = True
    assert world.tick() == {-1: "final"}


def test_where_indices_of_hours_do_not_fit_the_sentence_is_told_else_the_error(world, caplog):
    def refuse(*_):
        raise BulkIndexError("1 document(s) failed to index.", [])

    world.up_to_date(HOUR - 1)
    world.patch(hour_documents, "write_hours", refuse)
    world.es.misfits = [Misfit("It is odd.", False)]
    with caplog.at_level(logging.WARNING):
        world.tick()
        assert "1 hours not told of in clickstream-hours: BulkIndexError: " in caplog.text
        caplog.clear()
        world.es.misfits.append(Misfit("It is taken.", True))
        world.tick()
        assert "1 hours not told of in clickstream-hours: It is taken.\n" in caplog.text


def test_a_tick_over_very_many_hours_ends_in_time_with_the_latest_told(world, monkeypatch):
    world.up_to_date(*range(HOUR - 50, HOUR))
    seconds = iter(range(100))
    monkeypatch.setattr(telling, "monotonic", lambda: next(seconds) * 0.7)
    assert list(world.tick()) == list(range(-1, -21, -1))
    assert len(to_tell(world.books.hours.all(), int(NOW * 1000))) == 30
    assert list(world.tick()) == list(range(-21, -41, -1))
