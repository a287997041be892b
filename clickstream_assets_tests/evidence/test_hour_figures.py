"""What the books count in an hour, for its document."""

from dataclasses import replace

import pytest

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.ledger_entries import READ, Block, Cells, Entry, HourCounts
from clickstream_assets.evidence import hour_figures as module
from clickstream_assets.evidence.hour_figures import hour_figures
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR = 500_000
REASONS = {"wrong_type": 2, "too_old": 1}


@pytest.fixture
def books():
    return Books(FakeHBase(), TableNames.of())


@pytest.fixture
def counted(monkeypatch):
    """The hours whose letters were looked at one by one."""
    asked = []

    def look(books, parts, first_hour):
        asked.extend(parts)
        return dict.fromkeys(parts, REASONS)

    monkeypatch.setattr(module, "refused_by_reason", look)
    return asked


def book(books, first, **counts):
    """An entry of one hour."""
    of_hour = HourCounts(**counts)
    read = of_hour.kept + of_hour.duplicates + of_hour.dead_lettered
    books.ledger.write([Entry("log", 0, first, first + read, READ, read, {HOUR: of_hour})])


def figures(books, hour=HOUR):
    return hour_figures(books, books.hours.read([hour]), 0)[hour]


def name_blocks(books, *bots):
    parts = books.ledger.parts([HOUR])[HOUR]
    of_part = [
        (part, Block(part.version, "v", clicks=1, first_ms=0, cells=Cells("d", 1, 1, 1, 1), bots=n))
        for part, n in zip(parts, bots, strict=False)
    ]
    books.ledger.name_blocks({HOUR: of_part})


def test_parts_of_the_ledger_add_up(books, counted):
    book(books, 0, kept=3, late=1, duplicates=1)
    book(books, 4, kept=2, late=2)
    found = figures(books)
    assert found.counts == HourCounts(kept=5, late=3, duplicates=1)
    assert found.refused_by_reason == {}
    assert counted == [], "there are none"
    assert figures(books, HOUR + 1).counts == HourCounts()


def test_bots_are_those_of_the_events_that_are_enriched(books):
    book(books, 0, kept=3)
    book(books, 3, kept=2)
    assert figures(books).bots == 0
    name_blocks(books, 2)
    assert figures(books).bots == 2
    name_blocks(books, 2, 1)
    assert figures(books).bots == 3


def test_bots_are_unknown_where_some_were_enriched_before_they_were_counted(books):
    book(books, 0, kept=3)
    book(books, 3, kept=2)
    name_blocks(books, 2, 1)
    parts = books.ledger.parts([HOUR])[HOUR]
    books.ledger.name_blocks({HOUR: [(parts[1], replace(parts[1].block, bots=None))]})
    assert figures(books).bots is None


def test_reasons_are_those_that_a_run_has_kept(books, counted):
    book(books, 0, dead_lettered=3)
    books.hours.remember_refusals({HOUR: {"too_large": 3}})
    assert figures(books).refused_by_reason == {"too_large": 3}
    assert counted == []


def test_reasons_that_nobody_has_kept_are_looked_for_once(books, counted):
    book(books, 0, dead_lettered=3)
    assert figures(books).refused_by_reason == figures(books).refused_by_reason == REASONS
    assert counted == [HOUR]


def test_of_very_many_letters_only_the_number_is_told(books, counted):
    book(books, 0, dead_lettered=100_001)
    assert figures(books).refused_by_reason is None
    assert figures(books).counts.dead_lettered == 100_001
    assert counted == []
