"""Watermarks only rise, and lag is told in events and in seconds."""

import pytest

from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.ledger_entries import READ, Entry, HourCounts
from clickstream_assets.books.resumption import PartitionProgress, Resumption, progress_by_partition
from clickstream_assets.books.watermarks import Watermarks
from clickstream_assets_tests.fakes.hbase import FakeHBase

NOW = 1_795_402_800_000


@pytest.fixture
def hbase():
    return FakeHBase()


def test_a_watermark_rises_and_never_falls(hbase):
    marks = Watermarks(hbase, "ledger")
    assert marks.read("id") == {}
    marks.advance("id", {0: 50, 7: 20})
    marks.advance("id", {0: 40, 7: 30, 11: 1})
    assert marks.read("id") == {0: 50, 7: 30, 11: 1}
    marks.advance("id", {})
    assert marks.read("id") == {0: 50, 7: 30, 11: 1}


def test_a_topic_made_anew_begins_without_watermarks(hbase):
    marks = Watermarks(hbase, "ledger")
    marks.advance("id", {0: 50})
    marks.advance("id2", {0: 10})
    assert (marks.read("id"), marks.read("id2"), marks.read("other")) == ({0: 50}, {0: 10}, {})


def test_the_ledger_beside_them_does_not_see_them(hbase):
    ledger = Ledger(hbase, "ledger")
    entry = Entry("id", 0, 0, 10, READ, read=10, hours={NOW // 3_600_000: HourCounts(kept=10)})
    ledger.write([entry])
    Watermarks(hbase, "ledger").advance("id", {0: NOW, 1: NOW})
    assert list(ledger.entries()) == [entry]
    assert (ledger.end("id", 0), ledger.end("id", 1)) == (10, None)


def resumed(begins, earliest, committed):
    return Resumption("id", begins, earliest, committed, frozenset(), [], [])


class Topic:
    """Kafka's answers of when records were stamped."""

    def __init__(self, times):
        self.times, self.asked = times, None

    def record_times(self, offsets):
        self.asked = offsets
        return self.times


def test_progress_tells_what_waits_and_since_when(hbase):
    marks, topic = Watermarks(hbase, "ledger"), Topic({0: NOW - 90_000})
    marks.advance("id", {0: NOW - 100_000})
    log = resumed(begins={0: 100, 1: 0}, earliest={0: 120, 1: 0}, committed={0: 100, 1: None})
    progress = progress_by_partition(topic, marks, log, ends={1: 0, 0: 150})
    assert progress == [
        PartitionProgress(0, 150, 100, lag=50, oldest_ms=NOW - 90_000, watermark_ms=NOW - 100_000),
        PartitionProgress(1, 0, None, lag=0, oldest_ms=None, watermark_ms=None),
    ]
    assert topic.asked == {0: 120}, "what retention took cannot be looked at"
    assert [p.lag_seconds(NOW) for p in progress] == [90.0, 0.0]


def test_an_age_that_kafka_did_not_tell_is_not_made_up():
    assert PartitionProgress(0, 5, 0, lag=5, oldest_ms=None, watermark_ms=None).lag_seconds(NOW) is None


def test_a_record_from_a_clock_ahead_is_no_lag_below_zero():
    assert PartitionProgress(0, 5, 0, lag=5, oldest_ms=NOW + 9, watermark_ms=None).lag_seconds(NOW) == 0


def test_a_record_without_a_time_does_not_say_how_long_it_has_waited(hbase):
    topic, start = Topic({0: -1, 1: NOW}), {0: 0, 1: 0}
    log = resumed(start, start, {0: None, 1: None})
    timeless, timed = progress_by_partition(topic, Watermarks(hbase, "ledger"), log, {0: 5, 1: 5})
    assert (timeless.lag, timeless.oldest_ms, timeless.lag_seconds(NOW + 1000)) == (5, None, None)
    assert timed.lag_seconds(NOW + 1000) == 1
