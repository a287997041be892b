"""The producer's own rules, on a stand-in for kafka-python; what Kafka makes of it is for the tests on the real one."""

import io
import threading
import time
from types import SimpleNamespace

import pytest
from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from clickstream_assets.traffic import producer as module
from clickstream_assets.traffic.message_files import Message, read_messages
from clickstream_assets.traffic.producer import SendError, send


class Future:
    is_done = True

    def __init__(self, timestamp, error):
        self.timestamp, self.error = timestamp, error

    def get(self, timeout):
        if self.error:
            raise self.error
        return SimpleNamespace(timestamp=self.timestamp)


class Broker:
    """Takes all but what a test tells it to refuse, at once."""

    def __init__(self):
        self.taken, self.closed, self.partitions = [], False, {0, 1, 2}

    def partitions_for(self, topic):
        return self.partitions

    def send(self, topic, value, key, partition, timestamp_ms):
        if value == b"too large":
            raise MessageSizeTooLargeError
        if value is None and key is None:
            raise ValueError("Need at least one: key or value")
        if value != b"refused":
            self.taken.append((value, key, partition, timestamp_ms))
        return Future(timestamp_ms, RecordListTooLargeError() if value == b"refused" else None)

    def flush(self, timeout):
        pass

    def close(self, timeout):
        self.closed = True


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(module, "_connect", lambda servers: broker)
    return broker


def test_messages_keep_order_key_and_time(broker):
    sent = send([Message(b"a", 5, b"k"), Message(b"b", 4, b"k")], bootstrap_servers="x", topic="t")
    assert sent == 2
    assert broker.taken == [(b"a", b"k", None, 5), (b"b", b"k", None, 4)]
    assert broker.closed


def test_keyless_messages_take_turns_over_the_partitions(broker):
    send([Message(b"%d" % number) for number in range(6)], bootstrap_servers="x", topic="t")
    assert [partition for _, _, partition, _ in broker.taken] == [0, 1, 2, 0, 1, 2]


def test_a_tombstone_gets_a_key_for_kafka_python_demands_one(broker):
    send([Message(None, 1)], bootstrap_servers="x", topic="t")
    assert broker.taken == [(None, b"", 0, 1)]


def test_the_record_holds_the_times_that_were_used(broker, tmp_path):
    before = int(time.time() * 1000)
    record = io.StringIO()
    send([Message(b"now"), Message(b"then", 7), Message(None, 8)], bootstrap_servers="x", topic="t", record=record)
    path = tmp_path / "record"
    path.write_text(record.getvalue())
    messages = list(read_messages(path, envelope=True))
    assert messages[1:] == [Message(b"then", 7), Message(None, 8)]
    assert before <= messages[0].timestamp_ms <= int(time.time() * 1000)
    assert broker.taken[0][3] == messages[0].timestamp_ms


@pytest.mark.parametrize("bad", [b"too large", b"refused"])
def test_a_message_that_kafka_does_not_take_is_named(broker, bad):
    record, counts = io.StringIO(), []
    messages = [Message(b"a", 1), Message(bad, 2, b"the key"), Message(b"c", 3)]
    with pytest.raises(SendError, match=r"message 2 \(key b'the key'.*topic t: .*Acknowledged before it: 1"):
        send(messages, bootstrap_servers="x", topic="t", record=record, on_sent=counts.append)
    assert len(record.getvalue().splitlines()) == 1
    assert broker.closed


def test_ctrl_c_counts_and_records_what_was_handed_over(broker):
    def interrupted():
        yield from (Message(b"a"), Message(b"b"))
        raise KeyboardInterrupt

    record, counts = io.StringIO(), []
    with pytest.raises(KeyboardInterrupt):
        send(interrupted(), bootstrap_servers="x", topic="t", record=record, on_sent=counts.append)
    assert counts[-1] == len(record.getvalue().splitlines()) == 2
    assert broker.closed


def test_stop_ends_an_endless_stream(broker):
    stop = threading.Event()

    def endless():
        while True:
            yield Message(b"x")

    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    sent = send(endless(), bootstrap_servers="x", topic="t", rate=100, stop=stop)
    assert time.monotonic() - started < 2
    assert 5 <= sent <= 40


def test_a_missing_topic_is_named(broker):
    broker.partitions = None
    with pytest.raises(SendError, match="no topic t"):
        send([], bootstrap_servers="x", topic="t")
    assert broker.closed
