"""Where record times begin, found by looks at single batches."""

from collections import Counter
from time import monotonic
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecordsBuilder

from clickstream_assets.orchestration.run_plan import plan_backlog
from clickstream_assets.stores.kafka import looks
from clickstream_assets.stores.kafka.batches import MOST_OPENED_BYTES
from clickstream_assets.stores.kafka.looks import MOST_ROUNDS, Looks, Span, boundaries
from clickstream_assets_tests.fakes.kafka_batches import compressed, fetched, plain, with_body
from clickstream_assets_tests.integration.hostile_batches import batch as hostile

steady = settings(deadline=None, max_examples=100, derandomize=True)
MIB = 1 << 20
ZSTD = 4


def batch_of(records):
    """A batch of (offset, time); between offsets that do not touch, compaction took some."""
    base = records[0][0]
    builder = MemoryRecordsBuilder(2, 0, 1 << 40)
    at = base
    for offset, time_ms in records:
        if offset > at:
            builder.skip(offset - at)
        builder.append(time_ms, None, b"v", [])
        at = offset + 1
    builder.close()
    raw = bytes(builder.buffer())
    return with_body(raw, 0, raw[DefaultRecordBatch.HEADER_STRUCT.size :], base_offset=base)


class Consumer:
    """KafkaConsumer's calls on batches by partition. Between and behind them, offsets hold no record."""

    def __init__(self, logs, ends, silent=()):
        self.logs = {p: [fetched(raw) for raw in raws] for p, raws in logs.items()}
        self.ends, self.silent, self.fetches = ends, silent, Counter()
        self.at, self.paused = {}, set()

    def assign(self, partitions):
        self.paused &= set(partitions)  # it keeps what it knows of those that stay
        self.at = dict.fromkeys(partitions)

    def resume(self, *partitions):
        self.paused -= set(partitions)

    def seek(self, tp, offset):
        assert offset < self.ends[tp.partition]
        self.at[tp] = offset

    def pause(self, tp):
        self.paused.add(tp)

    def position(self, tp):
        return self.at[tp]

    def poll(self, timeout_ms):
        polled = {}
        for tp, at in self.at.items():
            if tp in self.paused or tp.partition in self.silent:
                continue
            self.fetches[tp.partition] += 1
            batch = next((batch for batch in self.logs[tp.partition] if batch.next_offset > at), None)
            self.at[tp] = self.ends[tp.partition] if batch is None else batch.next_offset
            if batch is not None:
                polled[tp] = list(batch)
        return polled


class Log:
    """Partitions of records (offset, time) in batches, looked at as a client does."""

    def __init__(self, partitions, ends, silent=()):
        self.records = {p: [record for records in batches for record in records] for p, batches in partitions.items()}
        logs = {p: [batch_of(records) for records in batches] for p, batches in partitions.items()}
        self.consumer, self.ends = Consumer(logs, ends, silent), ends
        self.looks = Looks("t", lambda: self.consumer)

    def offsets_at(self, time_ms, begins=None):
        begins = begins or dict.fromkeys(self.ends, 0)
        return boundaries(time_ms, begins, self.ends, self.looks.look, self.looks.within)


@st.composite
def logs(draw, rising):
    """Up to three partitions of batches of one to five records, with gaps within, between and behind them."""
    partitions, ends = {}, {}
    for p in range(draw(st.integers(1, 3))):
        sizes = draw(st.lists(st.integers(1, 5), max_size=8))
        times = draw(st.lists(st.integers(-1, 40), min_size=sum(sizes), max_size=sum(sizes)))
        at, left = 0, iter(sorted(times) if rising else times)
        partitions[p] = []
        for size in sizes:
            records = []
            for _ in range(size):
                at += draw(st.sampled_from([0, 0, 0, 1, 4]))
                records.append((at, next(left)))
                at += 1
            partitions[p].append(records)
        ends[p] = at + draw(st.integers(0, 3))
    return Log(partitions, ends)


TIMES = st.lists(st.integers(-1, 41), min_size=1, max_size=8)


@pytest.mark.slow
@steady
@given(logs(rising=True), TIMES, st.data())
def test_where_times_rise_earlier_records_lie_before_the_boundary_and_later_ones_behind_it(log, times, data):
    begins = {p: data.draw(st.integers(0, end)) for p, end in log.ends.items()}
    for time_ms in times:
        for p, boundary in log.offsets_at(time_ms, begins).items():
            unread = [(at, recorded) for at, recorded in log.records[p] if at >= begins[p]]
            assert [at for at, recorded in unread if recorded >= time_ms] == [at for at, _ in unread if at >= boundary]
            assert begins[p] <= boundary <= log.ends[p]
            if unread and unread[-1][1] < time_ms:
                assert boundary == log.ends[p], "what holds no record at the end is read with the rest"


@pytest.mark.slow
@steady
@given(logs(rising=False), TIMES)
def test_however_times_jump_boundaries_lie_within_and_never_before_those_of_earlier_times(log, times):
    last = dict.fromkeys(log.ends, 0)
    for time_ms in sorted(times):
        at = log.offsets_at(time_ms)
        assert all(last[p] <= at[p] <= end for p, end in log.ends.items())
        last = at


@pytest.mark.slow
@steady
@given(logs(rising=False), st.integers(1, 30), st.integers(1, 20))
def test_however_times_jump_run_after_run_reads_every_offset_once(log, max_events, max_hours):
    at, runs = dict.fromkeys(log.ends, 0), 0
    while plan := plan_backlog(
        at,
        log.ends,
        lambda hour, at=at: log.offsets_at(hour, at),
        first_hour=3,
        last_hour=35,
        max_events=max_events,
        max_hours=max_hours,
    ):
        assert 3 <= plan.first <= plan.last <= 35
        assert plan.last - plan.first < max_hours
        assert all(at[p] <= end <= log.ends[p] for p, end in plan.until.items())
        assert sum(end - at[p] for p, end in plan.until.items()) > 0, "each run reads something"
        at, runs = at | plan.until, runs + 1
        assert runs <= sum(log.ends.values())
    assert at == log.ends


def test_what_is_unread_of_this_hour_takes_a_look_at_the_first_record_and_at_the_last():
    batches = [[(10 * i + j, 100 + i) for j in range(10)] for i in range(60)]
    log = Log(dict.fromkeys(range(8), batches), dict.fromkeys(range(8), 600))
    for time_ms in (90, 100, *range(50)):
        assert log.offsets_at(time_ms) == dict.fromkeys(range(8), 0)
    assert set(log.consumer.fetches.values()) == {1}
    for time_ms in (160, 1_000, 170):
        assert log.offsets_at(time_ms) == dict.fromkeys(range(8), 600)
    assert log.looks.times(dict.fromkeys(range(8), 0), log.ends) == dict.fromkeys(range(8), 100)
    assert set(log.consumer.fetches.values()) == {2}


def test_questions_share_their_looks():
    log = Log({0: [[(i, i)] for i in range(1_000)]}, {0: 1_000})
    for _ in range(2):
        assert [log.offsets_at(time_ms)[0] for time_ms in range(500, 520)] == list(range(500, 520))
    assert log.consumer.fetches[0] <= 2 * 20, "each of them alone takes a dozen"


def test_any_log_takes_a_bounded_number_of_rounds():
    end = (1 << 62) + 12_345
    asked = []

    def look(offsets, ends):
        asked.append(offsets)
        return {p: Span(at, at, at + 1, at, at) for p, at in offsets.items()}

    assert boundaries(987_654_321, {0: 0}, {0: end}, look, None) == {0: 987_654_321}
    assert len(asked) <= MOST_ROUNDS


@pytest.mark.slow
def test_a_partition_that_gives_nothing_keeps_its_lower_bound_and_costs_a_second_once(monkeypatch):
    monkeypatch.setattr(looks, "_LOOK_SECONDS", 1.0)
    log = Log({p: [[(i, i)] for i in range(100)] for p in range(2)}, {0: 100, 1: 100}, silent={1})
    began = monotonic()
    assert [log.offsets_at(time_ms, {0: 7, 1: 8}) for time_ms in (50, 60, 70)] == [{0: t, 1: 8} for t in (50, 60, 70)]
    assert log.looks.times({0: 7, 1: 8}, log.ends) == {0: 7}
    assert 1 <= monotonic() - began < 2


def test_where_no_record_is_left_nobody_waits(monkeypatch):
    monkeypatch.setattr(looks, "_LOOK_SECONDS", 1_000)
    log = Log({0: [[(0, 5), (1, 6)]], 1: []}, {0: 40, 1: 40})
    assert log.offsets_at(6) == {0: 1, 1: 0}
    assert log.offsets_at(7) == {0: 40, 1: 0}
    assert log.offsets_at(7, {0: 2, 1: 3}) == {0: 2, 1: 3}
    assert log.looks.times({0: 1, 1: 0}, log.ends) == {0: 6}


def test_what_was_seen_to_be_the_end_is_looked_at_again_once_there_is_more():
    log = Log({0: [[(0, 5)]]}, {0: 3})
    assert log.offsets_at(9) == {0: 3}
    log.consumer.ends = log.ends = {0: 5}
    assert [log.offsets_at(9), log.offsets_at(9)] == [{0: 5}] * 2
    assert log.looks.times({0: 2}, log.ends) == {}
    log.consumer.logs[0].append(fetched(batch_of([(6, 9)])))
    log.consumer.ends = log.ends = {0: 7}
    assert log.offsets_at(9) == {0: 6}
    assert log.looks.times({0: 2}, log.ends) == {0: 9}


def look_at(raw, end, time_ms):
    consumer = Consumer({0: [raw]}, {0: end})
    seen = Looks("t", lambda: consumer)
    return boundaries(time_ms, {0: 0}, {0: end}, seen.look, seen.within)[0]


def test_by_the_brokers_time_a_batch_has_one_for_all_its_records():
    raw = compressed(plain([b"v"] * 5, time_ms=1_000), ZSTD, append_time=True)
    assert [look_at(raw, 5, time_ms) for time_ms in (1_002, 1_004, 1_005)] == [0, 0, 5]


@pytest.fixture
def opened(monkeypatch):
    """How many records were taken out of batches."""
    count, messages_of = SimpleNamespace(records=0), looks.messages_of

    def counted(*arguments, **options):
        for message in messages_of(*arguments, **options):
            count.records += 1
            yield message

    monkeypatch.setattr(looks, "messages_of", counted)
    return count


@pytest.mark.slow
def test_a_batch_is_opened_only_if_the_boundary_lies_in_it(opened):
    bomb = hostile(ZSTD, 70, lambda _: bytes(6 * MIB), 1_000)
    assert 70 * 6 * MIB > MOST_OPENED_BYTES
    assert [look_at(bomb, 70, time_ms) for time_ms in (0, 1_000, 1_070)] == [0, 0, 70]
    assert opened.records == 0
    assert look_at(bomb, 70, 1_030) == 30
    assert opened.records == 31
    assert look_at(bomb, 70, 1_069) == 42, "behind what is opened, records have the batch's latest time"


def test_of_a_batch_so_many_records_are_looked_at_and_so_long(opened, monkeypatch):
    monkeypatch.setattr(looks, "_OPENED_RECORDS", 4)
    raw = plain([b"v"] * 10, time_ms=1_000)
    assert [look_at(raw, 10, time_ms) for time_ms in (1_003, 1_004, 1_009)] == [3, 4, 4]
    monkeypatch.setattr(looks, "_OPENING_SECONDS", 0)
    assert look_at(raw, 10, 1_003) == 0
