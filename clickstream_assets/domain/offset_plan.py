"""Which offsets a run reads, and what it may commit (docs/architecture.md, "Ingestion"). Plain values only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clickstream_assets.domain.ledger import READ, Entry

MAX_PIECE = 100_000
"""Offsets in one new ledger entry at most: an entry is what is read again when one of its hours is."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Offsets ``first`` (included) to ``end`` (not) to be read, and the entry that booked them before, if any."""

    first: int
    end: int
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What is to be read of a partition, what was lost to retention unread, and which entries Kafka no longer holds."""

    pieces: list[Piece] = field(default_factory=list)
    lost: list[Piece] = field(default_factory=list)
    unavailable: list[Entry] = field(default_factory=list)


def begin(committed: int | None, ledger_end: int | None, earliest: int, end: int) -> int:
    """Where reading goes on: the committed offset; else behind the ledger's last entry; else the earliest there is.

    A committed offset beyond the end belongs to a topic that was deleted and made again: it counts as none.
    """
    if committed is not None and committed <= end:
        return committed
    return earliest if ledger_end is None else ledger_end


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of offsets (first included, end not) in order, those that touch or overlap as one."""
    whole: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if whole and first <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((first, end))
    return whole


def plan_partition(
    first: int, end: int, entries: Sequence[Entry], available_from: int, cuts: Iterable[int] = ()
) -> PartitionPlan:
    """Cut ``first`` (included) to ``end`` (not) along the ``entries`` it overlaps (in order).

    An entry is read again whole, or not at all. What no entry covers is cut at ``cuts`` (the offsets at which
    hours begin) and into pieces of :data:`MAX_PIECE`; where Kafka's log now begins behind it, it is lost.
    """
    plan = PartitionPlan()
    at = first
    for entry in entries:
        _plan_unbooked(plan, at, entry.first, available_from, cuts)
        if entry.kind == READ:
            if entry.first >= available_from:
                plan.pieces.append(Piece(entry.first, entry.end, entry))
            else:
                plan.unavailable.append(entry)
        at = max(at, entry.end)
    _plan_unbooked(plan, at, end, available_from, cuts)
    return plan


def _plan_unbooked(plan: PartitionPlan, first: int, end: int, available_from: int, cuts: Iterable[int]) -> None:
    if first >= end:
        return
    if first < available_from:
        plan.lost.append(Piece(first, min(end, available_from)))
        first = available_from
    for cut in [*sorted({cut for cut in cuts if first < cut < end}), end]:
        while first < cut:
            stop = min(cut, first + MAX_PIECE)
            plan.pieces.append(Piece(first, stop))
            first = stop


def to_commit(base: int, first: int, end: int) -> int | None:
    """The offset to commit after ``first`` to ``end`` was read: None if that would skip or take back anything.

    ``base`` is where reading had to go on (:func:`begin`).
    """
    return end if first <= base < end else None
