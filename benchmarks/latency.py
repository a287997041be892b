"""How long an event takes to its document while events flow, under Dagster's own processes, and where it waits.

Seen from outside: the alias is asked how many clicks it holds. Runs take events in the order they were sent, so the
n-th click is there as soon as n are counted.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from benchmarks.open_hour import require_room, wait_for_room
from benchmarks.pipeline import STAGES, Pipeline
from benchmarks.processes import machine_seconds
from benchmarks.traffic import Shop, Stretch
from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.message_files import Message
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.processes import tail
from clickstream_assets.stores.kafka.client import ensure_topic
from clickstream_assets.stores.kafka.producer import send
from clickstream_assets_tests.dagster_dev import DagsterDev

_PREFIX = "bench-live-"
LIVE = "live"
"""The stage that CPU seconds of the live part count for."""
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 180
_FILLED_A_SECOND = 1_000
"""So many events a second are indexed of what an hour is filled with, or it is given up."""
_LEAD_SECONDS = 3
_DRAWN_A_SECOND = 25_000
_REST_SECONDS = 12
"""Three looks of the sensor."""
_LAST_RUNS = 10
_APART_SECONDS = 20
"""Between the last event that an hour is filled with and the moment of sending it."""

Times = NDArray[np.float64]
"""Seconds since the epoch, or between two of these."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What became of the clicks of a live span."""

    seconds: Times
    """From the moment a click was sent to the moment Elasticsearch counted it, in the order of sending."""
    parts: dict[str, float]
    """Where that time went, in its order: means over all clicks, which add up to the mean latency."""
    runs: int
    """How many took part."""
    last_runs: "list[Run]"
    """The last of them, and those that did stale hours between, oldest first."""
    cores: dict[str, float]
    """CPU seconds a second, by process, from the first event to the last document."""
    cores_elsewhere: float
    """Of whatever else the machine did meanwhile: figures beside much of it say little."""
    differences: list[str]

    def percentile(self, share: float) -> float:
        """Seconds that ``share`` percent of the clicks did not take longer than."""
        return float(np.percentile(self.seconds, share))

    def thirds(self) -> list[float]:
        """The median of the clicks sent first, then, and last."""
        return [float(np.median(third)) for third in np.array_split(self.seconds, 3)]


def measure_latency(bench: Bench, rate: int, seconds: int, fill: int = 0) -> Latency:
    """Send ``rate`` events a second for so long to a pipeline that Dagster keeps up to date.

    All within one hour, which holds ``fill`` events before: sent and indexed when the first of the others is sent.
    Waits for an hour with room. Raises StackError if none is left once the hour is filled, if clicks are not counted or
    a run fails.
    """
    wait_for_room(bench, seconds, fill)
    pipeline = Pipeline(bench.settings, _PREFIX)
    ensure_topic(pipeline.settings.kafka_bootstrap_servers, pipeline.settings.topic)
    pipeline.hbase.ensure_tables()
    home, sent, before = bench.home / "dagster-live", bench.home / "live.jsonl", 0
    if fill:
        before = bench.show(f"Sending {fill:,} events of the open hour", lambda: _fill(pipeline, sent, fill))
    with _dagster(home) as dagster:
        patience = _PATIENCE_SECONDS + fill / _FILLED_A_SECOND
        bench.show("Dagster, and an hour that is up to date", lambda: _index(pipeline, dagster, before, patience))
        require_room(time.time(), seconds)
        live = _Live(pipeline, sent, rate, seconds, before)
        text = f"{rate:,} events/s for {seconds:,} s under Dagster"
        (sent_at, counted_at), cores, elsewhere = _watch(bench, dagster, text, live)
        dagster.wait(dagster.is_idle, seconds=300)  # the last run, whose times are asked for, ends
    runs = _runs(home)
    parts, taking_part = parts_of(runs, sent_at, counted_at)
    differences = bench.show(
        "Comparing documents with the independent computation",
        lambda: golden.differences(sent, pipeline.settings),
        lambda lines: f"{len(lines)} differences",
    )
    pipeline.drop()
    last_runs = last_of(runs, sent_at[0])
    return Latency(counted_at - sent_at, parts, taking_part, last_runs, cores, elsewhere, differences)


@contextmanager
def _dagster(home: Path) -> Iterator[DagsterDev]:
    """Dagster's processes in a new folder. What is waited for in vain is told with the end of their log."""
    home.mkdir()
    dagster = DagsterDev(home, os.environ | {"CLICKSTREAM_NAME_PREFIX": _PREFIX})
    try:
        yield dagster
    except (TimeoutError, AssertionError) as error:
        raise StackError(f"{error}. The end of Dagster's log:\n{tail(home / 'log')}") from error
    finally:
        dagster.stop()


def _watch(
    bench: Bench, dagster: DagsterDev, text: str, live: "_Live"
) -> tuple[tuple[Times, Times], dict[str, float], float]:
    """When each click was sent and counted; the cores that each process used meanwhile, and all others together."""
    with bench.watch.dagster(dagster.process.pid), bench.watch.stage(LIVE):
        begun, busy = time.monotonic(), machine_seconds()
        moments = bench.show(text, live.watch, _median)
        passed, busy = time.monotonic() - begun, machine_seconds() - busy
    cores = {name: seconds / passed for name, seconds in bench.watch.cpu_seconds[LIVE].items()}
    return moments, cores, max(0.0, busy / passed - sum(cores.values()))


def _median(moments: tuple[Times, Times]) -> str:
    sent_at, counted_at = moments
    return f"{np.median(counted_at - sent_at):.1f} s from event to document"


def _fill(pipeline: Pipeline, sent: Path, events: int) -> int:
    """Send events of the open hour, recorded in it up to now; how many are clicks."""
    now_ms = round(time.time() * 1000)
    begin_ms = now_ms // HOUR_MS * HOUR_MS
    clicks = 0

    def messages() -> Iterator[Message]:
        nonlocal clicks
        shop, length_ms = Shop(SEED + 1, events), now_ms - begin_ms - _APART_SECONDS * 1000
        for stretch in shop.span(begin_ms, length_ms, events, clean=True):
            clicks += sum(stretch.counted)
            yield from stretch.messages

    _send(pipeline, messages(), sent)
    return clicks


def _index(pipeline: Pipeline, dagster: DagsterDev, clicks: int, patience: float) -> None:
    """Wait until so many clicks are counted, and nothing is left to be done."""
    _looks(pipeline, 0, clicks, patience)
    dagster.wait(lambda: _is_at_rest(dagster), seconds=300)


def _is_at_rest(dagster: DagsterDev) -> bool:
    """Whether runs have ended, and none has begun since then though the sensor has looked."""
    before = dagster.runs()  # the first makes the latest closed hour, as an empty one
    if not before or not dagster.is_idle():
        return False
    time.sleep(_REST_SECONDS)
    return dagster.runs() == before


def _looks(
    pipeline: Pipeline, before: int, clicks: int, patience: float, is_sending: Callable[[], bool] = lambda: False
) -> tuple[Times, NDArray[np.int64]]:
    """When the alias was asked, and how many clicks beyond those ``before`` it held, until it holds so many.

    Raises TimeoutError if nothing is sent and the number has not risen for ``patience`` seconds.
    """
    looked, counts = [time.time()], [0]
    with pipeline.elasticsearch.client() as es:
        deadline = looked[0] + patience
        while counts[-1] < clicks:
            time.sleep(_LOOK_SECONDS)
            now = time.time()
            looked.append(now)
            counts.append(max(counts[-1], _clicks(es, pipeline.settings.alias) - before))
            if is_sending() or counts[-1] > counts[-2]:  # a slow machine may lag behind by minutes
                deadline = now + patience
            if now > deadline:
                raise TimeoutError(f"{counts[-1]:,} of {clicks:,} clicks were counted in the end")
    return np.array(looked), np.array(counts)


def _send(pipeline: Pipeline, messages: Iterator[Message], sent: Path) -> None:
    """Send messages, and add them to the file of all that was sent, as envelopes."""
    configured = pipeline.settings
    with sent.open("a", encoding="utf-8") as record:
        send(messages, bootstrap_servers=configured.kafka_bootstrap_servers, topic=configured.topic, record=record)


class _Live:
    """Sends events when it is their time, and looks how many are counted besides those that were ``before``."""

    def __init__(self, pipeline: Pipeline, sent: Path, rate: int, seconds: int, before: int) -> None:
        self._pipeline, self._sent, self._before = pipeline, sent, before
        events = rate * seconds
        shop = Shop(SEED, events)
        start_ms = round((time.time() + _LEAD_SECONDS + events / _DRAWN_A_SECOND) * 1000)
        self._stretches: list[Stretch] = list(shop.span(start_ms, seconds * 1000, events, clean=True))
        self._clicks = sum(sum(stretch.counted) for stretch in self._stretches)
        self._sent_at: list[float] = []

    def watch(self) -> tuple[Times, Times]:
        """When each click was sent, and when it was counted. Raises TimeoutError if some never are."""
        sending = (self._pipeline, self._when_due(), self._sent)
        thread = threading.Thread(target=_send, args=sending, name="live-events", daemon=True)
        thread.start()
        looked, counts = _looks(self._pipeline, self._before, self._clicks, _PATIENCE_SECONDS, thread.is_alive)
        thread.join()
        first_look = np.searchsorted(counts, np.arange(1, self._clicks + 1))
        return np.array(self._sent_at), looked[first_look]

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
    why: str = ""
    """What it was asked for: new offsets or stale hours."""

    @property
    def seconds(self) -> float:
        """From the moment that it was launched to its end."""
        return self.ended - self.launched


def last_of(runs: Sequence[Run], since: float) -> list[Run]:
    """The last of ``runs``, which came one after the other, that were launched ``since`` then."""
    return [run for run in runs if run.launched >= since][-_LAST_RUNS:]


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
            why = record.dagster_run.tags.get("clickstream/why", "")
            found.append(Run(created, launched, starts["raw_clicks"], starts["es_index"], ended, steps, why))
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
    parts["between the steps"] = each(lambda run: run.index_step) - at
    parts["index, until it is seen"] = counted - each(lambda run: run.index_step)
    return {name: float(seconds.mean()) for name, seconds in parts.items()}, len(np.unique(of_click))
