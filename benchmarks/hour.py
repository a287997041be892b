"""The main measurement: an hour through each stage, each beside its yardstick, over and over under new names."""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import happybase
from elasticsearch.helpers import scan

from benchmarks import bare, golden
from benchmarks.bench import Bench
from benchmarks.dagster_run import DagsterRun, run_all_assets
from benchmarks.feed import Feed, feed
from benchmarks.pipeline import STAGES, Pipeline, Ran
from benchmarks.scale import Scale
from benchmarks.seed_loop import seed_loop
from benchmarks.statistics import Timing
from clickstream_assets.books.row_keys import key_ranges, metrics_key_range
from clickstream_assets.books.table_schemas import CLICKS, ENRICHED_FAMILIES, METRICS, REQUEST_DATA
from clickstream_assets.index.documents import ensure_template
from clickstream_assets.stores.hbase.new_tables import create_tables
from clickstream_assets.stores.java import java_binary

FIRST = "bench-"
"""Prefix of the topic, and of the run that everything else is a repetition of."""
BY_TWO = "bare puts over two connections"
"""The yardstick of all stages together."""
_SOURCE = CLICKS.columns["source"].key
_HOUR_OF_NOTHING = -24


@dataclass(frozen=True, slots=True)
class Copies:
    """What the first run stored, for the yardsticks to store again."""

    rows: bare.Rows
    """In the order of their messages."""
    enriched: bare.Rows
    """What enrichment put into these rows, in the same order."""
    metrics: bare.Rows
    documents: Sequence[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class Figures:
    """All that was measured of the hour, one entry a repetition."""

    feed: Feed
    first_run: DagsterRun
    rows: int
    documents: int
    timings: dict[str, list[Timing]] = field(default_factory=lambda: defaultdict(list))
    """Stages, checks of each, ``read again``, ``late`` and yardsticks, by name."""
    empty_runs: list[DagsterRun] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def sums(self, *names: str) -> list[Timing]:
        """By repetition, the events of the hour through several stages."""
        repetitions = zip(*(self.timings[name] for name in names), strict=True)
        return [Timing(self.feed.events, sum(timing.seconds for timing in stages)) for stages in repetitions]


def measure_hour(bench: Bench, scale: Scale, hour: int) -> Figures:
    """Measure an hour of ``scale.events`` messages that ended an hour ago or longer."""
    first = Pipeline(bench.settings, FIRST)
    late = round(scale.events * scale.late_share)
    found = bench.show(
        f"Sending {scale.events:,} events of one hour",
        lambda: feed(first, bench.home, hour, scale.events, late),
        lambda feed: f"and {feed.late:,} late ones",
    )
    run = bench.show(
        "Warming up: a Dagster run over the hour",
        lambda: run_all_assets(bench.stack, bench.home / "dagster", FIRST, hour, found.ends),
        lambda run: f"{scale.events / sum(run.steps.values()):,.0f} events/s cold, checks included; {run.peak_mb} MB",
    )
    copies = bench.show("Taking copies for the yardsticks", lambda: _copies(first, hour))
    figures = Figures(found, run, len(copies.rows), len(copies.documents))
    gc.collect()
    gc.freeze()  # millions of objects that stay: nothing that the yardsticks are to pay for
    for number in range(scale.repetitions):
        repetition = _Repetition(bench, figures, copies, number, scale)
        repetition.measure()
        if number == scale.repetitions - 1:
            figures.differences = bench.show(
                "Comparing with the independent computation",
                partial(golden.differences, found.sent, repetition.pipeline.settings),
                lambda differences: f"{len(differences)} differences",
            )
        else:
            bench.show(f"Dropping the tables of repetition {number + 1}", repetition.pipeline.drop)
    for _ in range(scale.empty_runs):
        empty = bench.show(
            "Starting Dagster for an hour without events",
            lambda: run_all_assets(bench.stack, bench.home / "dagster", FIRST, hour + _HOUR_OF_NOTHING, {}),
            lambda run: f"{run.overhead_seconds:.1f} s and {sum(run.steps.values()):.1f} s in its steps",
        )
        figures.empty_runs.append(empty)
    return figures


class _Repetition:
    """Everything once, under a prefix of its own. Every second one has the yardstick before the stage."""

    def __init__(self, bench: Bench, figures: Figures, copies: Copies, number: int, scale: Scale) -> None:
        self._bench, self._figures, self._copies, self._scale = bench, figures, copies, scale
        self._number, self._hour = number, figures.feed.hour
        self.pipeline = Pipeline(bench.settings, f"bench{number + 1}-", figures.feed.topic)
        self._bare, self._bare_by_two, self._bare_metrics = (
            f"{self.pipeline.settings.name_prefix}{name}" for name in ("bare", "bare-by-two", "bare-metrics")
        )

    def measure(self) -> None:
        """Measure all stages and yardsticks once."""
        events, feed = self._figures.feed.events, self._figures.feed
        self._bench.show(f"Making the tables of repetition {self._number + 1}", self._make_tables)
        hbase = self.pipeline.settings.hbase_host, self.pipeline.settings.hbase_port
        connection = happybase.Connection(*hbase, timeout=60_000)
        self._timed("the seed's loop", lambda: self._seed_loop(connection))
        self._side_by_side(
            lambda: self._stage("raw_clicks", events, feed.ends),
            ("bare puts", lambda: bare.put_rows(connection, self._bare, self._copies.rows)),
            (BY_TWO, lambda: bare.put_rows_by_two(*hbase, self._bare_by_two, self._copies.rows)),
        )
        self._timed("read again", lambda: Timing(events, self._run("raw_clicks").asset))
        self._side_by_side(
            lambda: self._stage("enriched_clicks", events),
            ("bare puts of its cells", lambda: bare.put_rows(connection, self._bare, self._copies.enriched)),
        )
        self._side_by_side(
            lambda: self._stage("url_country_metrics", events),
            ("bare puts of its rows", lambda: bare.put_rows(connection, self._bare_metrics, self._copies.metrics)),
        )
        self._side_by_side(
            lambda: self._stage("es_index", self._figures.documents), ("bare bulk", self._index_documents)
        )
        if feed.late:
            self._timed("late", self._recompute)
        connection.close()

    def _timed(self, name: str, action: Callable[[], Timing]) -> None:
        text = f"{self._number + 1}/{self._scale.repetitions} {name}"
        timing = self._bench.show(text, action, lambda timing: f"{timing.rate:,.0f}/s")
        self._figures.timings[name].append(timing)

    def _side_by_side(self, stage: Callable[[], None], *yardsticks: tuple[str, Callable[[], Timing]]) -> None:
        steps: list[Callable[[], None]] = [stage, *(partial(self._timed, *one) for one in yardsticks)]
        for step in steps if self._number % 2 else reversed(steps):
            step()

    def _stage(self, asset: str, count: int, until: dict[int, int] | None = None) -> None:
        name = STAGES[asset]

        def run() -> Timing:
            with self._bench.watch.stage(name):
                ran = self._run(asset, until)
            self._figures.timings[f"checks of {name}"].append(Timing(self._figures.feed.events, ran.checks))
            return Timing(count, ran.asset)

        self._timed(name, run)

    def _run(self, asset: str, until: dict[int, int] | None = None) -> Ran:
        prefix, topic = self.pipeline.settings.name_prefix, self._figures.feed.topic
        return self._bench.worker.run(prefix, topic, asset, self._hour, until)

    def _recompute(self) -> Timing:
        """The hour once more through all stages and their checks, after late events came."""
        feed = self._figures.feed
        runs = [self._run(asset, feed.late_ends if asset == "raw_clicks" else None) for asset in STAGES]
        return Timing(feed.events, sum(ran.asset + ran.checks for ran in runs))

    # Yardsticks

    def _make_tables(self) -> None:
        hbase = self.pipeline.hbase
        hbase.ensure_tables()
        tables = {table.name: table for table in hbase.new_tables()}
        clicks, metrics = (tables[self.pipeline.settings.table(table.name)] for table in (CLICKS, METRICS))
        create_tables(
            [
                replace(clicks, name=self._bare),
                replace(clicks, name=self._bare_by_two),
                replace(metrics, name=self._bare_metrics),
            ],
            zookeeper=hbase.zookeeper,
            jars=self.pipeline.settings.hbase_jars,
            java=java_binary(),
        )

    def _seed_loop(self, connection: happybase.Connection) -> Timing:
        settings = self.pipeline.settings
        table = f"{settings.name_prefix}seed"
        connection.create_table(table, {family: {} for family in ("click_data", *ENRICHED_FAMILIES)})
        with self.pipeline.kafka.client() as topic:
            messages = [m.value for batch in topic.read(0, 0, self._figures.feed.ends[0]) for m in batch if m.value]
        return seed_loop(messages[: self._scale.seed_events], connection, table, str(settings.geoip_database))

    def _index_documents(self) -> Timing:
        alias = f"{self.pipeline.settings.name_prefix}bare"
        with self.pipeline.elasticsearch.client() as es:
            ensure_template(es, alias)
            index = f"{alias}-2026-01"
            es.indices.create(index=index)
            timing = bare.index_documents(es, index, self._copies.documents)
            es.indices.delete(index=index)
            es.indices.delete_index_template(name=alias)
        return timing


def _copies(pipeline: Pipeline, hour: int) -> Copies:
    settings = pipeline.settings
    clicks, metrics = (settings.table(table.name) for table in (CLICKS, METRICS))
    same: dict[bytes, bytes] = {}  # urls and user agents come again and again

    def rows_of(table: str, start: bytes, stop: bytes, *families: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        for key, cells in hbase.scan(table, start, stop, [family.encode() for family in families]):
            kept = {same.setdefault(k, k): same.setdefault(v, v) for k, v in cells.items()}
            yield same.setdefault(key, key), kept

    with pipeline.hbase.client() as hbase:
        ranges = list(chain.from_iterable(key_ranges([hour])))
        rows = [row for pair in ranges for row in rows_of(clicks, *pair, "click_data", REQUEST_DATA)]
        rows.sort(key=lambda row: [int(part) for part in row[1][_SOURCE].split(b"/")[1:]])
        cells = dict(row for pair in ranges for row in rows_of(clicks, *pair, *ENRICHED_FAMILIES))
        enriched = [(key, cells[key]) for key, _ in rows]
        of_metrics = list(rows_of(metrics, *metrics_key_range(hour, hour)))
    with pipeline.elasticsearch.client() as es:
        documents = [(hit["_id"], hit["_source"]) for hit in scan(es, index=settings.alias, size=5_000)]
    return Copies(rows, enriched, of_metrics, documents)
