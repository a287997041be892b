"""What a run's ingestion did, for its log and its metadata."""

from collections import defaultdict
from dataclasses import dataclass, field

from clickstream_assets.books.ledger_entries import Entry, HourPart
from clickstream_assets.books.log_cuts import Cut


@dataclass(slots=True)
class IngestReport:
    """Counts of messages and offsets, and by Kafka partition what was read and committed."""

    read: int = 0
    kept: int = 0
    new_rows: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    lost: int = 0
    missing: int = 0
    unavailable: int = 0
    """Offsets booked earlier that Kafka no longer holds: what is stored of them was left alone."""
    cuts: list[Cut] = field(default_factory=list)
    """Where this run noticed that logs were cut back."""
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    parts: defaultdict[int, list[HourPart]] = field(default_factory=lambda: defaultdict(list))
    """By hour, what the run booked of it."""

    def add(self, entry: Entry) -> None:
        counts = entry.counts
        self.read += entry.read
        self.kept += counts.kept
        self.duplicates += counts.duplicates
        self.dead_lettered += counts.dead_lettered
        self.missing += entry.end - entry.first - entry.read

    def in_words(self) -> str:
        words = (
            f"read {self.read} messages: kept {self.kept}, {self.duplicates} duplicates, "
            f"{self.dead_lettered} dead-lettered; {self.new_rows} rows written"
        )
        if self.lost:
            words += f"; {self.lost} offsets were lost to retention before they were read"
        if self.missing:
            words += f"; {self.missing} offsets hold no record"
        if self.cuts:
            words += f"; {'; '.join(cut.in_words() for cut in self.cuts)}"
        return words
