"""The topic and its consumer group on kafka-python: offsets, record times, exact ranges, commits."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, LogTruncationError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from clickstream_assets.stores.kafka.batches import Batch, Record, WholeBatches, messages_of
from clickstream_assets.stores.kafka.looks import LOOK_BYTES, Looks, boundaries
from clickstream_assets.stores.kafka.signing_in import client_options, require_sign_in
from clickstream_assets.stores.kafka.topic_admin import topic_admin
from clickstream_assets.stores.retries import PATIENCE_SECONDS, retrying

PARTITIONS = 8
MAX_MESSAGE_BYTES = 4 << 20
_LIST_RECORDS, _LIST_BYTES = 5_000, 4 << 20
"""What :meth:`TopicClient.read` gives at a time, at most: records, and bytes of values before the last one."""
_POLL_BATCHES = 1_000
_FETCH_BYTES = 8 << 20
_FETCH_WAIT_MS = 10
"""Short, for only what is in Kafka already is read: kafka-python fetches ahead, and a fetch behind the end of one
partition would keep the next partition waiting for so long."""


class TopicMissing(Exception):
    """The topic does not exist."""


def ensure_topic(bootstrap_servers: str, topic: str) -> None:
    """Make the topic with 8 partitions and 4 MiB messages if it is missing."""
    options = {"num_partitions": PARTITIONS, "configs": {"max.message.bytes": str(MAX_MESSAGE_BYTES)}}
    with topic_admin(bootstrap_servers) as admin, suppress(TopicAlreadyExistsError):
        admin.create_topics({topic: options}, wait_for_metadata=True)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and bool(getattr(error, "retriable", False))


class TopicClient:
    """One topic as one consumer group sees it; records of transactions are read once these are committed.

    An answer is waited for up to ``timeout_ms``, a lost server up to ``patience_seconds``. From each partition up to
    ``fetch_bytes`` are fetched ahead, or one batch of records if that is larger. Batches are opened as they are read.
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
        require_sign_in(self.bootstrap_servers)
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
            **client_options(self.bootstrap_servers),
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
        with topic_admin(self.bootstrap_servers) as admin:
            try:
                (described,) = admin.describe_topics([self.topic])
            except UnknownTopicOrPartitionError as error:
                raise TopicMissing(f"no topic {self.topic!r}") from error
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
        """Commit offsets for the group, each with its leader's epoch, which :meth:`cut_back` needs later.

        To be called when all before the offsets was read. If a partition has got a new leader since then, the offset is
        committed with the new leader's epoch.
        """
        if offsets:
            epochs = self._leader_epochs(offsets)
            commits = {TopicPartition(self.topic, p): OffsetAndMetadata(at, "", epochs[p]) for p, at in offsets.items()}
            self._call("commit", commits)

    def _leader_epochs(self, partitions: Iterable[int]) -> dict[int, int]:
        """The epoch of each partition's leader, asked of the leader; -1 where it gives none."""
        latest = dict.fromkeys(self._all(partitions), OffsetSpec.LATEST)
        with topic_admin(self.bootstrap_servers) as admin:
            ends = retrying(_is_passing, self._patience)(admin.list_partition_offsets, latest)
        return {tp.partition: -1 if at.leader_epoch is None else at.leader_epoch for tp, at in ends.items()}

    def cut_back(self, committed: Mapping[int, int | None]) -> dict[int, int]:
        """Where logs were cut back: the offset, by partition whose log was cut below the group's committed offset.

        Kafka tells it only of a partition whose leader has changed since the commit (a restart of the same server
        counts) and that still knows the earlier leader's epoch. Offsets behind the cut may have new messages by now.
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
            # The first call has Kafka asked about all partitions, the second raises what it answered.
            for _ in range(2):
                self._call("position", next(iter(positions)))
        except LogTruncationError as error:
            ends = error.divergent_offsets
            return {tp.partition: at.offset for tp, at in ends.items() if at is not None}
        return {}

    def offsets_at(
        self, time_ms: int, ends: Mapping[int, int], begins: Mapping[int, int] | None = None
    ) -> dict[int, int]:
        """By partition, the offset at which records of ``time_ms`` or later begin, between ``begins`` (by default the
        earliest) and ``ends``.

        It is ``begins`` if the first record is as late, if there is no record, or if Kafka gives none within a second;
        ``ends`` if no record is as late. It is searched by bisection, as if record times rose with the offsets. Where
        they do not (producers with clocks of their own; records without a time, -1), it is one of several boundaries. A
        later time never has an earlier boundary, so this decides only in which run, and for which hours, a record is
        read.

        What the client has seen of a partition it remembers.
        """
        first = self.earliest(ends) if begins is None else begins
        return boundaries(time_ms, first, ends, self._looks.look, self._looks.within)

    def record_times(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """By partition, the timestamp of the first record at or behind an offset.

        Commits nothing. Partitions that give no record within a second, or have none that is committed, are left out.
        """
        return self._looks.times(offsets, self.ends(offsets)) if offsets else {}

    def read(self, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """Records of ``first`` (included) to ``end`` (not), in lists; offsets without a record are passed over.

        Raises TimeoutError if nothing comes for as long as a lost server is waited for.
        """
        read: list[Record] = []
        size = 0
        for message in self._read(partition, first, end):
            read.append(message)
            size += len(message.value or b"")
            if len(read) == _LIST_RECORDS or size >= _LIST_BYTES:
                yield read
                read, size = [], 0
        if read:
            yield read

    def _read(self, partition: int, first: int, end: int) -> Iterator[Record]:
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


def _messages(records: list[Any], partition: int, first: int) -> Iterator[Record]:
    """The messages from offset ``first`` on in what was polled: batches, or records of the formats of old."""
    while records:
        record = records.pop(0)  # let go of batch after batch
        if isinstance(record.value, Batch):
            yield from messages_of(record.value, partition, first)
        else:
            yield Record(partition, record.offset, record.timestamp, record.value)
