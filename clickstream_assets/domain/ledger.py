"""The second book: what became of every offset that was read (design 1 and 3).

Three kinds of rows in one HBase table, keys in plain text:

``range|<topic id>|<partition>|<first offset>``
    an :class:`Entry`. Entries of a partition never overlap.
``hour|<hour>|<topic id>|<partition>|<first offset>``
    what an entry holds of one hour, so that an hour's share of the book is one short scan.
``state|<hour>``
    see :mod:`clickstream_assets.domain.stale_hours`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import time

import orjson

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.domain.hours import hour_of_key, key_of_hour

READ, GAP, LOST = "read", "gap", "lost"
"""Kinds of entries: read; offsets that Kafka has no record for (compaction, transactions); lost to retention."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of the offsets ``first`` (included) to ``end`` (not) of a partition.

    ``read == kept + duplicates + dead_lettered``; *kept* counts rows that carry one of these offsets, by event
    hour; dead letters count by the hour of their Kafka record.
    """

    topic_id: str
    partition: int
    first: int
    end: int
    kind: str
    read: int = 0
    duplicates: int = 0
    kept_by_hour: Mapping[int, int] = field(default_factory=dict)
    dead_lettered_by_hour: Mapping[int, int] = field(default_factory=dict)
    run_id: str = ""

    @property
    def kept(self) -> int:
        """Rows that carry an offset of the range."""
        return sum(self.kept_by_hour.values())

    @property
    def dead_lettered(self) -> int:
        """Messages refused."""
        return sum(self.dead_lettered_by_hour.values())

    @property
    def balances(self) -> bool:
        """Whether every message read is accounted for."""
        return self.read == self.kept + self.duplicates + self.dead_lettered

    @property
    def hours(self) -> set[int]:
        """Hours that the entry holds something of."""
        return set(self.kept_by_hour) | set(self.dead_lettered_by_hour)


@dataclass(frozen=True, slots=True)
class HourShare:
    """What one ledger entry holds of one hour."""

    topic_id: str
    partition: int
    first: int
    kept: int
    dead_lettered: int


def _place(topic_id: str, partition: int, offset: int) -> str:
    return f"{topic_id}|{partition:06d}|{offset:020d}"


def _range_key(topic_id: str, partition: int, first: int) -> bytes:
    return f"range|{_place(topic_id, partition, first)}".encode()


def _hour_prefix(hour: int) -> str:
    return f"hour|{key_of_hour(hour)}|"


def _after(prefix: str) -> bytes:
    """The first key behind all keys that begin with ``prefix``."""
    return prefix.encode()[:-1] + bytes((prefix.encode()[-1] + 1,))


def _by_hour(counts: Mapping[int, int]) -> bytes:
    return orjson.dumps({key_of_hour(hour): counts[hour] for hour in sorted(counts)})


def _to_counts(cell: bytes) -> dict[int, int]:
    return {hour_of_key(key): count for key, count in orjson.loads(cell).items()}


def _cells(entry: Entry) -> dict[bytes, bytes]:
    plain = {
        "end": entry.end,
        "kind": entry.kind,
        "read": entry.read,
        "kept": entry.kept,
        "duplicates": entry.duplicates,
        "dead_lettered": entry.dead_lettered,
        "run_id": entry.run_id,
        "written_at": int(time() * 1000),
    }
    return {f"entry:{name}".encode(): str(value).encode() for name, value in plain.items()} | {
        b"entry:kept_by_hour": _by_hour(entry.kept_by_hour),
        b"entry:dead_lettered_by_hour": _by_hour(entry.dead_lettered_by_hour),
    }


def _to_entry(key: bytes, cells: Mapping[bytes, bytes]) -> Entry:
    _, topic_id, partition, first = key.decode().split("|")
    return Entry(
        topic_id=topic_id,
        partition=int(partition),
        first=int(first),
        end=int(cells[b"entry:end"]),
        kind=cells[b"entry:kind"].decode(),
        read=int(cells[b"entry:read"]),
        duplicates=int(cells[b"entry:duplicates"]),
        kept_by_hour=_to_counts(cells[b"entry:kept_by_hour"]),
        dead_lettered_by_hour=_to_counts(cells[b"entry:dead_lettered_by_hour"]),
        run_id=cells[b"entry:run_id"].decode(),
    )


class Ledger:
    """The entries, in HBase."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def overlapping(self, topic_id: str, partition: int, first: int, end: int) -> list[Entry]:
        """Entries that share an offset with ``first`` (included) to ``end`` (not), in order."""
        if first >= end:
            return []
        floor = _range_key(topic_id, partition, 0)
        start = _range_key(topic_id, partition, first)
        stop = _range_key(topic_id, partition, end)
        before = self._hbase.last_before(self._table, start, floor)
        entries = [_to_entry(*before)] if before else []
        entries += [_to_entry(key, cells) for key, cells in self._hbase.scan(self._table, start, stop)]
        return [entry for entry in entries if entry.end > first]

    def end(self, topic_id: str, partition: int) -> int | None:
        """The offset behind the last entry of a partition; None if there is no entry."""
        floor, stop = _range_key(topic_id, partition, 0), _range_key(topic_id, partition + 1, 0)
        last = self._hbase.last_before(self._table, stop, floor)
        return _to_entry(*last).end if last else None

    def write(self, entries: Iterable[Entry], replaced: Iterable[Entry] = ()) -> None:
        """Write entries over the ``replaced`` ones, whose ranges they cover, with their shares of each hour."""
        entries = list(entries)
        puts: dict[bytes, dict[bytes, bytes]] = {}
        for entry in entries:
            place = _place(entry.topic_id, entry.partition, entry.first)
            for hour in entry.hours:
                puts[f"{_hour_prefix(hour)}{place}".encode()] = {
                    b"entry:kept": str(entry.kept_by_hour.get(hour, 0)).encode(),
                    b"entry:dead_lettered": str(entry.dead_lettered_by_hour.get(hour, 0)).encode(),
                }
        # Shares before entries: a range counts as booked only when its hours know of it.
        for entry in entries:
            puts[_range_key(entry.topic_id, entry.partition, entry.first)] = _cells(entry)
        gone = set()
        for entry in replaced:
            place = _place(entry.topic_id, entry.partition, entry.first)
            gone.add(_range_key(entry.topic_id, entry.partition, entry.first))
            gone.update(f"{_hour_prefix(hour)}{place}".encode() for hour in entry.hours)
        self._hbase.mutate(self._table, (RowMutation(key, cells) for key, cells in puts.items()))
        self._hbase.mutate(self._table, (RowMutation(key, {}, (b"entry",)) for key in gone - puts.keys()))

    def shares(self, hour: int) -> list[HourShare]:
        """What each entry holds of an hour."""
        prefix = _hour_prefix(hour)
        found = []
        for key, cells in self._hbase.scan(self._table, prefix.encode(), _after(prefix)):
            _, _, topic_id, partition, first = key.decode().split("|")
            counts = int(cells[b"entry:kept"]), int(cells[b"entry:dead_lettered"])
            found.append(HourShare(topic_id, int(partition), int(first), *counts))
        return found

    def at(self, share: HourShare) -> Entry:
        """The entry that a share is of."""
        (entry,) = self.overlapping(share.topic_id, share.partition, share.first, share.first + 1)
        return entry

    def entries(self) -> Iterable[Entry]:
        """Every entry of every topic id and partition."""
        for key, cells in self._hbase.scan(self._table, b"range|", _after("range|")):
            yield _to_entry(key, cells)
