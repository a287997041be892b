"""How far ingestion is in each Kafka partition: offsets, age of what waits, event-time watermark.

The watermark is the latest event time that ingestion has stored from a partition, at no time ahead of the rows. It
lies in the ledger's table, in a row ``watermark|<topic id>|<partition>`` of its own that only ever rises, so reading
a range again leaves it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation
from clickstream_assets.stores.kafka.client import TopicClient

if TYPE_CHECKING:
    from clickstream_assets.books.resumption import Resumption

_CELL = b"entry:event_time"


def _prefix(topic_id: str) -> str:
    return f"watermark|{topic_id}|"


def _key(topic_id: str, partition: int) -> bytes:
    return f"{_prefix(topic_id)}{partition:06d}".encode()


class Watermarks:
    """The latest stored event time of each Kafka partition, epoch milliseconds, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def read(self, topic_id: str) -> dict[int, int]:
        """By partition; partitions that nothing was stored from are not there."""
        rows = self._hbase.scan(self._table, _prefix(topic_id).encode(), f"{_prefix(topic_id)}~".encode(), (_CELL,))
        return {int(key.decode().rsplit("|", 1)[1]): int(cells[_CELL]) for key, cells in rows}

    def advance(self, topic_id: str, event_times: Mapping[int, int]) -> None:
        """Raise partitions to the event times of rows that are stored; a time behind the watermark changes nothing.

        For one writer at a time, as ingestion is: it reads, then writes what is higher.
        """
        stored = self._hbase.get(self._table, [_key(topic_id, partition) for partition in event_times], (_CELL,))
        self._hbase.mutate(
            self._table,
            [
                RowMutation(key, {_CELL: str(time_ms).encode()})
                for partition, time_ms in event_times.items()
                if (key := _key(topic_id, partition)) not in stored or int(stored[key][_CELL]) < time_ms
            ],
        )


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """One Kafka partition as ingestion has left it. Times are epoch milliseconds; None where there is none."""

    partition: int
    end: int
    committed: int | None
    lag: int
    """Offsets from where reading goes on to the end."""
    oldest_ms: int | None
    """Timestamp of the first record that waits; None if none waits, it has none, or Kafka did not give it in time."""
    watermark_ms: int | None

    def lag_seconds(self, now_ms: int) -> float | None:
        """Age of the first record that waits: 0 if none does, None if it is not known."""
        if not self.lag:
            return 0.0
        return None if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1000


def progress_by_partition(
    topic: TopicClient, watermarks: Watermarks, log: "Resumption", ends: Mapping[int, int]
) -> list[PartitionProgress]:
    """Every partition, in order; ``log`` tells where reading goes on. Reads a record of each that lags."""
    lags = {partition: max(0, end - log.begins[partition]) for partition, end in ends.items()}
    # What retention took cannot be looked at: the first record that is left stands for it.
    waiting = {partition: log.readable[partition] for partition, lag in lags.items() if lag}
    times = topic.record_times({partition: at for partition, at in waiting.items() if at < ends[partition]})
    # A record that its producer gave no time (-1) does not say how long it has waited.
    oldest = {partition: time_ms for partition, time_ms in times.items() if time_ms >= 0}
    stored = watermarks.read(log.topic_id)
    return [
        PartitionProgress(p, end, log.committed[p], lags[p], oldest.get(p), stored.get(p))
        for p, end in sorted(ends.items())
    ]
