"""Each Kafka partition's event-time watermark.

It is the latest event time that ingestion has stored from a partition, at no time ahead of the rows. It lies in
the ledger's table, in a row ``watermark|<topic id>|<partition>`` of its own that only ever rises, so reading a range
again leaves it alone.
"""

from collections.abc import Mapping

from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

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
