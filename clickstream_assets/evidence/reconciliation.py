"""Do the books agree with the servers? Every figure is read from the server it is about."""

from dataclasses import dataclass, field
from time import time

from elasticsearch import Elasticsearch

from clickstream_assets.books.books import Books
from clickstream_assets.books.day_states import waiting_days
from clickstream_assets.books.log_cuts import Generations, topic_of
from clickstream_assets.evidence.metric_counts import metric_totals
from clickstream_assets.index.documents import Totals, of_hour
from clickstream_assets.stores.kafka.client import TopicClient


@dataclass(slots=True)
class Reconciliation:
    """Figures of the whole pipeline at one moment."""

    in_topic: int = 0
    """Offsets from the ledger's or the log's beginning to the end, of all partitions."""
    lag: int = 0
    read: int = 0
    kept: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    without_record: int = 0
    """Offsets that Kafka has or had no record for: compaction, transactions, retention."""
    rows: int = 0
    letters: int = 0
    stale_hours: int = 0
    metrics: int = 0
    metric_clicks: int = 0
    documents: int = 0
    document_clicks: int = 0
    differences: list[str] = field(default_factory=list)


def progress(topic: TopicClient, books: Books) -> tuple[int, int]:
    """How far the pipeline is behind: offsets not yet committed, hours that a run could bring up to date."""
    lag = topic.lag(topic.ends(topic.partitions()))
    return lag, sum(state.waiting for state in books.hours.all().values())


def stale_days(books: Books) -> int:
    """How many days are still to be put together anew from their hours."""
    now_ms = int(time() * 1000)
    return len(waiting_days(books.hours.all(), books.days.all(), now_ms, pause_ms=0))


def reconcile(topic: TopicClient, books: Books, es: Elasticsearch, alias: str) -> Reconciliation:
    figures = Reconciliation()
    figures.lag, figures.stale_hours = progress(topic, books)
    topic_id, ends = topic.topic_id(), topic.ends(topic.partitions())
    generations = Generations.of(books.cuts.read(topic_id))
    first = topic.earliest(ends)
    covered = dict.fromkeys(ends, 0)
    for entry in books.ledger.entries():
        counts = entry.counts
        figures.read += entry.read
        figures.kept += counts.kept
        figures.duplicates += counts.duplicates
        figures.dead_lettered += counts.dead_lettered
        if not entry.balances:
            figures.differences.append(
                f"partition {entry.partition} offsets {entry.first} to {entry.end} do not balance"
            )
        if topic_of(entry.topic_id) == topic_id:
            for offsets in generations.ranges(topic_id, entry.partition, entry.first, entry.end):
                if offsets.log_id == entry.topic_id:
                    covered[entry.partition] += len(offsets)
                    first[entry.partition] = min(first[entry.partition], offsets.first)
            figures.without_record += len(entry.offsets) - entry.read
    figures.in_topic = sum(end - first[p] for p, end in ends.items())
    figures.rows = books.hbase.count(books.tables.clicks, b"", b"")
    figures.letters = books.hbase.count(books.tables.dead_letters, b"", b"")
    states = books.hours.all()
    if states:
        totals = metric_totals(books, range(min(states), max(states) + 1))
        stored = sum((of_hour(countries) for countries in totals.values()), Totals())
        figures.metrics, figures.metric_clicks = stored.rows, stored.clicks
    if es.indices.exists_alias(name=alias):
        es.indices.refresh(index=alias)
        answer = es.search(index=alias, size=0, track_total_hits=True, aggs={"clicks": {"sum": {"field": "clicks"}}})
        figures.documents = answer["hits"]["total"]["value"]
        figures.document_clicks = int(answer["aggregations"]["clicks"]["value"])
    _compare(figures, sum(covered.values()))
    return figures


def _compare(figures: Reconciliation, covered: int) -> None:
    booked = figures.kept + figures.duplicates + figures.dead_lettered
    pairs = (
        ("offsets in the topic", figures.in_topic, "offsets in the ledger", covered),
        ("messages read", figures.read, "kept + duplicates + dead-lettered", booked),
        ("rows in HBase", figures.rows, "kept in the ledger", figures.kept),
        ("dead letters in HBase", figures.letters, "dead-lettered in the ledger", figures.dead_lettered),
        ("documents in Elasticsearch", figures.documents, "metrics in HBase", figures.metrics),
        ("clicks in Elasticsearch", figures.document_clicks, "clicks in HBase", figures.metric_clicks),
        ("lag", figures.lag, "expected", 0),
        ("stale hours", figures.stale_hours, "expected", 0),
    )
    figures.differences += [f"{a}: {x}, {b}: {y}" for a, x, b, y in pairs if x != y]
