"""How long an event takes to its document while events flow, under Dagster's own processes, and where it waits.

Seen from outside: the alias is asked how many clicks it holds. Runs take events in the order they were sent, so the
n-th click is there as soon as n are counted.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import numpy as np
from elasticsearch import Elasticsearch
from numpy.typing import NDArray

from benchmarks import golden
from benchmarks.bench import Bench
from benchmarks.dagster_run import dagster_instance
from benchmarks.feed import SEED
from benchmarks.pipeline import STAGES, Pipeline
from benchmarks.traffic import Shop, Stretch
from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.resources.kafka import ensure_topic
from clickstream_assets.traffic.message_files import Message
from clickstream_assets.traffic.producer import send
from clickstream_assets_tests.dagster_dev import DagsterDev

_PREFIX = "bench-live-"
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 180
_LEAD_SECONDS = 3

Times = NDArray[np.float64]
"""Seconds since the epoch, or between two of these."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What became of the clicks of a live span."""

    seconds: Times
    """From the moment a click was sent to the moment Elasticsearch counted it."""
    parts: dict[str, float]
    """Where that time went, in its order: means over all clicks, which add up to the mean latency."""
    runs: int
    differences: list[str]


def measure_latency(bench: Bench, rate: int, seconds: int) -> Latency:
    """Send ``rate`` events a second for so long to a pipeline that Dagster keeps up to date."""
    pipeline = Pipeline(bench.settings, _PREFIX)
    ensure_topic(pipeline.settings)
    pipeline.hbase.ensure_tables()
    home = bench.home / "dagster-live"
    home.mkdir()
    names = {"CLICKSTREAM_NAME_PREFIX": _PREFIX}
    dagster = DagsterDev(home, os.environ | names)
    try:
        dagster.wait(dagster.runs, seconds=300)  # the first run makes the latest closed hour, as an empty one
        live = _Live(pipeline, bench.home / "live.jsonl", rate, seconds)
        sent, counted = live.watch()
        dagster.wait(
            lambda: dagster.runs() is not None, seconds=300
        )  # the last run, whose times are asked for, ends too
    finally:
        dagster.stop()
    parts, runs = parts_of(_runs(home), sent, counted)
    differences = golden.differences(live.sent, pipeline.settings)
    pipeline.drop()
    return Latency(counted - sent, parts, runs, differences)


class _Live:
    """Sends events when it is their time, and looks how many are counted."""

    def __init__(self, pipeline: Pipeline, sent: Path, rate: int, seconds: int) -> None:
        self.sent = sent
        """What was sent, as envelopes."""
        self._pipeline = pipeline
        events = rate * seconds
        shop = Shop(SEED, events)
        start_ms = round((time.time() + _LEAD_SECONDS + events / 50_000) * 1000)
        self._stretches: list[Stretch] = list(shop.span(start_ms, seconds * 1000, events, clean=True))
        self._clicks = sum(sum(stretch.counted) for stretch in self._stretches)
        self._sent_at: list[float] = []

    def watch(self) -> tuple[Times, Times]:
        """When each click was sent, and when it was counted. Raises TimeoutError if some never are."""
        thread = threading.Thread(target=self._send, name="live-events", daemon=True)
        thread.start()
        looked, counts = [time.time()], [0]
        with self._pipeline.elasticsearch.client() as es:
            deadline = 0.0
            while counts[-1] < self._clicks:
                time.sleep(_LOOK_SECONDS)
                now = time.time()
                looked.append(now)
                counts.append(max(counts[-1], _clicks(es, self._pipeline.settings.alias)))
                if thread.is_alive() or counts[-1] > counts[-2]:  # a slow machine may lag behind by minutes
                    deadline = now + _PATIENCE_SECONDS
                if now > deadline:
                    raise TimeoutError(f"{counts[-1]:,} of {self._clicks:,} clicks were counted in the end")
        thread.join()
        first_look = np.searchsorted(np.array(counts), np.arange(1, self._clicks + 1))
        return np.array(self._sent_at), np.array(looked)[first_look]

    def _send(self) -> None:
        configured = self._pipeline.settings
        with self.sent.open("w", encoding="utf-8") as record:
            servers, topic = configured.kafka_bootstrap_servers, configured.topic
            send(self._when_due(), bootstrap_servers=servers, topic=topic, record=record)

    def _when_due(self) -> Iterator[Message]:
        for stretch in self._stretches:
            for message, is_click in sorted(
                zip(stretch.messages, stretch.counted, strict=True), key=lambda pair: pair[0].timestamp_ms or 0
            ):
                assert message.timestamp_ms is not None
                time.sleep(max(0.0, message.timestamp_ms / 1000 - time.time()))
                if is_click:
                    self._sent_at.append(time.time())
                yield replace(message, timestamp_ms=None)


def _clicks(es: Elasticsearch, alias: str) -> int:
    if not es.indices.exists_alias(name=alias):
        return 0
    # An index that is just being made has no shard to ask yet: 503.
    answer = es.options(ignore_status=503).search(index=alias, size=0, aggs={"clicks": {"sum": {"field": "clicks"}}})
    return int(answer["aggregations"]["clicks"]["value"]) if "aggregations" in answer else 0


@dataclass(frozen=True, slots=True)
class Run:
    """When things happened in one run (seconds since the epoch), and how long its steps took."""

    created: float
    launched: float
    first_step: float
    index_step: float
    ended: float
    steps: dict[str, float]


def _runs(home: Path) -> list[Run]:
    found = []
    with dagster_instance(home) as instance:
        filters = dg.RunsFilter(job_name=SENSOR_JOB, statuses=[dg.DagsterRunStatus.SUCCESS])
        for record in instance.get_run_records(filters, ascending=True):
            starts: dict[str, float] = {}
            steps: dict[str, float] = {}
            launched = ended = 0.0
            for entry in instance.all_logs(record.dagster_run.run_id):
                event = entry.dagster_event
                if event is None:
                    continue
                if event.event_type is dg.DagsterEventType.PIPELINE_STARTING:
                    launched = entry.timestamp
                elif event.event_type is dg.DagsterEventType.PIPELINE_SUCCESS:
                    ended = entry.timestamp
                elif event.event_type is dg.DagsterEventType.STEP_START:
                    starts[str(event.step_key)] = entry.timestamp
                elif event.event_type is dg.DagsterEventType.STEP_SUCCESS:
                    steps[str(event.step_key)] = event.step_success_data.duration_ms / 1000
            created = record.create_timestamp.timestamp()
            found.append(Run(created, launched, starts["raw_clicks"], starts["es_index"], ended, steps))
    return found


def parts_of(runs: Sequence[Run], sent: Times, counted: Times) -> tuple[dict[str, float], int]:
    """Mean seconds of each part of the latency, and how many runs took part.

    ``runs`` came one after the other. What a click waited for is told by the time of day: it may be sent while the run
    that takes it waits in the queue already.
    """
    of_click = np.searchsorted([run.index_step for run in runs], counted, side="right") - 1
    *before, _ = STAGES

    def each(value: Callable[[Run], float]) -> Times:
        return np.array([value(run) for run in runs])[of_click]

    begun = np.array([runs[0].created, *(run.ended for run in runs[:-1])])[of_click]
    ends = {
        "for the run before it to end": begun,
        "for the sensor to ask for a run": np.maximum(begun, each(lambda run: run.created)),
        "in the run queue": each(lambda run: run.launched),
        "starting the run's process": each(lambda run: run.first_step),
        STAGES["raw_clicks"]: each(lambda run: run.first_step + run.steps["raw_clicks"]),
    }
    parts: dict[str, Times] = {}
    at = sent
    for name, end in ends.items():
        parts[name] = np.maximum(end - at, 0)
        at = np.maximum(at, end)
    for asset in before[1:]:
        parts[STAGES[asset]] = np.array([run.steps[asset] for run in runs])[of_click]
        at = at + parts[STAGES[asset]]
    parts["checks between the stages"] = each(lambda run: run.index_step) - at
    parts["index, until it is seen"] = counted - each(lambda run: run.index_step)
    return {name: float(seconds.mean()) for name, seconds in parts.items()}, len(np.unique(of_click))
