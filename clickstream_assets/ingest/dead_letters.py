"""Dead letters: what was refused, listed and looked up."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clickstream_assets.books.table_schemas import DEAD_LETTERS
from clickstream_assets.events.hours import hour_of_letter
from clickstream_assets.ingest.outcomes import letter_key
from clickstream_assets.stores.hbase.client import BYTES_PER_CALL, ROWS_PER_CALL, HBaseClient, rows_per_call
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets.stores.spark.tasks import put_together

FEW = 50
"""Up to so many letters are asked for one by one: to ask first how large they are would cost more."""
_VALUE, REASON = DEAD_LETTERS.columns["value"].key, DEAD_LETTERS.columns["reason"].key
_BESIDE_VALUE = [column for column in DEAD_LETTERS.columns.values() if column.key != _VALUE]
_ROWS_PER_CALL = rows_per_call(DEAD_LETTERS.row_bytes(*(column.name for column in _BESIDE_VALUE)))


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes: its message's place in Kafka, the record time, why it was refused."""

    topic_id: str
    partition: int
    offset: int
    record_time_ms: int
    reason: str
    detail: str
    run_id: str

    @property
    def key(self) -> bytes:
        return letter_key(self.topic_id, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: of these reasons (all if none is named), of hours ``first`` (included) to ``end`` (not).

    ``limit`` takes that many at most, in order of topic id, Kafka partition and offset.
    """

    reasons: frozenset[str] = frozenset()
    first: int | None = None
    end: int | None = None
    limit: int | None = None

    def takes(self, letter: Letter, first_hour: int) -> bool:
        hour = hour_of_letter(letter.record_time_ms, first_hour)
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.first is None or hour >= self.first)
            and (self.end is None or hour < self.end)
        )


def record_of(letter: Letter, value: bytes | None) -> Record:
    """The Kafka record that a letter was. One that was too large to be kept is refused again, in the same words."""
    refusal = letter.detail if value is None and letter.reason == "too_large" else None
    return Record(letter.partition, letter.offset, letter.record_time_ms, value, refusal)


class DeadLetters:
    """The letters, in HBase. ``first_hour`` is the first partition, in hours since the epoch."""

    def __init__(self, hbase: HBaseClient, table: str, first_hour: int) -> None:
        self._hbase, self._table, self._first_hour = hbase, table, first_hour

    def select(self, wanted: Selection) -> Iterator[Letter]:
        """The letters wanted, in order of topic id, partition and offset; scans the whole table."""
        matching = (letter for letter in self._scan(b"", b"") if wanted.takes(letter, self._first_hour))
        return islice(matching, wanted.limit)

    def between(self, topic_id: str, partition: int, first: int, end: int) -> list[Letter]:
        """The letters of offsets ``first`` (included) to ``end`` (not), in order."""
        return list(self._scan(letter_key(topic_id, partition, first), letter_key(topic_id, partition, end)))

    def values(self, letters: Sequence[Letter]) -> Iterator[list[tuple[Letter, bytes | None]]]:
        """Each letter with its message's bytes, None where it has none; one deleted meanwhile is left out.

        In lists of as much as fits into one call. A larger letter, up to a whole Kafka message, comes alone.
        """
        for batch in self._by_bytes(letters):
            cells = self._hbase.get(self._table, [letter.key for letter in batch], (_VALUE, REASON))
            yield [(letter, cells[letter.key].get(_VALUE)) for letter in batch if letter.key in cells]

    def _by_bytes(self, letters: Sequence[Letter]) -> Iterator[list[Letter]]:
        if len(letters) <= FEW:
            yield from ([letter] for letter in letters)
            return
        for start in range(0, len(letters), ROWS_PER_CALL):
            page = {letter.key: letter for letter in letters[start : start + ROWS_PER_CALL]}
            sizes = dict.fromkeys(page, 0)
            sizes |= dict(self._hbase.sizes(self._table, min(page), max(page) + b"\0", _VALUE))
            yield from ([page[key] for key in keys] for keys in put_together(page, sizes.__getitem__, BYTES_PER_CALL))

    def counts(self, wanted: Selection) -> dict[tuple[int, str], int]:
        """How many of the letters wanted there are, by hour and reason, in that order."""
        counts = Counter(
            (hour_of_letter(letter.record_time_ms, self._first_hour), letter.reason) for letter in self.select(wanted)
        )
        return {group: counts[group] for group in sorted(counts)}

    def _scan(self, start: bytes, stop: bytes) -> Iterator[Letter]:
        columns = [column.key for column in _BESIDE_VALUE]
        rows = self._hbase.scan(self._table, start, stop, columns, batch_rows=_ROWS_PER_CALL, large_cells=True)
        for key, cells in rows:
            topic_id, partition, offset = key.decode().split("|")
            row = DEAD_LETTERS.decode(cells)
            yield Letter(topic_id, int(partition), int(offset), row.pop("record_time"), **row)
