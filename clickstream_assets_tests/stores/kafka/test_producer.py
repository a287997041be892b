"""The producer's own rules, on a stand-in for kafka-python; what Kafka makes of it is for the tests on the real one."""

import io
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from kafka.errors import InvalidTimestampError, KafkaTimeoutError, MessageSizeTooLargeError

from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.message_files import Message, parse_envelope, read_messages
from clickstream_assets.stores.kafka import producer as module
from clickstream_assets.stores.kafka.producer import Limits, NotSent, SendError, Unreachable, send

FAILING = {b"refused by the broker": InvalidTimestampError(), b"lost": KafkaTimeoutError()}


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
        if value and b"too large" in value:
            raise MessageSizeTooLargeError
        if value is None and key is None:
            raise ValueError("Need at least one: key or value")
        if value not in FAILING:
            self.taken.append((value, key, partition, timestamp_ms))
        return Future(timestamp_ms, FAILING.get(value))

    def flush(self, timeout):
        pass

    def close(self, timeout):
        self.closed = True


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(module, "topic_admin", lambda bootstrap_servers: nullcontext())
    monkeypatch.setattr(module, "topic_settings", lambda admin, topic: {"message.timestamp.after.max.ms": "3600000"})
    monkeypatch.setattr(module, "_connect", lambda servers, message_bytes: broker)
    return broker


def test_messages_keep_order_key_and_time(broker):
    value = b'{"event_id":"k"}'
    sent = send([Message(value, 5), Message(value + b" ", 4)], bootstrap_servers="x", topic="t")
    assert sent == 2
    assert broker.taken == [(value, b"k", None, 5), (value + b" ", b"k", None, 4)]
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


def test_refused_messages_are_named_and_their_neighbours_sent(broker):
    ahead = time.time_ns() // 1_000_000 + 2 * HOUR_MS
    messages = [
        Message(b"a", 1),
        Message(b'{"event_id":"too large"}', 2),
        Message(b"tomorrow", ahead),
        Message(b"1969", -2),
        Message(b"never", (1 << 63) - 1),
        Message(b"the beginning", cut_from=9_000_000),
        Message(b"b", 3),
    ]
    record, refused = io.StringIO(), []
    sent = send(messages, bootstrap_servers="x", topic="t", record=record, on_refused=refused.append)
    assert sent == len(record.getvalue().splitlines()) == 2
    assert [value for value, *_ in broker.taken] == [b"a", b"b"]
    words = [one.message for one in refused]
    assert words[0] == (
        "Message 2 (key b'too large', 24 bytes) was not sent: it is larger than the topic's max.message.bytes=4194304."
    )
    assert words[1] == f"Message 3 (key None, 8 bytes) was not sent: its record time {ahead} ms is over 1 h ahead."
    assert "before 1970" in words[2]
    assert "ahead" in words[3]
    assert words[4].startswith("Message 6 (key None, 9,000,000 bytes) was not sent: it is longer than 8 MiB")


def test_a_record_without_a_time_is_sent_and_recorded_without_a_time(broker):
    record = io.StringIO()
    messages = [Message(b"a", 1), Message(b"no time", -1), Message(b"b", 1)]
    assert send(messages, bootstrap_servers="x", topic="t", record=record) == 3
    assert [time for *_, time in broker.taken] == [1, -1, 1]
    assert [parse_envelope(line.encode()) for line in record.getvalue().splitlines()] == messages


def test_who_does_not_ask_for_refused_messages_is_told_of_the_first(broker):
    record = io.StringIO()
    with pytest.raises(NotSent, match="Message 2 "):
        send([Message(b"a", 1), Message(b"b", -2), Message(b"c", 1)], bootstrap_servers="x", topic="t", record=record)
    assert [value for value, *_ in broker.taken] == [b"a"]
    assert len(record.getvalue().splitlines()) == 1


def test_a_topic_stamped_by_the_broker_takes_any_time_and_an_unknown_one_is_not_second_guessed():
    bounds = {"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "1000"}
    assert "over 1 h ago" in Limits.of(bounds | {"message.timestamp.before.max.ms": "3600000"}).wrong_time(
        0, HOUR_MS + 1
    )
    assert not Limits.of(bounds).wrong_time(0, 1000)
    assert not Limits.of(bounds | {"message.timestamp.type": "LogAppendTime"}).wrong_time(0, 1001)
    assert not Limits.of({}).wrong_time(1 << 62, 0)
    assert Limits.of({"max.message.bytes": "1000"}).message_bytes == 1000


@pytest.mark.parametrize(("bad", "kind"), [(b"refused by the broker", SendError), (b"lost", Unreachable)])
def test_a_message_that_kafka_does_not_acknowledge_is_named(broker, bad, kind):
    record, counts = io.StringIO(), []
    messages = [Message(b"a", 1), Message(bad, 2), Message(b"c", 3)]
    with pytest.raises(SendError, match=r"Message 2 \(key None, .*topic t: .*Acknowledged before it: 1") as raised:
        send(messages, bootstrap_servers="x", topic="t", record=record, on_sent=counts.append)
    assert raised.type is kind
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


@pytest.mark.slow
def test_stop_ends_an_endless_stream(broker):
    stop = threading.Event()

    def endless():
        while True:
            yield Message(b"x")

    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    sent = send(endless(), bootstrap_servers="x", topic="t", rate=100, stop=stop)
    seconds = time.monotonic() - started
    assert seconds < 2
    assert 5 <= sent <= 100 * seconds + 20


def test_a_missing_topic_is_named(broker):
    broker.partitions = None
    with pytest.raises(Unreachable, match="no topic t"):
        send([], bootstrap_servers="x", topic="t")
    assert broker.closed
