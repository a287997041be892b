"""What is read of a topic comes in lists of few bytes, whatever the batches hold."""

from types import SimpleNamespace

import pytest

from clickstream_assets.stores.kafka import client as kafka
from clickstream_assets.stores.kafka.client import TopicClient
from clickstream_assets_tests.fakes.kafka_batches import compressed, fetched, plain

MIB = 1 << 20


class Consumer:
    """KafkaConsumer's calls on batches of one partition, a few at a poll."""

    def __init__(self, *raws):
        self._batches, self._fetcher = [fetched(raw) for raw in raws], SimpleNamespace()
        self._at = 0

    def assign(self, partitions):
        self.paused = set()

    def seek(self, partition, offset):
        self._at = offset

    def pause(self, partition):
        self.paused.add(partition)

    def resume(self, *partitions):
        self.paused -= set(partitions)

    def poll(self, timeout_ms):
        polled = [batch for batch in self._batches if batch.next_offset > self._at][:2]
        self._at = polled[-1].next_offset if polled else self._at
        records = [record for batch in polled for record in batch]
        return {kafka.TopicPartition("t", 3): records} if records else {}

    def position(self, partition):
        return self._at

    def end_offsets(self, partitions):
        return dict.fromkeys(partitions, self._batches[-1].next_offset)


@pytest.fixture
def topic_of(monkeypatch):
    """A client of batches, each ten offsets behind the one before."""

    def client(*batches):
        raws = [compressed(batch, 4, base_offset=10 * place) for place, batch in enumerate(batches)]
        consumer = Consumer(*raws)
        monkeypatch.setattr(kafka, "KafkaConsumer", lambda **options: consumer)
        return TopicClient("kafka:9092", "t", "g")

    return client


def test_a_list_ends_with_the_value_that_fills_it(topic_of):
    large, small = plain([bytes(3 * MIB)] * 5), plain([b"s"] * 10)
    lists = [[len(m.value) for m in read] for read in topic_of(large, small).read(3, 0, 20)]
    assert lists == [[3 * MIB] * 2, [3 * MIB] * 2, [3 * MIB] + [1] * 10]


def test_small_batches_share_a_list_up_to_its_number(topic_of, monkeypatch):
    monkeypatch.setattr(kafka, "_LIST_RECORDS", 25)
    read = [[m.offset for m in some] for some in topic_of(*[plain([b"s"] * 10)] * 7).read(3, 5, 62)]
    assert read == [list(range(5, 30)), list(range(30, 55)), list(range(55, 62))]


def test_offsets_of_a_batch_that_hold_no_record_are_passed(topic_of):
    compacted = plain([b"a", b"b"], skip=7)
    assert [[m.offset for m in some] for some in topic_of(compacted, compacted).read(3, 1, 18)] == [[8, 10]]


def test_the_first_record_behind_an_offset_tells_its_time(topic_of):
    batch = plain([bytes(6 * MIB), b"b"], skip=7)
    assert topic_of(batch, batch).record_times({3: 1}) == {3: 1_700_000_000_001}
    assert topic_of(batch, batch).record_times({3: 9}) == {3: 1_700_000_000_000}
