"""Logs that were cut back under the same topic id, so that their offsets are given out again (decision 16).

A cut begins a new *generation* of its partition's log: from the offset ``at`` on, up to the end. What was read of the
one before from there on stays in rows, dead letters and ledger under that one's id. The id of a topic's first
generation is the topic id alone, that of a later one has the generation behind it: no two messages ever share id,
partition and offset. Cuts are booked in the ledger's table, in rows ``cut|<topic id>|<partition>|<generation>``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_MARK = "~"
"""Neither in topic ids nor in names of topics; behind all that keys are put together with."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A partition's log ended at offset ``at`` when it had been read up to ``read_to``: it was begun anew there."""

    partition: int
    generation: int
    """Of the log that begins there: 1 for a partition's first cut."""
    at: int
    read_to: int
    noticed_ms: int
    run_id: str = ""
    """The run that booked it."""

    def in_words(self) -> str:
        moment = datetime.fromtimestamp(self.noticed_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"partition {self.partition} was cut back from offset {self.read_to} to {self.at} (noticed {moment})"


@dataclass(frozen=True, slots=True)
class Generations:
    """Of which generation of its partition's log an offset is now.

    ``starts`` has, for partitions that were cut back, the offsets at which generations begin, in order, each with
    its number. Of a generation that a later cut reached behind, nothing is left.
    """

    starts: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, cuts: Iterable[Cut]) -> "Generations":
        starts: dict[int, tuple[tuple[int, int], ...]] = {}
        for cut in sorted(cuts, key=lambda cut: cut.generation):
            before = starts.get(cut.partition, ((0, 0),))
            kept = tuple(start for start in before if start[0] < cut.at)
            starts[cut.partition] = (*kept, (cut.at, cut.generation))
        return cls(starts)

    def newest(self, partition: int) -> tuple[int, int]:
        """Where the generation that is being written begins, and its number."""
        return self.starts[partition][-1] if partition in self.starts else (0, 0)

    def at(self, partition: int, offset: int) -> int:
        starts = self.starts.get(partition, ())
        return next((generation for first, generation in reversed(starts) if first <= offset), 0)

    def ranges(self, topic_id: str, partition: int, first: int, end: int) -> list[OffsetRange]:
        """``first`` (included) to ``end`` (not), cut where generations begin; empty where there is nothing between."""
        starts = self.starts.get(partition, ((0, 0),))
        ends = [start for start, _ in starts[1:]] + [end]
        return [
            OffsetRange(log_id(topic_id, generation), partition, max(first, start), min(stop, end))
            for (start, generation), stop in zip(starts, ends, strict=True)
            if max(first, start) < min(stop, end)
        ]


def log_id(topic_id: str, generation: int) -> str:
    """What messages of a generation of a topic's partition are known by."""
    return f"{topic_id}{_MARK}{generation:03d}" if generation else topic_id


def topic_of(id_of_log: str) -> str:
    """The topic id in the id of a log."""
    return id_of_log.partition(_MARK)[0]


def named(topic: str, id_of_log: str) -> str:
    """The name of a topic, told apart by generation as the id of the log is."""
    _, mark, generation = id_of_log.partition(_MARK)
    return f"{topic}{mark}{generation}"


class Cuts:
    """Where logs were cut back, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def read(self, topic_id: str) -> list[Cut]:
        """Those of a topic, by partition and generation."""
        rows = self._hbase.scan(self._table, f"cut|{topic_id}|".encode(), f"cut|{topic_id}}}".encode())
        return [_to_cut(key, cells) for key, cells in rows]

    def write(self, topic_id: str, cuts: Iterable[Cut]) -> None:
        """Book cuts: before anything is read behind them."""
        self._hbase.mutate(self._table, [_row(topic_id, cut) for cut in cuts])


def _row(topic_id: str, cut: Cut) -> RowMutation:
    values = {"at": cut.at, "read_to": cut.read_to, "noticed": cut.noticed_ms, "run_id": cut.run_id}
    cells = {f"entry:{name}".encode(): str(value).encode() for name, value in values.items()}
    return RowMutation(f"cut|{topic_id}|{cut.partition:06d}|{cut.generation:03d}".encode(), cells)


def _to_cut(key: bytes, cells: Mapping[bytes, bytes]) -> Cut:
    _, _, partition, generation = key.decode().split("|")
    at, read_to, noticed_ms = (int(cells[f"entry:{name}".encode()]) for name in ("at", "read_to", "noticed"))
    return Cut(int(partition), int(generation), at, read_to, noticed_ms, cells[b"entry:run_id"].decode())
