"""What the ledger says of a range of offsets, and of the part of it that is one hour's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import Any

from clickstream_assets.books.offsets import OffsetRange

READ, GAP, LOST = "read", "gap", "lost"
"""Kinds of entries: read; offsets that Kafka has no record for (compaction, transactions); lost to retention."""
LATE_AFTER_MS = 10 * 60 * 1000
"""An event is late when its Kafka record is stamped this much after its event hour ended, or later still."""


@dataclass(slots=True)
class HourCounts:
    """What some messages came to in one hour: rows by event hour, the rest by the hour of their Kafka record."""

    kept: int = 0
    """Rows that carry one of the offsets."""
    late: int = 0
    """Of the rows, those that came :data:`LATE_AFTER_MS` after their hour had ended."""
    other_types: int = 0
    """Of the rows, those of no click type."""
    corrected: int = 0
    """Of the rows, those whose clock was off by over an hour."""
    dead_lettered: int = 0
    duplicates: int = 0
    mended: int = 0
    """Dead letters that a replay made rows or duplicates: counted in those, not beside them."""

    def __add__(self, other: "HourCounts") -> "HourCounts":
        return HourCounts(*(getattr(self, name) + getattr(other, name) for name in COUNTS))

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in COUNTS)


COUNTS = tuple(field.name for field in fields(HourCounts))


def sum_of(counts: Iterable[HourCounts]) -> HourCounts:
    return reduce(HourCounts.__add__, counts, HourCounts())


@dataclass(frozen=True, slots=True)
class Cells:
    """What lies in the numbered cells of a row in ``clickstream_blocks``."""

    digest: str
    cells: int
    bytes: int
    """As they are stored."""
    raw_bytes: int
    """As they are held in memory, about."""
    rows: int


@dataclass(frozen=True, slots=True)
class Block:
    """The clicks of an hour's part by column: what they were made of, by what, and where they lie."""

    of: str
    """The version of the part."""
    enriched_by: str
    """The versions of the GeoIP database and the user-agent rules."""
    clicks: int
    """Events of a click type that are no bot's."""
    first_ms: int
    """The earliest event time in it."""
    cells: Cells
    bots: int | None = None
    """Events of bots, whatever their type; None: made before they were counted."""
    audience: Cells | None = None
    """Who they are of; None: made before that was kept."""

    @property
    def digests(self) -> tuple[str, str]:
        return self.cells.digest, self.audience.digest if self.audience else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of the offsets ``first`` (included) to ``end`` (not) of a partition.

    ``read == kept + duplicates + dead_lettered``. ``mended_offsets`` are, by the hour of their Kafka record, the
    offsets of dead letters that a replay made rows or duplicates since the range was last read.
    """

    topic_id: str
    partition: int
    first: int
    end: int
    kind: str
    read: int = 0
    hours: Mapping[int, HourCounts] = field(default_factory=dict)
    """By hour, what the entry holds of it."""
    run_id: str = ""
    mended_offsets: Mapping[int, Sequence[int]] = field(default_factory=dict)
    events: Mapping[int, Cells] = field(default_factory=dict, compare=False)
    """By hour, where its events lie by column, as the run that read them knows; the ledger keeps it with the parts."""

    def with_events(self, cells: Mapping[Any, Cells]) -> "Entry":
        """The entry as it knows where its events lie; ``cells`` by log id, partition, first offset and hour."""
        place = self.topic_id, self.partition, self.first
        return replace(self, events={hour: cells[key] for hour in self.hours if (key := (*place, hour)) in cells})

    def parts(self) -> Iterator[tuple[int, "HourPart"]]:
        """Hours, and what the entry holds of each."""
        for hour, counts in self.hours.items():
            yield hour, HourPart(self.topic_id, self.partition, self.first, counts, events=self.events.get(hour))

    @property
    def offsets(self) -> OffsetRange:
        return OffsetRange(self.topic_id, self.partition, self.first, self.end)

    @property
    def counts(self) -> HourCounts:
        return sum_of(self.hours.values())

    @property
    def balances(self) -> bool:
        counts = self.counts
        return self.read == counts.kept + counts.duplicates + counts.dead_lettered


@dataclass(frozen=True, slots=True)
class HourPart:
    """What the entry that begins at ``first`` holds of one hour."""

    topic_id: str
    partition: int
    first: int
    counts: HourCounts = field(compare=False)
    version: str = field(default="", compare=False)
    """Another one whenever the part is written with other events."""
    events: Cells | None = field(default=None, compare=False)
    """Its events by column, if the run that wrote the part put them there."""
    block: Block | None = field(default=None, compare=False)
    """Its clicks by column, if enrichment has made them of this version."""

    def is_enriched_by(self, versions: str) -> bool:
        block = self.block
        is_whole = block is not None and block.audience is not None
        return not self.counts.kept or (block is not None and is_whole and block.enriched_by == versions)


def counts_of(parts: Mapping[int, Iterable[HourPart]]) -> dict[int, HourCounts]:
    """What each hour holds, of all its parts."""
    return {hour: sum_of(part.counts for part in of_hour) for hour, of_hour in parts.items()}
