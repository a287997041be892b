"""What a real topic does: codecs, transactions, records without a time, the broker's time, topics that change."""

import json
import time
from contextlib import closing

import kafka.codec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import TopicAlreadyExistsError

from clickstream_assets.books.ledger_entries import GAP
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.message_files import Message, write_envelope
from clickstream_assets.stores.kafka import looks
from clickstream_assets.stores.kafka.client import ensure_topic
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden
from clickstream_assets_tests.integration.test_lag import look

HOUR = 3_600_000
THEN = NOW_MS // HOUR * HOUR - 5 * HOUR


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    """One for all tests that only add to its topic."""
    made = Pipeline(servers, "as-it-is", tmp_path_factory.mktemp("as-it-is") / "sent.jsonl")
    made.record_path.touch()
    ensure_topic(made.settings.kafka_bootstrap_servers, made.settings.topic)
    return made


def view(name, minute=0, *, event_id=True):
    """A page view by a user of that name; without an id of its own it is known by its place in Kafka."""
    value = {"user_id": name, "timestamp": THEN + minute * 60_000, "url": f"https://kafka.example/{name[:2]}"}
    return json.dumps(value | ({"event_id": f"e-{name}"} if event_id else {})).encode()


def producer(pipeline, **options):
    return closing(KafkaProducer(bootstrap_servers=pipeline.settings.kafka_bootstrap_servers, acks="all", **options))


def admin(pipeline):
    return closing(KafkaAdminClient(bootstrap_servers=pipeline.settings.kafka_bootstrap_servers))


def put(pipeline, sender, values, partition, timestamp_ms=THEN, *, counts=True, alone=False):
    """Send to a partition, in a batch or each alone, and write down what golden is to count; returns record times."""
    futures = []
    for value in values:
        futures.append(sender.send(pipeline.settings.topic, value, partition=partition, timestamp_ms=timestamp_ms))
        if alone:
            sender.flush()
    sender.flush()
    times = [future.get(timeout=30).timestamp for future in futures]
    if counts:
        with pipeline.record_path.open("a", encoding="utf-8") as record:
            for value, time_ms in zip(values, times, strict=True):
                write_envelope(record, Message(value, time_ms))
    return times


def entries(pipeline):
    with pipeline.resources["hbase"].books() as books:
        return list(books.ledger.entries())


@pytest.fixture(scope="module", autouse=True)
def compacted(servers, tmp_path_factory):
    """A compacted topic, written at once, so that Kafka's cleaner has come by when it is looked at."""
    made = Pipeline(servers, "compacted", tmp_path_factory.mktemp("compacted") / "sent.jsonl")
    made.record_path.touch()
    configs = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    with admin(made) as client:
        client.create_topics([NewTopic(made.settings.topic, 1, 1, topic_configs=configs | {"segment.ms": "100"})])
    with producer(made) as sender:
        for version in range(4):
            for key in (b"a", b"b", b"c"):
                value = view(f"{key.decode()}{version}", version)
                # Kafka begins a new segment, and may clean the one before, by the records' own times.
                recorded = THEN + version * 1_000
                sender.send(made.settings.topic, value, key, partition=0, timestamp_ms=recorded)
            sender.flush()
            time.sleep(0.2)
    return made


class Snappy:
    """For kafka-python's producer where it brings none; what reads has to do without."""

    @staticmethod
    def compress(data):
        import pyarrow as pa

        return pa.compress(bytes(data), codec="snappy", asbytes=True)


def test_batches_of_every_codec_are_read(pipeline, monkeypatch):
    with monkeypatch.context() as patch:
        if not kafka.codec.has_snappy():
            patch.setattr(kafka.codec, "snappy", Snappy)
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            with producer(pipeline, compression_type=codec, linger_ms=200) as sender:
                put(pipeline, sender, [view(f"{codec}{i}", i) for i in range(20)], 0)
    pipeline.settle()
    assert_golden(pipeline)


def test_committed_transactions_count_aborted_ones_do_not_and_open_ones_are_waited_for(pipeline):
    def of(name):
        return producer(pipeline, transactional_id=f"{pipeline.settings.topic}-{name}")

    before = pipeline.reconcile().without_record
    with of("done") as done, of("aborted") as aborted, of("open") as undecided, producer(pipeline) as plain:
        for sender in (done, aborted, undecided):
            sender.init_transactions()
            sender.begin_transaction()
        put(pipeline, done, [view(f"done{i}") for i in range(3)], 1)
        put(pipeline, aborted, [view(f"aborted{i}") for i in range(3)], 1, counts=False)
        done.commit_transaction()
        aborted.abort_transaction()
        put(pipeline, undecided, [view("open", 2)], 1, counts=False)
        put(pipeline, plain, [view("behind", 3)], 1, counts=False)
        pipeline.settle()
        assert_golden(pipeline)
        undecided.commit_transaction()
    with pipeline.record_path.open("a", encoding="utf-8") as record:
        for value in (view("open", 2), view("behind", 3)):
            write_envelope(record, Message(value, THEN))
    pipeline.settle()
    assert_golden(pipeline)
    # Three aborted records and a marker for the end of each transaction.
    assert pipeline.reconcile().without_record - before == 6


def test_records_without_a_time_count_by_their_own_and_their_lag_in_seconds_is_not_known(pipeline):
    pipeline.settle()  # the hours that nothing was sent for
    with producer(pipeline) as sender:
        times = put(pipeline, sender, [view("timeless"), view("bare", event_id=False), b"refused"], 2, timestamp_ms=-1)
    assert times == [-1, -1, -1]
    answer, figures, partitions = look(pipeline, a_minute_later=pipeline.cursor is not None)
    assert figures["lag_events"] == 3
    assert (partitions[2]["lag_events"], partitions[2]["lag_seconds"]) == (3, None)
    (request,) = answer.run_requests
    this_hour = key_of_hour(int(time.time()) // 3600)
    assert request.tags["dagster/asset_partition_range_end"] == this_hour, "they are planned as recorded now"
    assert pipeline.run(run_config=request.run_config, tags=dict(request.tags)).success
    pipeline.settle()
    assert_golden(pipeline)
    of_partition = [entry for entry in entries(pipeline) if entry.partition == 2]
    refused = [hour for entry in of_partition for hour, counts in entry.hours.items() if counts.dead_lettered]
    assert refused == [pipeline.settings.first_hour_ms // HOUR], "the first partition has what has no hour"


def test_with_the_brokers_time_events_keep_their_own_and_no_clock_is_corrected_twice(pipeline):
    kind = ConfigResourceType.TOPIC
    with admin(pipeline) as client, producer(pipeline) as sender:
        for wanted in ("LogAppendTime", "CreateTime"):
            change = {"message.timestamp.type": wanted}
            client.alter_configs([ConfigResource(kind, pipeline.settings.topic, change)])
            if wanted == "LogAppendTime":
                times = put(pipeline, sender, [view("append"), view("appended", event_id=False), b"refused"], 4)
    assert all(NOW_MS < time_ms < time.time() * 1000 + 60_000 for time_ms in times)
    pipeline.settle()
    assert_golden(pipeline)


def test_partitions_added_while_running_are_read_from_their_beginning(pipeline):
    with admin(pipeline) as client:
        client.create_partitions({pipeline.settings.topic: 10})
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with pipeline.topic() as topic:
            if len(topic.partitions()) == 10:
                break
    with producer(pipeline) as sender:
        put(pipeline, sender, [view(f"added{i}", i) for i in range(5)], 9)
    pipeline.settle()
    assert_golden(pipeline)
    assert {entry.partition for entry in entries(pipeline)} >= {9}


def test_a_topic_made_anew_is_read_from_its_beginning_and_what_the_old_one_brought_stays(servers, tmp_path):
    pipeline = Pipeline(servers, "anew", tmp_path / "sent.jsonl")
    pipeline.record_path.touch()
    for name in ("old", "new"):
        _make(pipeline)
        # More of the old one than of the new: what is committed lies beyond the new one's end.
        values = [view(f"{name}{i}") for i in range(9 if name == "old" else 3)] + [b"refused"]
        with producer(pipeline) as sender:
            put(pipeline, sender, [view(f"{name}-bare", event_id=False)], 0, timestamp_ms=-1)
            put(pipeline, sender, values, 0)
        pipeline.settle()
        assert_golden(pipeline)
        if name == "old":
            with admin(pipeline) as client:
                client.delete_topics([pipeline.settings.topic])
    assert len({entry.topic_id for entry in entries(pipeline)}) == 2
    assert not any("~" in entry.topic_id for entry in entries(pipeline)), "that is no log cut back"


def test_hours_begin_where_their_records_do_and_where_none_is_left_nobody_waits(servers, tmp_path, monkeypatch):
    """Batches that hours begin within, aborted records, markers at the end: compared with all that can be read."""
    monkeypatch.setattr(looks, "_LOOK_SECONDS", 1_000)
    pipeline = Pipeline(servers, "boundaries", tmp_path / "sent.jsonl")
    _make(pipeline, partitions=3)
    name = pipeline.settings.topic
    with producer(pipeline, transactional_id=f"{name}-all", compression_type="gzip", linger_ms=500) as sender:
        sender.init_transactions()
        for turn in range(12):
            sender.begin_transaction()
            for minute in range(0, 60, 7):
                at = THEN + 20 * 60_000 * turn + minute * 40_000
                sender.send(name, b"v", partition=turn % 2, timestamp_ms=at)
            sender.flush()
            (sender.abort_transaction if turn in {3, 11} else sender.commit_transaction)()
    consumer = KafkaConsumer(
        bootstrap_servers=pipeline.settings.kafka_bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        consumer_timeout_ms=2_000,
    )
    with closing(consumer):
        consumer.assign([TopicPartition(name, p) for p in range(3)])
        records = [(record.partition, record.offset, record.timestamp) for record in consumer]
    with pipeline.topic() as topic:
        ends = topic.ends(range(3))
        assert ends[0] > max(at for p, at, _ in records if p == 0) + 1, "there is a marker behind the last record"
        for time_ms in range(THEN - HOUR, NOW_MS + 2 * HOUR, HOUR // 2):
            at = topic.offsets_at(time_ms, ends)
            late = [(p, offset) for p, offset, recorded in records if recorded >= time_ms]
            assert late == [(p, offset) for p, offset, _ in records if offset >= at[p]]
            assert at[2] == 0
        assert topic.record_times({0: 0, 1: ends[1] - 1, 2: 0}) == {0: THEN}


def _make(pipeline, partitions=1):
    """Make the topic, once Kafka has forgotten an earlier one of its name."""
    deadline = time.monotonic() + 30
    with admin(pipeline) as client:
        while True:
            try:
                client.create_topics([NewTopic(pipeline.settings.topic, partitions, 1)], wait_for_metadata=True)
            except TopicAlreadyExistsError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return


def test_of_a_compacted_topic_what_is_left_counts_and_the_gaps_are_booked(compacted):
    left = _left(compacted)
    assert len(left) < 12, "Kafka's cleaner has been there"
    with compacted.record_path.open("a", encoding="utf-8") as record:
        for one in left:
            write_envelope(record, Message(one.value, one.timestamp))
    compacted.settle()
    assert_golden(compacted)
    gaps = sum(entry.end - entry.first for entry in entries(compacted) if entry.kind == GAP)
    assert gaps == 12 - len(left)


def _left(pipeline):
    """The records that a compacted topic still has, waited for until they are fewer than were sent."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.settings.kafka_bootstrap_servers, enable_auto_commit=False)
    with closing(consumer):
        tp = TopicPartition(pipeline.settings.topic, 0)
        consumer.assign([tp])
        deadline = time.monotonic() + 60
        while True:
            consumer.seek(tp, 0)
            found = []
            while not found or found[-1].offset < 11:
                found += consumer.poll(timeout_ms=500).get(tp, [])
            if len(found) < 12 or time.monotonic() > deadline:
                return found
            time.sleep(1)
