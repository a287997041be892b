"""Ranges of offsets."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """Offsets ``first`` (included) to ``end`` (not) of a partition, all of one generation of its log."""

    log_id: str
    """The topic id, and the generation behind it where the log was cut back (:mod:`.log_cuts`)."""
    partition: int
    first: int
    end: int

    def __len__(self) -> int:
        """How many offsets, whether Kafka has a record for each or not."""
        return self.end - self.first

    def covers(self, other: "OffsetRange") -> bool:
        same_log = (self.log_id, self.partition) == (other.log_id, other.partition)
        return same_log and self.first <= other.first and other.end <= self.end

    def overlaps(self, other: "OffsetRange") -> bool:
        """Whether the two share an offset; an empty range shares none."""
        same_log = (self.log_id, self.partition) == (other.log_id, other.partition)
        return same_log and max(self.first, other.first) < min(self.end, other.end)


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of offsets (first included, end not) in order, those that touch or overlap as one."""
    whole: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if whole and first <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((first, end))
    return whole
