"""Watermarks only rise, and lag is told in events and in seconds."""

import pytest

from clickstream_assets.domain.ledger import READ, Entry, Ledger
from clickstream_assets.domain.watermarks import PartitionProgress, Watermarks, progress_by_partition
from clickstream_assets_tests.domain.test_ledger import FakeHBase

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
    entry = Entry("id", 0, 0, 10, READ, read=10, kept_by_hour={NOW // 3_600_000: 10})
    ledger.write([entry])
    Watermarks(hbase, "ledger").advance("id", {0: NOW, 1: NOW})
    assert list(ledger.entries()) == [entry]
    assert (ledger.end("id", 0), ledger.end("id", 1)) == (10, None)


class Topic:
    """Two partitions: what Kafka knows of them."""

    asked = None

    def topic_id(self):
        return "id"

    def committed(self, partitions):
        return {0: 100, 1: None}

    def earliest(self, partitions):
        return {0: 120, 1: 0}

    def record_times(self, offsets):
        self.asked = offsets
        return {0: NOW - 90_000}


def test_progress_tells_what_waits_and_since_when(hbase):
    marks, topic = Watermarks(hbase, "ledger"), Topic()
    marks.advance("id", {0: NOW - 100_000})
    found = progress_by_partition(topic, marks, begins={0: 100, 1: 0}, ends={1: 0, 0: 150})
    assert found == [
        PartitionProgress(0, 150, 100, lag=50, oldest_ms=NOW - 90_000, watermark_ms=NOW - 100_000),
        PartitionProgress(1, 0, None, lag=0, oldest_ms=None, watermark_ms=None),
    ]
    assert topic.asked == {0: 120}, "what retention took cannot be looked at"
    assert [p.lag_seconds(NOW) for p in found] == [90.0, 0.0]


def test_an_age_that_kafka_did_not_tell_is_not_made_up():
    assert PartitionProgress(0, 5, 0, lag=5, oldest_ms=None, watermark_ms=None).lag_seconds(NOW) is None


def test_a_record_from_a_clock_ahead_is_no_lag_below_zero():
    assert PartitionProgress(0, 5, 0, lag=5, oldest_ms=NOW + 9, watermark_ms=None).lag_seconds(NOW) == 0


def test_a_record_without_a_time_does_not_say_how_long_it_has_waited(hbase):
    class Topic:
        def committed(self, ends):
            return dict.fromkeys(ends)

        def earliest(self, ends):
            return dict.fromkeys(ends, 0)

        def record_times(self, offsets):
            return {0: -1, 1: NOW}

        def topic_id(self):
            return "id"

    timeless, timed = progress_by_partition(Topic(), Watermarks(hbase, "ledger"), {0: 0, 1: 0}, {0: 5, 1: 5})
    assert (timeless.lag, timeless.oldest_ms, timeless.lag_seconds(NOW + 1000)) == (5, None, None)
    assert timed.lag_seconds(NOW + 1000) == 1
