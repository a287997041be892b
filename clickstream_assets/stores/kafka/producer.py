"""Messages to a Kafka topic, each one's arrival confirmed before it counts as sent."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any, NoReturn, Self

import click
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.message_files import NO_TIME_MS, Message, write_envelope
from clickstream_assets.events.message_lines import MAX_LINE_BYTES
from clickstream_assets.stores.kafka.client import MAX_MESSAGE_BYTES
from clickstream_assets.stores.kafka.signing_in import client_options
from clickstream_assets.stores.kafka.topic_admin import topic_admin, topic_settings

DELIVERY_SECONDS = 60
"""Within this long a message is acknowledged, retries included, or has failed."""
_ANY_MS = (1 << 63) - 1
MAX_UNCONFIRMED = 20_000
MAX_UNCONFIRMED_BYTES = 32 << 20  # kafka-python itself buffers without a limit


class SendError(click.ClickException):
    """What was handed to Kafka was not acknowledged; says which message and why."""


class Unreachable(SendError):
    """Kafka can't be reached, or has no such topic."""


class NotSent(click.ClickException):
    """A message that the topic does not take; says which and why. It was not handed to Kafka."""


def _raise(error: NotSent) -> NoReturn:
    raise error


def send(
    messages: Iterable[Message],
    *,
    bootstrap_servers: str,
    topic: str,
    rate: float | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
    on_refused: Callable[[NotSent], None] = _raise,
    record: IO[str] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Send the messages in order, at most ``rate`` a second, and return how many Kafka acknowledged.

    ``on_sent`` is told that number as it grows, ``on_refused`` of each message that the topic does not take. The ones
    behind it are sent all the same, unless that raises, as it does by default. Acknowledged messages are written to
    ``record`` as envelopes with the record time that Kafka holds. Setting ``stop`` ends the sending early. However it
    ends, by Ctrl-C too (which is raised again), what was handed to Kafka is confirmed, counted and recorded first.
    Raises SendError at the first message that was handed to Kafka and is not acknowledged.
    """
    try:
        with topic_admin(bootstrap_servers) as admin:
            limits = Limits.of(topic_settings(admin, topic))
        producer = _connect(bootstrap_servers, limits.message_bytes)
    except (KafkaError, OSError) as error:
        raise Unreachable(f"Kafka at {bootstrap_servers} does not answer ({error}).") from error
    try:
        partitions = _partitions(producer, topic, bootstrap_servers)
        outbox = _Outbox(producer, topic, partitions, limits, on_sent, on_refused, record)
        try:
            for message in _paced(messages, rate, stop or threading.Event()):
                outbox.put(message)
        except BaseException as reason:
            if not isinstance(reason, SendError):
                outbox.confirm_all()
            raise
        outbox.confirm_all()
        return outbox.sent
    finally:
        producer.close(timeout=5)


def _paced(messages: Iterable[Message], rate: float | None, stop: threading.Event) -> Iterator[Message]:
    """The messages, at most ``rate`` a second, until ``stop`` is set."""
    due = time.monotonic()
    for message in messages:
        if rate:
            due = max(due + 1 / rate, time.monotonic() - 1)  # after a stall: no burst beyond a second's worth
            stop.wait(due - time.monotonic())
        if stop.is_set():
            return
        yield message


@dataclass(frozen=True, slots=True)
class Limits:
    """What a topic takes: messages of so many bytes, with record times from so long ago to so far ahead.

    They are looked at here, for kafka-python's idempotent producer does not go on after a message that the broker
    refuses: whatever is under way with it fails too.
    """

    message_bytes: int
    past_ms: int
    ahead_ms: int

    @classmethod
    def of(cls, configuration: Mapping[str, str]) -> Self:
        """From a topic's configuration. What brokers before 3.6 do not have, or keep to themselves, has no bounds."""
        bounds = {} if configuration.get("message.timestamp.type") == "LogAppendTime" else configuration
        return cls(
            int(configuration.get("max.message.bytes", MAX_MESSAGE_BYTES)),
            int(bounds.get("message.timestamp.before.max.ms", _ANY_MS)),
            int(bounds.get("message.timestamp.after.max.ms", _ANY_MS)),
        )

    def wrong_time(self, record_ms: int, now_ms: int) -> str:
        """Why a record time is refused; empty if it is not, or if there is none: brokers let that pass."""
        if record_ms == NO_TIME_MS:
            return ""
        if record_ms < 0:
            return f"its record time {record_ms} ms is before 1970"
        if record_ms - now_ms > self.ahead_ms:
            return f"its record time {record_ms} ms is over {self.ahead_ms / HOUR_MS:g} h ahead"
        if now_ms - record_ms > self.past_ms:
            return f"its record time {record_ms} ms is over {self.past_ms / HOUR_MS:g} h ago"
        return ""


def _connect(bootstrap_servers: str, message_bytes: int) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=bootstrap_servers.split(","),
        acks="all",
        enable_idempotence=True,
        delivery_timeout_ms=DELIVERY_SECONDS * 1000,  # what bounds the retries of an idempotent producer
        request_timeout_ms=20_000,
        max_block_ms=15_000,
        **client_options(bootstrap_servers),
        bootstrap_timeout_ms=10_000,
        linger_ms=20,
        batch_size=256 << 10,
        compression_type="lz4",
        max_request_size=message_bytes,
        allow_auto_create_topics=False,
    )


def _partitions(producer: KafkaProducer, topic: str, bootstrap_servers: str) -> list[int]:
    try:
        partitions = producer.partitions_for(topic)
    except KafkaError as error:
        raise Unreachable(f"Kafka at {bootstrap_servers} has no topic {topic} ({error}).") from error
    if not partitions:
        raise Unreachable(f"Kafka at {bootstrap_servers} has no topic {topic}.")
    return sorted(partitions)


@dataclass
class _Outbox:
    """What was handed to Kafka and is not confirmed yet, oldest first."""

    _producer: KafkaProducer
    _topic: str
    _partitions: list[int]
    _limits: Limits
    _on_sent: Callable[[int], None]
    _on_refused: Callable[[NotSent], None]
    _record: IO[str] | None
    sent: int = 0
    _place: int = 0
    _unconfirmed: deque[tuple[Any, Message, int]] = field(default_factory=deque)
    _unconfirmed_bytes: int = 0

    def put(self, message: Message) -> None:
        """Hand one message to Kafka, if the topic takes it; waits while too much is unconfirmed."""
        self._place += 1
        now_ms = time.time_ns() // 1_000_000
        if message.cut_from is not None:
            self._refuse(message, f"it is longer than {MAX_LINE_BYTES >> 20} MiB, and was not read to its end")
            return
        if message.timestamp_ms is None:
            message = replace(message, timestamp_ms=now_ms)
        elif reason := self._limits.wrong_time(message.timestamp_ms, now_ms):
            self._refuse(message, reason)
            return
        key, partition = message.key, None
        if key is None:
            # In turn, so that a file without event ids fills all partitions evenly
            partition = self._partitions[(self._place - 1) % len(self._partitions)]
            if message.value is None:
                key = b""  # kafka-python sends no tombstone without a key
        try:
            future = self._producer.send(
                self._topic, message.value, key, partition=partition, timestamp_ms=message.timestamp_ms
            )
        except MessageSizeTooLargeError:
            self._refuse(message, f"it is larger than the topic's max.message.bytes={self._limits.message_bytes}")
            return
        except KafkaError as error:  # those before it are on their way all the same
            self.confirm_all()
            raise self._failed(message, self._place, error) from error
        self._unconfirmed.append((future, message, self._place))
        self._unconfirmed_bytes += len(message.value or b"")
        while len(self._unconfirmed) > MAX_UNCONFIRMED or self._unconfirmed_bytes > MAX_UNCONFIRMED_BYTES:
            self._confirm_oldest()
        self._confirm_done()

    def _refuse(self, message: Message, reason: str) -> None:
        self._on_refused(NotSent(f"{_name(message, self._place)} was not sent: {reason}."))

    def confirm_all(self) -> None:
        """Wait until all that was handed over is acknowledged."""
        try:
            self._producer.flush(timeout=DELIVERY_SECONDS)
        except KafkaError as error:
            raise Unreachable(f"{len(self._unconfirmed):,} messages are not confirmed: {error}.") from error
        while self._unconfirmed:
            self._confirm_oldest()
        self._on_sent(self.sent)

    def _confirm_done(self) -> None:
        before = self.sent
        while self._unconfirmed and self._unconfirmed[0][0].is_done:
            self._confirm_oldest()
        if self.sent != before:
            self._on_sent(self.sent)

    def _confirm_oldest(self) -> None:
        future, message, place = self._unconfirmed[0]
        try:
            metadata = future.get(timeout=DELIVERY_SECONDS)
        except KafkaError as error:
            raise self._failed(message, place, error) from error
        self._unconfirmed.popleft()
        self._unconfirmed_bytes -= len(message.value or b"")
        self.sent += 1
        if self._record is not None:
            # A topic with LogAppendTime has the broker's time, not ours
            write_envelope(self._record, replace(message, timestamp_ms=metadata.timestamp))

    def _failed(self, message: Message, place: int, error: KafkaError) -> SendError:
        kind = Unreachable if error.retriable else SendError
        return kind(
            f"{_name(message, place)} was not taken by Kafka for topic {self._topic}: {error or type(error).__name__}. "
            f"Acknowledged before it: {self.sent:,}; those behind it that were under way may be in the topic or not."
        )


def _name(message: Message, place: int) -> str:
    return f"Message {place:,} (key {message.key!r}, {message.cut_from or len(message.value or b''):,} bytes)"
