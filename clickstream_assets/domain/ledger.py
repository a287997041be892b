"""The second book: what became of every offset that was read (design 1 and 3).

Three kinds of rows in one HBase table, keys in plain text:

``range|<topic id>|<partition>|<first offset>``
    an :class:`Entry`. Entries of a partition never overlap.
``hour|<hour>|<topic id>|<partition>|<first offset>``
    what an entry holds of one hour, so that an hour's share of the book is one short scan.
``state|<hour>``
    see :mod:`clickstream_assets.domain.stale_hours`.

Mended dead letters (:mod:`clickstream_assets.domain.dead_letters`). What a message *is* stands in the equation
``read == kept + duplicates + dead_lettered``, which a replay keeps: each message that it mends leaves *dead_lettered*
and joins *kept* (a row carries its offset) or *duplicates*. *Mended* says how many of those two came that way, by the
hour of the Kafka record that *dead_lettered* counted them in; it is never added to them. So rows of an hour are the sum
of *kept* and stored letters the sum of *dead_lettered*, mended or not. When a range is read from Kafka again, its entry
tells of that reading alone: the mended messages are kept (their rows are there from these very offsets) or duplicates
as before, and *mended* is 0 again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import time
from typing import Any

import orjson

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.domain.hours import hour_of_key, key_of_hour
from clickstream_assets.domain.row_keys import contiguous

READ, GAP, LOST = "read", "gap", "lost"
"""Kinds of entries: read; offsets that Kafka has no record for (compaction, transactions); lost to retention."""

LATE_AFTER_MS = 10 * 60 * 1000
"""An event is late when its Kafka record is stamped this much after its event hour ended, or later still."""

COUNTED = ("late", "other_types", "corrected", "duplicates")
"""What is counted by hour beside the equation. Entries and shares of before there was one of them have none of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of the offsets ``first`` (included) to ``end`` (not) of a partition.

    ``read == kept + duplicates + dead_lettered``; *kept* counts rows that carry one of these offsets, by event hour.
    Of them *late* came :data:`LATE_AFTER_MS` after it ended, *other_types* are of no click type, and the clocks of
    *corrected* were off by over an hour. Dead letters and ``duplicates_by_hour`` count by the hour of their Kafka
    record. ``mended_offsets`` are, by that hour too, the offsets of dead letters that a replay made rows or duplicates
    since the range was last read.
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
    late_by_hour: Mapping[int, int] = field(default_factory=dict)
    other_types_by_hour: Mapping[int, int] = field(default_factory=dict)
    corrected_by_hour: Mapping[int, int] = field(default_factory=dict)
    duplicates_by_hour: Mapping[int, int] = field(default_factory=dict)
    mended_offsets: Mapping[int, Sequence[int]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Rows that carry an offset of the range."""
        return sum(self.kept_by_hour.values())

    @property
    def dead_lettered(self) -> int:
        """Messages refused."""
        return sum(self.dead_lettered_by_hour.values())

    @property
    def late(self) -> int:
        """Rows of the range whose message came late."""
        return sum(self.late_by_hour.values())

    @property
    def mended_by_hour(self) -> dict[int, int]:
        """Dead letters mended, by the hour of their Kafka record."""
        return {hour: len(offsets) for hour, offsets in self.mended_offsets.items()}

    @property
    def mended(self) -> int:
        """Dead letters mended."""
        return sum(self.mended_by_hour.values())

    @property
    def balances(self) -> bool:
        """Whether every message read is accounted for."""
        return self.read == self.kept + self.duplicates + self.dead_lettered

    @property
    def hours(self) -> set[int]:
        """Hours that the entry holds something of."""
        return {*self.kept_by_hour, *self.dead_lettered_by_hour, *self.duplicates_by_hour, *self.mended_offsets}

    def counted(self) -> dict[str, Mapping[int, int]]:
        """What of :data:`COUNTED` it has, by hour."""
        return {name: getattr(self, f"{name}_by_hour") for name in COUNTED}


@dataclass(frozen=True, slots=True)
class HourShare:
    """What one ledger entry holds of one hour."""

    topic_id: str
    partition: int
    first: int
    kept: int
    dead_lettered: int
    late: int = 0
    other_types: int = 0
    corrected: int = 0
    duplicates: int = 0
    mended: int = 0


def _place(topic_id: str, partition: int, offset: int) -> str:
    return f"{topic_id}|{partition:06d}|{offset:020d}"


def _range_key(topic_id: str, partition: int, first: int) -> bytes:
    return f"range|{_place(topic_id, partition, first)}".encode()


def _hour_prefix(hour: int) -> str:
    return f"hour|{key_of_hour(hour)}|"


def _share_key(of: Entry | HourShare, hour: int) -> bytes:
    return f"{_hour_prefix(hour)}{_place(of.topic_id, of.partition, of.first)}".encode()


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
        **{f"entry:{name}_by_hour".encode(): _by_hour(counts) for name, counts in entry.counted().items()},
        b"entry:mended_offsets": orjson.dumps(
            {key_of_hour(hour): sorted(entry.mended_offsets[hour]) for hour in sorted(entry.mended_offsets)}
        ),
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
        # Older entries lack these.
        **{f"{name}_by_hour": _to_counts(cells.get(f"entry:{name}_by_hour".encode(), b"{}")) for name in COUNTED},
        mended_offsets={
            hour_of_key(key): offsets
            for key, offsets in orjson.loads(cells.get(b"entry:mended_offsets", b"{}")).items()
        },
    )


def _to_share(key: bytes, cells: Mapping[bytes, bytes]) -> tuple[int, HourShare]:
    """The hour of a share, and the share."""
    _, hour, topic_id, partition, first = key.decode().split("|")
    names = ("kept", "dead_lettered", "mended", *COUNTED)
    counts = {name: int(cells.get(f"entry:{name}".encode(), b"0")) for name in names}  # older shares lack some
    return hour_of_key(hour), HourShare(topic_id, int(partition), int(first), **counts)


def _from_shares(
    topic_id: str, partition: int, first: int, end: int, shares: Mapping[int, HourShare], run_id: str
) -> Entry:
    counted: dict[str, Any] = {
        f"{name}_by_hour": {hour: count for hour, share in shares.items() if (count := getattr(share, name))}
        for name in COUNTED
    }
    entry = Entry(
        topic_id,
        partition,
        first,
        end,
        READ,
        read=end - first,
        kept_by_hour={hour: share.kept for hour, share in shares.items() if share.kept},
        dead_lettered_by_hour={hour: share.dead_lettered for hour, share in shares.items() if share.dead_lettered},
        run_id=run_id,
        **counted,
    )
    return replace(entry, duplicates=max(0, entry.read - entry.kept - entry.dead_lettered))


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
        """Write entries over the ``replaced`` ones, whose ranges they cover, with their shares of each hour.

        Killed on the way, it is made good by writing the same again: the replaced entries, which know of the shares
        that have to go, go last.
        """
        shares: dict[bytes, dict[bytes, bytes]] = {}
        ranges: dict[bytes, dict[bytes, bytes]] = {}
        for entry in entries:
            mended = entry.mended_by_hour
            for hour in entry.hours:
                shares[_share_key(entry, hour)] = {
                    b"entry:kept": str(entry.kept_by_hour.get(hour, 0)).encode(),
                    b"entry:dead_lettered": str(entry.dead_lettered_by_hour.get(hour, 0)).encode(),
                    **{
                        f"entry:{name}".encode(): str(counts.get(hour, 0)).encode()
                        for name, counts in entry.counted().items()
                    },
                    b"entry:mended": str(mended.get(hour, 0)).encode(),
                }
            ranges[_range_key(entry.topic_id, entry.partition, entry.first)] = _cells(entry)
        old_shares, old_ranges = set(), set()
        for entry in replaced:
            old_shares |= {_share_key(entry, hour) for hour in entry.hours}
            old_ranges.add(_range_key(entry.topic_id, entry.partition, entry.first))
        self._delete(old_shares - shares.keys())
        # Shares before entries: a range counts as booked only when its hours know of it.
        self._hbase.mutate(self._table, (RowMutation(key, cells) for key, cells in (shares | ranges).items()))
        self._delete(old_ranges - ranges.keys())

    def _delete(self, keys: Iterable[bytes]) -> None:
        self._hbase.mutate(self._table, (RowMutation(key, {}, (b"entry",)) for key in keys))

    def shares(self, hour: int) -> list[HourShare]:
        """What each entry holds of an hour."""
        prefix = _hour_prefix(hour)
        rows = self._hbase.scan(self._table, prefix.encode(), _after(prefix))
        return [_to_share(key, cells)[1] for key, cells in rows]

    def at(self, share: HourShare) -> Entry | None:
        """The entry that a share is of; None if it is not there (any more), though its share is."""
        key = _range_key(share.topic_id, share.partition, share.first)
        cells = self._hbase.get(self._table, [key]).get(key)
        return _to_entry(key, cells) if cells else None

    def shares_by_hour(self, hours: Iterable[int]) -> dict[int, list[HourShare]]:
        """What each entry holds of each of ``hours``, by one scan for each stretch of them."""
        found: dict[int, list[HourShare]] = {hour: [] for hour in hours}
        for first, last in contiguous(found):
            rows = self._hbase.scan(self._table, _hour_prefix(first).encode(), _after(_hour_prefix(last)))
            for hour, share in (_to_share(key, cells) for key, cells in rows):
                found[hour].append(share)
        return found

    def rows(self, hours: Iterable[int]) -> int:
        """How many rows some hours have."""
        return sum(share.kept for shares in self.shares_by_hour(hours).values() for share in shares)

    def entries_of(self, shares: Iterable[HourShare]) -> dict[HourShare, Entry | None]:
        """The entry of each share, as :meth:`at` tells it, all asked for at once."""
        keys = {share: _range_key(share.topic_id, share.partition, share.first) for share in shares}
        rows = self._hbase.get(self._table, sorted(set(keys.values())))
        return {share: _to_entry(key, rows[key]) if key in rows else None for share, key in keys.items()}

    def not_followed(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of ``entries`` behind which offsets are not booked, though later ones are.

        Not so where the next entry is gone but has left a share in the same hour or the next: that hour tells of it.
        """
        keys = {_range_key(entry.topic_id, entry.partition, entry.end): entry for entry in entries}
        followed = self._hbase.get(self._table, sorted(keys), (b"entry:end",)).keys()
        open_ended = [entry for key, entry in keys.items() if key not in followed]
        ends = {(e.topic_id, e.partition): self.end(e.topic_id, e.partition) for e in open_ended}
        return [
            entry
            for entry in open_ended
            if ends[entry.topic_id, entry.partition] != entry.end and not self._left_a_share(entry)
        ]

    def _left_a_share(self, before: Entry) -> bool:
        gone = HourShare(before.topic_id, before.partition, before.end, 0, 0)
        hours = {hour + ahead for hour in before.hours for ahead in (0, 1)}
        return bool(self._hbase.get(self._table, [_share_key(gone, hour) for hour in sorted(hours)]))

    def entries(self) -> Iterable[Entry]:
        """Every entry of every topic id and partition."""
        for key, cells in self._hbase.scan(self._table, b"range|", _after("range|")):
            yield _to_entry(key, cells)

    def holes(self, topic_id: str, partition: int, first: int, end: int) -> list[tuple[int, int]]:
        """Stretches of offsets within ``first`` (included) to ``end`` (not) that no entry covers, as (first, end)."""
        found = []
        for entry in self.overlapping(topic_id, partition, first, end):
            if entry.first > first:
                found.append((first, entry.first))
            first = entry.end
        return [*found, (first, end)] if first < end else found

    def lost(self, topic_id: str, ends: Mapping[int, int], run_id: str) -> dict[int, list[Entry]]:
        """By partition, the entries below ``ends`` that are gone, as far as their shares tell of them, in order.

        Each ends where the next begins, or where the hole does. What no share holds of it counts as duplicates.
        """
        holes = {p: self.holes(topic_id, p, 0, end) for p, end in ends.items()}
        shares: dict[tuple[int, int], dict[int, HourShare]] = defaultdict(dict)
        if any(holes.values()):
            for key, cells in self._hbase.scan(self._table, b"hour|", _after("hour|")):
                hour, share = _to_share(key, cells)
                if share.topic_id == topic_id:
                    shares[share.partition, share.first][hour] = share
        found: dict[int, list[Entry]] = {}
        for p, stretches in holes.items():
            for first, end in stretches:
                begins = sorted(at for partition, at in shares if partition == p and first <= at < end)
                for at, stop in pairwise((*begins, end)):
                    entry = _from_shares(topic_id, p, at, stop, shares[p, at], run_id)
                    found.setdefault(p, []).append(entry)
        return found

    def forget_orphans(self, hours: Iterable[int]) -> None:
        """Delete the shares of some hours that contradict the entries.

        The offset of such a share is booked, but by an entry that begins elsewhere or holds nothing of the hour. A
        share whose offset no entry covers stays, for it tells of the entry that is gone.
        """
        orphans = []
        for hour in hours:
            for share in self.shares(hour):
                for entry in self.overlapping(share.topic_id, share.partition, share.first, share.first + 1):
                    if entry.first != share.first or hour not in entry.hours:
                        orphans.append(_share_key(share, hour))
        self._delete(orphans)
