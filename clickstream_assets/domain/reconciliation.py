"""Do the books agree with the servers? Every figure is read from the server it is about."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clickstream_assets.clients.hbase import HBaseClient
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain.documents import Totals, of_hour
from clickstream_assets.domain.hour_counts import metric_totals
from clickstream_assets.domain.ledger import Ledger
from clickstream_assets.domain.log_cuts import Generations, read_cuts, topic_of
from clickstream_assets.domain.stale_hours import HourStates
from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER, METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch


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
    mended: int = 0
    """Dead letters that a replay made rows or duplicates: counted in those, not beside them."""
    late: int = 0
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


def progress(topic: TopicClient, hbase: HBaseClient, table: "Callable[[str], str]") -> tuple[int, int]:
    """How far the pipeline is behind: offsets not yet committed, hours that a run could bring up to date."""
    lag = topic.lag(topic.ends(topic.partitions()))
    states = HourStates(hbase, table(LEDGER.name)).all()
    return lag, sum(state.waiting for state in states.values())


def reconcile(
    topic: TopicClient, hbase: HBaseClient, es: "Elasticsearch", table: "Callable[[str], str]", alias: str
) -> Reconciliation:
    """Read all figures and say where they differ."""
    found = Reconciliation()
    found.lag, found.stale_hours = progress(topic, hbase, table)
    topic_id, ends = topic.topic_id(), topic.ends(topic.partitions())
    generations = Generations.of(read_cuts(hbase, table(LEDGER.name), topic_id))
    first = topic.earliest(ends)
    covered = dict.fromkeys(ends, 0)
    for entry in Ledger(hbase, table(LEDGER.name)).entries():
        found.read += entry.read
        found.kept += entry.kept
        found.duplicates += entry.duplicates
        found.dead_lettered += entry.dead_lettered
        found.mended += entry.mended
        found.late += entry.late
        if not entry.balances:
            found.differences.append(f"partition {entry.partition} offsets {entry.first} to {entry.end} do not balance")
        if topic_of(entry.topic_id) == topic_id:
            for there in generations.stretches(topic_id, entry.partition, entry.first, entry.end):
                if there.log_id == entry.topic_id:
                    covered[entry.partition] += there.end - there.first
                    first[entry.partition] = min(first[entry.partition], there.first)
            found.without_record += entry.end - entry.first - entry.read
    found.in_topic = sum(end - first[p] for p, end in ends.items())
    found.rows = hbase.count(table(CLICKS.name), b"", b"")
    found.letters = hbase.count(table(DEAD_LETTERS.name), b"", b"")
    states = HourStates(hbase, table(LEDGER.name)).all()
    if states:
        totals = metric_totals(hbase, table(METRICS.name), range(min(states), max(states) + 1))
        stored = sum((of_hour(countries) for countries in totals.values()), Totals())
        found.metrics, found.metric_clicks = stored.rows, stored.clicks
    if es.indices.exists_alias(name=alias):
        es.indices.refresh(index=alias)
        answer = es.search(index=alias, size=0, track_total_hits=True, aggs={"clicks": {"sum": {"field": "clicks"}}})
        found.documents = answer["hits"]["total"]["value"]
        found.document_clicks = int(answer["aggregations"]["clicks"]["value"])
    _compare(found, sum(covered.values()))
    return found


def _compare(found: Reconciliation, covered: int) -> None:
    pairs = (
        ("offsets in the topic", found.in_topic, "offsets in the ledger", covered),
        (
            "messages read",
            found.read,
            "kept + duplicates + dead-lettered",
            found.kept + found.duplicates + found.dead_lettered,
        ),
        ("rows in HBase", found.rows, "kept in the ledger", found.kept),
        ("dead letters in HBase", found.letters, "dead-lettered in the ledger", found.dead_lettered),
        ("documents in Elasticsearch", found.documents, "metrics in HBase", found.metrics),
        ("clicks in Elasticsearch", found.document_clicks, "clicks in HBase", found.metric_clicks),
        ("lag", found.lag, "expected", 0),
        ("stale hours", found.stale_hours, "expected", 0),
    )
    found.differences += [f"{a}: {x}, {b}: {y}" for a, x, b, y in pairs if x != y]
