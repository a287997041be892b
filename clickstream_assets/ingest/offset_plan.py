"""Which offsets a run reads, and what it may commit (docs/architecture.md, "Ingestion"). Plain values only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clickstream_assets.books.ledger_entries import READ, Entry
from clickstream_assets.books.offsets import OffsetRange

MAX_RANGE = 25_000
"""Offsets in one new ledger entry at most: an entry is what is read again when one of its hours is, and what a task on
Spark reads whole."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What is to be read, what was lost to retention unread, and which entries Kafka no longer holds."""

    to_read: dict[OffsetRange, Entry | None] = field(default_factory=dict)
    """Each with the entry that booked it before, if any."""
    lost: list[OffsetRange] = field(default_factory=list)
    unavailable: dict[OffsetRange, Entry] = field(default_factory=dict)

    def read_again(self, entry: Entry, available_from: int) -> None:
        """Plan an entry that was read: it is read again whole, or not at all."""
        if entry.kind == READ:
            if entry.first >= available_from:
                self.to_read[entry.offsets] = entry
            else:
                self.unavailable[entry.offsets] = entry

    def read(self, offsets: OffsetRange, entries: Sequence[Entry], available_from: int, cuts: Iterable[int]) -> None:
        """Plan offsets along the ``entries`` that they overlap (in order).

        What no entry covers is cut at ``cuts`` (the offsets at which hours begin) and into ranges of
        :data:`MAX_RANGE`; where Kafka's log now begins behind it, it is lost.
        """
        at = offsets.first
        for entry in entries:
            self._read_unbooked(replace(offsets, first=at, end=entry.first), available_from, cuts)
            self.read_again(entry, available_from)
            at = max(at, entry.end)
        self._read_unbooked(replace(offsets, first=at), available_from, cuts)

    def _read_unbooked(self, offsets: OffsetRange, available_from: int, cuts: Iterable[int]) -> None:
        first, end = offsets.first, offsets.end
        if first >= end:
            return
        if first < available_from:
            self.lost.append(replace(offsets, end=min(end, available_from)))
            first = available_from
        for cut in [*sorted({cut for cut in cuts if first < cut < end}), end]:
            while first < cut:
                stop = min(cut, first + MAX_RANGE)
                self.to_read[replace(offsets, first=first, end=stop)] = None
                first = stop


def to_commit(base: int, first: int, end: int) -> int | None:
    """The offset to commit after ``first`` to ``end`` was read: None if that would skip or take back anything.

    ``base`` is where reading had to go on (:func:`begin`).
    """
    return end if first <= base < end else None


def read_on(until: Mapping[int, int], reach: Mapping[int, int], more: int) -> dict[int, int]:
    """Where a run stops that goes on behind ``until``: at ``reach``, and after about ``more`` offsets at most."""
    further = {p: max(end, reach.get(p, end)) for p, end in until.items()}
    return {**until, **bounded(until, further, more)}


def bounded(begins: Mapping[int, int], ends: Mapping[int, int], limit: int) -> dict[int, int]:
    """Ends that leave about ``limit`` offsets at most: each partition cut in proportion, to one offset at least."""
    total = sum(ends[p] - begins[p] for p in ends)
    if total <= limit:
        return dict(ends)
    return {p: begins[p] + max(1, (ends[p] - begins[p]) * limit // total) for p in ends if ends[p] > begins[p]}
