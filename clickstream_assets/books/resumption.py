"""Where reading goes on in each Kafka partition, how far behind that is, and whether its log is the one read before."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import time

from clickstream_assets.books.books import Books
from clickstream_assets.books.log_cuts import Cut, Generations, log_id
from clickstream_assets.books.watermarks import Watermarks
from clickstream_assets.stores.kafka.client import TopicClient


@dataclass(frozen=True, slots=True)
class Resumption:
    """By partition, where reading goes on, and what Kafka says of it."""

    topic_id: str
    begins: Mapping[int, int]
    earliest: Mapping[int, int]
    committed: Mapping[int, int | None]
    void: frozenset[int]
    """Partitions whose committed offset is one of a log that is no more."""
    cuts: list[Cut]
    """Those in the ledger."""
    unbooked: list[Cut]
    """Those that only this look has noticed."""

    @property
    def generations(self) -> Generations:
        """Of what is in Kafka now."""
        return Generations.of([*self.cuts, *self.unbooked])

    @property
    def readable(self) -> dict[int, int]:
        """Where reading goes on, or the first offset behind that Kafka still holds."""
        return {p: max(at, self.earliest[p]) for p, at in self.begins.items()}

    def lag(self, ends: Mapping[int, int]) -> int:
        """Offsets from where reading goes on up to ``ends``."""
        return sum(max(0, end - self.begins[p]) for p, end in ends.items())


def begin(committed: int | None, ledger_end: int | None, earliest: int, end: int) -> int:
    """Where reading goes on: the committed offset; else behind the ledger's last entry; else the earliest there is.

    A committed offset beyond the end belongs to a topic that was deleted and made again: it counts as none.
    """
    if committed is not None and committed <= end:
        return committed
    return earliest if ledger_end is None else ledger_end


def resumption(topic: TopicClient, books: Books, ends: Mapping[int, int]) -> Resumption:
    """Look at the partitions that ``ends`` has the end offsets of.

    A log that ends before what the ledger has of it, or of which Kafka says that it was cut back below the committed
    offset, was cut back: reading goes on where the cut is. Below it lies what was read before.
    """
    earliest, committed, topic_id = topic.earliest(ends), topic.committed(ends), topic.topic_id()
    kafka_cuts = topic.cut_back(committed)
    cuts = books.cuts.read(topic_id)
    generations = Generations.of(cuts)
    unbooked: list[Cut] = []
    begins, void = {}, set()
    for p, end in ends.items():
        at, (start, number) = committed[p], generations.newest(p)
        ledger_end = books.ledger.end(log_id(topic_id, number), p)
        read_to = start if ledger_end is None else ledger_end
        # What was read meanwhile may lie beyond an end asked for before.
        now = topic.ends([p])[p] if max(read_to, at or 0) > end else end
        cut_at = kafka_cuts.get(p, now)
        if cut_at < read_to:
            start, number, ledger_end = cut_at, number + 1, None
            unbooked.append(Cut(p, number, cut_at, read_to, int(time() * 1000)))
        # Of a log just begun anew nothing is read yet: what is committed beyond its start is of the one before.
        last = start if number and ledger_end is None else now
        if at is not None and (p in kafka_cuts or at > last):
            void.add(p)
            at = None
        begins[p] = begin(at, ledger_end, start or earliest[p], now)
    return Resumption(topic_id, begins, earliest, committed, frozenset(void), cuts, unbooked)


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """One Kafka partition as ingestion has left it. Times are epoch milliseconds; None where there is none."""

    partition: int
    end: int
    committed: int | None
    lag: int
    """Offsets from where reading goes on to the end."""
    oldest_ms: int | None
    """Timestamp of the first record that waits; None if none waits, it has none, or Kafka did not give it in time."""
    watermark_ms: int | None

    def lag_seconds(self, now_ms: int) -> float | None:
        """Age of the first record that waits: 0 if none does, None if it is not known."""
        if not self.lag:
            return 0.0
        return None if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1000


def progress_by_partition(
    topic: TopicClient, watermarks: Watermarks, log: Resumption, ends: Mapping[int, int]
) -> list[PartitionProgress]:
    """Every partition, in order; ``log`` tells where reading goes on. Reads a record of each that lags."""
    lags = {partition: max(0, end - log.begins[partition]) for partition, end in ends.items()}
    # What retention took cannot be looked at: the first record that is left stands for it.
    waiting = {partition: log.readable[partition] for partition, lag in lags.items() if lag}
    times = topic.record_times({partition: at for partition, at in waiting.items() if at < ends[partition]})
    # A record that its producer gave no time (-1) does not say how long it has waited.
    oldest = {partition: time_ms for partition, time_ms in times.items() if time_ms >= 0}
    stored = watermarks.read(log.topic_id)
    return [
        PartitionProgress(p, end, log.committed[p], lags[p], oldest.get(p), stored.get(p))
        for p, end in sorted(ends.items())
    ]
