"""The second book: what became of every offset that was read (docs/architecture.md, "The ledger").

Four kinds of rows in one HBase table, keys in plain text:

``range|<topic id>|<partition>|<first offset>``
    an :class:`Entry`. Entries of a partition never overlap.
``hour|<hour>|<topic id>|<partition>|<first offset>``
    what an entry holds of one hour, so that all that the book has of an hour is one short scan.
``cut|<topic id>|<partition>|<generation>``
    see :mod:`clickstream_assets.books.log_cuts`; the topic ids of the other keys are those of logs.
``state|<hour>``
    see :mod:`clickstream_assets.books.hour_states`.

Mended dead letters (:mod:`clickstream_assets.ingest.dead_letters`). What a message *is* stands in the equation
``read == kept + duplicates + dead_lettered``, which a replay keeps: each message that it mends leaves *dead_lettered*
and joins *kept* (a row carries its offset) or *duplicates*. *Mended* says how many of those two came that way, by the
hour of the Kafka record that *dead_lettered* counted them in; it is never added to them. So rows of an hour are the sum
of *kept* and stored letters the sum of *dead_lettered*, mended or not. When a range is read from Kafka again, its entry
tells of that reading alone: the mended messages are kept (their rows are there from these very offsets) or duplicates
as before, and *mended* is 0 again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, fields, replace
from time import time
from uuid import uuid4

from clickstream_assets.books.ledger_entries import COUNTS, Block, Cells, Entry, HourCounts, HourPart, counts_of
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.books.row_keys import contiguous
from clickstream_assets.books.table_schemas import LEDGER
from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_VERSION, _EVENTS, _BLOCK = (LEDGER.columns[name].key for name in ("version", "events", "block"))
_ENTRIES_PER_CALL = 100
"""An entry's row may name many hours, and many offsets that were mended."""


def _position(topic_id: str, partition: int, offset: int) -> str:
    return f"{topic_id}|{partition:06d}|{offset:020d}"


def _range_key(topic_id: str, partition: int, first: int) -> bytes:
    return f"range|{_position(topic_id, partition, first)}".encode()


def _hour_prefix(hour: int) -> str:
    return f"hour|{key_of_hour(hour)}|"


def _part_key(of: Entry | HourPart, hour: int) -> bytes:
    return f"{_hour_prefix(hour)}{_position(of.topic_id, of.partition, of.first)}".encode()


def _after(prefix: str) -> bytes:
    """The first key behind all keys that begin with ``prefix``."""
    return prefix.encode()[:-1] + bytes((prefix.encode()[-1] + 1,))


def _entry_cells(entry: Entry) -> dict[bytes, bytes]:
    totals, hours = entry.counts, sorted(entry.hours)
    by_hour = {
        f"{name}_by_hour": {key_of_hour(hour): n for hour in hours if (n := getattr(entry.hours[hour], name))}
        for name in COUNTS
    }
    return LEDGER.encode(
        end=entry.end,
        kind=entry.kind,
        read=entry.read,
        kept=totals.kept,
        duplicates=totals.duplicates,
        dead_lettered=totals.dead_lettered,
        run_id=entry.run_id,
        written_at=int(time() * 1000),
        mended_offsets={key_of_hour(hour): sorted(at) for hour, at in sorted(entry.mended_offsets.items())},
        **by_hour,
    )


def _to_entry(key: bytes, cells: Mapping[bytes, bytes]) -> Entry:
    _, topic_id, partition, first = key.decode().split("|")
    stored = LEDGER.decode(cells)
    hours: dict[int, HourCounts] = {}
    for name in COUNTS:
        for hour, count in stored.get(f"{name}_by_hour", {}).items():
            setattr(hours.setdefault(hour_of_key(hour), HourCounts()), name, count)
    return Entry(
        topic_id,
        int(partition),
        int(first),
        stored["end"],
        stored["kind"],
        stored["read"],
        hours,
        stored["run_id"],
        {hour_of_key(hour): offsets for hour, offsets in stored.get("mended_offsets", {}).items()},
    )


def _to_part(key: bytes, cells: Mapping[bytes, bytes]) -> tuple[int, HourPart]:
    """An hour, and a part of it."""
    _, hour, topic_id, partition, first = key.decode().split("|")
    stored = LEDGER.decode(cells)
    counts, version = HourCounts(*(stored.get(name, 0) for name in COUNTS)), stored.get("version", "")
    events = Cells(*stored["events"]) if "events" in stored else None
    block = None
    # A block of another version is of events that the part had before.
    if "block" in stored and stored["block"][0] == version:
        of, enriched_by, clicks, first_ms, place, bots, audience = [*stored["block"], None, None][: len(fields(Block))]
        of_audience = Cells(*audience) if audience else None
        block = Block(of, enriched_by, clicks, first_ms, Cells(*place), bots, of_audience)
    return hour_of_key(hour), HourPart(topic_id, int(partition), int(first), counts, version, events, block)


def _part_cells(entry: Entry, hour: int) -> dict[bytes, bytes]:
    counts, events = entry.hours[hour], entry.events.get(hour)
    return LEDGER.encode(
        **{name: getattr(counts, name) for name in COUNTS},
        version=events.digest if events else uuid4().hex if counts.kept else None,
        events=astuple(events) if events else None,
    )


class Ledger:
    """The entries, in HBase."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def overlapping(self, offsets: OffsetRange) -> list[Entry]:
        """Entries that share an offset with a range, in order."""
        if offsets.first >= offsets.end:
            return []
        floor = _range_key(offsets.log_id, offsets.partition, 0)
        start = _range_key(offsets.log_id, offsets.partition, offsets.first)
        stop = _range_key(offsets.log_id, offsets.partition, offsets.end)
        before = self._hbase.last_before(self._table, start, floor)
        entries = [_to_entry(*before)] if before else []
        entries += [_to_entry(key, cells) for key, cells in self._scan(start, stop)]
        return [entry for entry in entries if entry.end > offsets.first]

    def _scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        return self._hbase.scan(self._table, start, stop, batch_rows=_ENTRIES_PER_CALL)

    def gaps(self, offsets: OffsetRange) -> list[OffsetRange]:
        """What no entry covers of a range, in order."""
        gaps, at = [], offsets.first
        for entry in self.overlapping(offsets):
            gaps.append(replace(offsets, first=at, end=entry.first))
            at = max(at, entry.end)
        gaps.append(replace(offsets, first=at))
        return [gap for gap in gaps if gap.first < gap.end]

    def end(self, topic_id: str, partition: int) -> int | None:
        """The offset behind the last entry of a partition; None if there is no entry."""
        floor, stop = _range_key(topic_id, partition, 0), _range_key(topic_id, partition + 1, 0)
        last = self._hbase.last_before(self._table, stop, floor)
        return _to_entry(*last).end if last else None

    def entries(self) -> Iterable[Entry]:
        for key, cells in self._scan(b"range|", _after("range|")):
            yield _to_entry(key, cells)

    def write(self, entries: Iterable[Entry], replaced: Iterable[Entry] = ()) -> None:
        """Write entries over the ``replaced`` ones, whose ranges they cover, with their parts of each hour.

        Killed on the way, it is made good by writing the same again: the replaced entries, which know of the parts
        that have to go, go last.
        """
        entries, replaced = list(entries), list(replaced)
        parts = {_part_key(entry, hour): _part_cells(entry, hour) for entry in entries for hour in entry.hours}
        ranges = {_range_key(entry.topic_id, entry.partition, entry.first): _entry_cells(entry) for entry in entries}
        self._delete({_part_key(entry, hour) for entry in replaced for hour in entry.hours} - parts.keys())
        # Parts before entries: a range counts as booked only when its hours know of it.
        outdated = {_VERSION, _EVENTS, _BLOCK}
        of_parts = (RowMutation(key, cells, outdated - cells.keys()) for key, cells in parts.items())
        self._hbase.mutate(self._table, of_parts)
        self._hbase.mutate(self._table, (RowMutation(key, cells) for key, cells in ranges.items()))
        old_ranges = {_range_key(entry.topic_id, entry.partition, entry.first) for entry in replaced}
        self._delete(old_ranges - ranges.keys())

    def _delete(self, keys: Iterable[bytes]) -> None:
        self._hbase.mutate(self._table, (RowMutation(key, {}, (b"entry",)) for key in keys))

    def name_blocks(self, blocks: Mapping[int, Iterable[tuple[HourPart, Block]]]) -> None:
        """Say, by hour, what lies by column of parts' clicks. It counts for the version that the block was made of."""
        self._hbase.mutate(
            self._table,
            (
                RowMutation(_part_key(part, hour), LEDGER.encode(block=astuple(block)))
                for hour, of_hour in blocks.items()
                for part, block in of_hour
            ),
        )

    def parts(self, hours: Iterable[int]) -> dict[int, list[HourPart]]:
        """What each entry holds of each of ``hours``, by one scan for each run of consecutive ones."""
        parts: dict[int, list[HourPart]] = {hour: [] for hour in hours}
        for first, last in contiguous(parts):
            rows = self._hbase.scan(self._table, _hour_prefix(first).encode(), _after(_hour_prefix(last)))
            for hour, part in (_to_part(key, cells) for key, cells in rows):
                parts[hour].append(part)
        return parts

    def counts(self, hours: Iterable[int]) -> dict[int, HourCounts]:
        return counts_of(self.parts(hours))

    def rows(self, hours: Iterable[int]) -> int:
        return sum(counts.kept for counts in self.counts(hours).values())

    def entries_of(self, parts: Iterable[HourPart]) -> dict[HourPart, Entry | None]:
        """The entry of each part, all asked for at once; None if it is gone, though its part is there."""
        keys = {part: _range_key(part.topic_id, part.partition, part.first) for part in parts}
        rows = self._hbase.get(self._table, sorted(set(keys.values())), batch_rows=_ENTRIES_PER_CALL)
        return {part: _to_entry(key, rows[key]) if key in rows else None for part, key in keys.items()}

    def forget(self, parts: Mapping[int, Iterable[HourPart]]) -> None:
        """Delete parts of hours, whose entries are left as they are."""
        self._delete(_part_key(part, hour) for hour, of_hour in parts.items() for part in of_hour)

    def not_followed(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of ``entries`` behind which offsets are not booked, though later ones are.

        Not so where the next entry is gone but has left a part of the same hour or the next: that hour tells of it.
        """
        keys = {_range_key(entry.topic_id, entry.partition, entry.end): entry for entry in entries}
        followed = self._hbase.get(self._table, sorted(keys), (b"entry:end",)).keys()
        open_ended = [entry for key, entry in keys.items() if key not in followed]
        unbooked = [entry for entry in open_ended if self.end(entry.topic_id, entry.partition) != entry.end]
        return [entry for entry in unbooked if not self._next_left_a_part(entry)]

    def _next_left_a_part(self, entry: Entry) -> bool:
        following = HourPart(entry.topic_id, entry.partition, entry.end, HourCounts())
        hours = {hour + ahead for hour in entry.hours for ahead in (0, 1)}
        return bool(self._hbase.get(self._table, [_part_key(following, hour) for hour in sorted(hours)]))
