"""Messages to a Kafka topic, each one's arrival confirmed before it counts as sent."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import click

from clickstream_assets.traffic.message_files import Message, write_envelope

if TYPE_CHECKING:
    from kafka import KafkaProducer

MAX_MESSAGE_BYTES = 4 << 20
"""As the topic is made: room for messages that are refused for being over 1 MiB."""

DELIVERY_SECONDS = 60
"""Within this long a message is acknowledged, retries included, or has failed."""

MAX_UNCONFIRMED = 20_000
MAX_UNCONFIRMED_BYTES = 32 << 20  # kafka-python itself buffers without a limit


class SendError(click.ClickException):
    """Kafka can't be reached, or did not take a message; says which and why."""


def send(
    messages: Iterable[Message],
    *,
    bootstrap_servers: str,
    topic: str,
    rate: float | None = None,
    on_sent: Callable[[int], None] | None = None,
    record: IO[str] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Send the messages in order, at most ``rate`` a second, and return how many Kafka acknowledged.

    ``on_sent`` is told that number as it grows. Acknowledged messages are written to ``record`` as envelopes with
    the record time that Kafka holds. Setting ``stop`` ends the sending early. However it ends, by Ctrl-C too
    (which is raised again), what was handed to Kafka is confirmed, counted and recorded first.

    Raises SendError at the first message that Kafka does not take.
    """
    stop = stop or threading.Event()
    producer = _connect(bootstrap_servers)
    try:
        outbox = _Outbox(producer, topic, _partitions(producer, topic, bootstrap_servers), on_sent, record)
        try:
            due = time.monotonic()
            for message in messages:
                if rate:
                    due = max(due + 1 / rate, time.monotonic() - 1)  # after a stall: no burst beyond a second's worth
                    stop.wait(due - time.monotonic())
                if stop.is_set():
                    break
                outbox.put(message)
        except BaseException as reason:
            if not isinstance(reason, SendError):
                outbox.confirm_all()
            raise
        outbox.confirm_all()
        return outbox.sent
    finally:
        producer.close(timeout=5)


def _connect(bootstrap_servers: str) -> "KafkaProducer":
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    try:
        return KafkaProducer(
            bootstrap_servers=bootstrap_servers.split(","),
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=DELIVERY_SECONDS * 1000,  # what bounds the retries of an idempotent producer
            request_timeout_ms=20_000,
            max_block_ms=15_000,
            bootstrap_timeout_ms=10_000,
            linger_ms=20,
            batch_size=256 << 10,
            compression_type="lz4",
            max_request_size=MAX_MESSAGE_BYTES,
            allow_auto_create_topics=False,
        )
    except (KafkaError, OSError) as error:
        raise SendError(f"Kafka at {bootstrap_servers} does not answer ({error}).") from error


def _partitions(producer: "KafkaProducer", topic: str, bootstrap_servers: str) -> list[int]:
    from kafka.errors import KafkaError

    try:
        partitions = producer.partitions_for(topic)
    except KafkaError as error:
        raise SendError(f"Kafka at {bootstrap_servers} has no topic {topic} ({error}).") from error
    if not partitions:
        raise SendError(f"Kafka at {bootstrap_servers} has no topic {topic}.")
    return sorted(partitions)


class _Outbox:
    """What was handed to Kafka and is not confirmed yet, oldest first."""

    def __init__(
        self,
        producer: "KafkaProducer",
        topic: str,
        partitions: list[int],
        on_sent: Callable[[int], None] | None,
        record: IO[str] | None,
    ) -> None:
        self.sent = 0
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._on_sent = on_sent or (lambda _: None)
        self._record = record
        self._handed = 0
        self._unconfirmed: deque[tuple[Any, Message, int]] = deque()
        self._unconfirmed_bytes = 0

    def put(self, message: Message) -> None:
        """Hand one message to Kafka; waits while too much is unconfirmed."""
        from kafka.errors import KafkaError

        if message.timestamp_ms is None:
            message = replace(message, timestamp_ms=time.time_ns() // 1_000_000)
        key, partition = message.key, None
        if key is None:
            # In turn, so that a file without event ids fills all partitions evenly
            partition = self._partitions[self._handed % len(self._partitions)]
            if message.value is None:
                key = b""  # kafka-python sends no tombstone without a key
        try:
            future = self._producer.send(
                self._topic, message.value, key, partition=partition, timestamp_ms=message.timestamp_ms
            )
        except (KafkaError, ValueError) as error:  # too large, say; those before it are on their way all the same
            self.confirm_all()
            raise self._failed(message, self._handed, error) from error
        self._unconfirmed.append((future, message, self._handed))
        self._unconfirmed_bytes += len(message.value or b"")
        self._handed += 1
        while len(self._unconfirmed) > MAX_UNCONFIRMED or self._unconfirmed_bytes > MAX_UNCONFIRMED_BYTES:
            self._confirm_oldest()
        self._confirm_done()

    def confirm_all(self) -> None:
        """Wait until all that was handed over is acknowledged."""
        from kafka.errors import KafkaError

        try:
            self._producer.flush(timeout=DELIVERY_SECONDS)
        except KafkaError as error:
            raise SendError(f"{len(self._unconfirmed):,} messages are not confirmed: {error}") from error
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
        from kafka.errors import KafkaError

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

    def _failed(self, message: Message, place: int, error: Exception) -> SendError:
        return SendError(
            f"Kafka did not take message {place + 1} (key {message.key!r}, {len(message.value or b''):,} bytes) "
            f"for topic {self._topic}: {error or type(error).__name__}. Acknowledged before it: {self.sent:,}."
        )
