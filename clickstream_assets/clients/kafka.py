"""The topic and its consumer group on kafka-python: offsets, record times, exact ranges, commits."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, LogTruncationError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from clickstream_assets.clients.batches import Batch, Message, WholeBatches, messages_of
from clickstream_assets.clients.looks import LOOK_BYTES, Looks, boundaries
from clickstream_assets.clients.retries import PATIENCE_SECONDS, retrying

PARTITIONS = 8
MAX_MESSAGE_BYTES = 4 << 20
_LIST_RECORDS, _LIST_BYTES = 5_000, 4 << 20
"""What a list that is read holds, at most; bytes of values, and one value beyond."""
_POLL_BATCHES = 1_000
_FETCH_BYTES = 8 << 20
_FETCH_WAIT_MS = 10
"""What is read is there. A fetch behind the end, sent ahead, would keep the next partition's waiting for so long."""


class TopicMissing(Exception):
    """The topic does not exist."""


def ensure_topic(bootstrap_servers: str, topic: str) -> bool:
    """Make the topic with 8 partitions and 4 MiB messages if it is missing; returns whether it was made."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","))
    try:
        options = {"num_partitions": PARTITIONS, "configs": {"max.message.bytes": str(MAX_MESSAGE_BYTES)}}
        admin.create_topics({topic: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return False
    finally:
        admin.close()
    return True


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and bool(getattr(error, "retriable", False))


class TopicClient:
    """One topic as one consumer group sees it; reads transactions only when they are committed.

    Each answer is waited for up to ``timeout_ms``, a lost server for ``patience_seconds``. Up to ``fetch_bytes`` are
    fetched ahead from each partition, one batch of records at least. Batches are opened as they are read.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        group: str,
        timeout_ms: int = 30_000,
        patience_seconds: float = PATIENCE_SECONDS,
        fetch_bytes: int = _FETCH_BYTES,
    ) -> None:
        self.topic, self.group, self._patience = topic, group, patience_seconds
        self.bootstrap_servers = bootstrap_servers
        self._timeout_ms = timeout_ms
        self._consumer = self._new_consumer(fetch_bytes)
        self._looking = self._consumer if fetch_bytes <= LOOK_BYTES else None
        self._looks = Looks(topic, self._looking_consumer)

    def _new_consumer(self, fetch_bytes: int) -> Any:
        # kafka-python's own defaults commit by themselves and jump to the end on a bad offset.
        consumer = retrying(_is_passing, self._patience)(
            KafkaConsumer,
            bootstrap_servers=self.bootstrap_servers.split(","),
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=_POLL_BATCHES,
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            bootstrap_timeout_ms=self._timeout_ms,
            request_timeout_ms=self._timeout_ms,
        )
        consumer._fetcher.PartitionRecords = WholeBatches
        return consumer

    def _looking_consumer(self) -> Any:
        """The one for looks at single batches: one of its own, where the client's fetches megabytes."""
        if self._looking is None:
            self._looking = self._new_consumer(LOOK_BYTES)
        return self._looking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the brokers; commits nothing."""
        for consumer in {self._consumer, self._looking} - {None}:
            with suppress(KafkaError):
                consumer.close(autocommit=False)

    def _call(self, method: str, *arguments: Any) -> Any:
        return retrying(_is_passing, self._patience)(getattr(self._consumer, method), *arguments)

    def _all(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, partition) for partition in partitions]

    def partitions(self) -> list[int]:
        """The topic's partitions; raises :class:`TopicMissing`."""
        partitions = self._call("partitions_for_topic", self.topic)
        if not partitions:
            raise TopicMissing(
                f"Kafka at {self.bootstrap_servers} has no topic {self.topic!r}: "
                "materialize raw_clicks or run `clickstream produce`, either makes it"
            )
        return sorted(partitions)

    def topic_id(self) -> str:
        """The id that tells this topic from an earlier one of the same name."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers.split(","))
        try:
            (described,) = admin.describe_topics([self.topic])
        except UnknownTopicOrPartitionError as error:
            raise TopicMissing(f"no topic {self.topic!r}") from error
        finally:
            admin.close()
        return str(described["topic_id"])

    def earliest(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset Kafka still holds, by partition."""
        return {tp.partition: at for tp, at in self._call("beginning_offsets", self._all(partitions)).items()}

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset behind the last committed record, by partition."""
        return {tp.partition: at for tp, at in self._call("end_offsets", self._all(partitions)).items()}

    def committed(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """The group's committed offsets; None where there is none."""
        return {tp.partition: self._call("committed", tp) for tp in self._all(partitions)}

    def lag(self, ends: Mapping[int, int]) -> int:
        """Offsets before ``ends`` that the group has not committed; where it never has, all that Kafka holds."""
        committed, earliest = self.committed(ends), self.earliest(ends)
        return sum(end - (earliest[p] if (at := committed[p]) is None else at) for p, end in ends.items())

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit offsets for the group, each with its leader's epoch, by which :meth:`cut_back` tells of it later.

        To be called when what lies before the offsets was read: of a partition that has a newer leader by then, what
        is committed is as of that one.
        """
        if offsets:
            epochs = self._leader_epochs(offsets)
            commits = {TopicPartition(self.topic, p): OffsetAndMetadata(at, "", epochs[p]) for p, at in offsets.items()}
            self._call("commit", commits)

    def _leader_epochs(self, partitions: Iterable[int]) -> dict[int, int]:
        """The epoch of each partition's leader as that one gives it; -1 where it gives none."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers.split(","))
        try:
            latest = dict.fromkeys(self._all(partitions), OffsetSpec.LATEST)
            ends = retrying(_is_passing, self._patience)(admin.list_partition_offsets, latest)
        finally:
            admin.close()
        return {tp.partition: -1 if at.leader_epoch is None else at.leader_epoch for tp, at in ends.items()}

    def cut_back(self, committed: Mapping[int, int | None]) -> dict[int, int]:
        """By partition whose log was cut back below the group's committed offset, the offset at which it was.

        As far as Kafka can tell: a partition has to have got another leader since the commit, be it the same server
        started again, and the leader of then has to be known to it. Messages may have got the offsets again since.
        """
        partitions = self._all(p for p, at in committed.items() if at is not None)
        with_epochs = {tp: self._call("committed", tp, True) for tp in partitions}
        positions = {tp: at for tp, at in with_epochs.items() if at is not None and at.leader_epoch not in (None, -1)}
        if not positions:
            return {}
        self._consumer.assign(list(positions))
        for tp, at in positions.items():
            self._consumer._subscription.seek(tp, at)  # its own seek takes no epoch along
        try:
            # The first answer waits for all of them to be looked at, the second gives what was found.
            for _ in range(2):
                self._call("position", next(iter(positions)))
        except LogTruncationError as error:
            ends = error.divergent_offsets
            return {tp.partition: at.offset for tp, at in ends.items() if at is not None}
        return {}

    def offsets_at(
        self, time_ms: int, ends: Mapping[int, int], begins: Mapping[int, int] | None = None
    ) -> dict[int, int]:
        """By partition, the offset at which records of ``time_ms`` or later begin, of those from ``begins`` (the
        earliest there is) up to ``ends``.

        Found by bisection, for which record times are taken as rising. Where they do not (several producers, each with
        its own clock; records without a time, -1), it is a boundary, and which one only decides in which run, and for
        which hours, a record is read: a later time never has an earlier one. ``begins`` if the first record is as late
        as that, if there is no record at all, or if Kafka gives none within a second; ``ends`` if no record is as late.

        What is seen is remembered for as long as the client lives.
        """
        first = self.earliest(ends) if begins is None else begins
        return boundaries(time_ms, first, ends, self._looks.look, self._looks.within)

    def record_times(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """By partition, the timestamp of the first record at or behind an offset.

        Commits nothing. Partitions that give no record within a second, or have none that is committed, are left out.
        """
        return self._looks.times(offsets, self.ends(offsets)) if offsets else {}

    def read(self, partition: int, first: int, end: int) -> Iterator[list[Message]]:
        """Records of ``first`` (included) to ``end`` (not), in lists; offsets without a record are just not there.

        Raises TimeoutError if nothing comes for as long as a lost server is waited for.
        """
        read: list[Message] = []
        size = 0
        for message in self._read(partition, first, end):
            read.append(message)
            size += len(message.value or b"")
            if len(read) == _LIST_RECORDS or size >= _LIST_BYTES:
                yield read
                read, size = [], 0
        if read:
            yield read

    def _read(self, partition: int, first: int, end: int) -> Iterator[Message]:
        tp = TopicPartition(self.topic, partition)
        self._consumer.assign([tp])
        self._consumer.resume(tp)  # a look leaves it paused
        self._consumer.seek(tp, first)
        deadline = monotonic() + self._patience
        at = first
        while at < end:
            records = self._consumer.poll(timeout_ms=500).get(tp, [])
            for message in _messages(records, partition, first):
                if message.offset >= end:
                    return
                yield message
            position = self._consumer.position(tp)
            if position > at:
                at, deadline = position, monotonic() + self._patience
            elif monotonic() > deadline:
                raise TimeoutError(
                    f"Kafka gave nothing of {self.topic} partition {partition} from offset {at} (up to {end}) "
                    f"for {self._patience} s; see whether its leader is up"
                )


def _messages(records: list[Any], partition: int, first: int) -> Iterator[Message]:
    """The messages from offset ``first`` on in what was polled: batches, or records of the formats of old."""
    while records:
        record = records.pop(0)  # let go of batch after batch
        if isinstance(record.value, Batch):
            yield from messages_of(record.value, partition, first)
        else:
            yield Message(partition, record.offset, record.timestamp, record.value)
