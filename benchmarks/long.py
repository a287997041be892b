"""What ``--long`` measures: an hour of millions of events, skewed hours, and latency while events flow."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

import click

from benchmarks import golden
from benchmarks.bench import Bench
from benchmarks.dagster_run import DagsterRun, run_all_assets
from benchmarks.feed import feed
from benchmarks.latency import Latency, measure_latency
from benchmarks.live import details
from benchmarks.pipeline import STAGES, Pipeline
from benchmarks.report import LONG_HEADING, Line, facts_table, targets_table
from benchmarks.scale import LONG
from benchmarks.statistics import Summary, Target
from benchmarks.traffic import Skew
from clickstream_assets.local.stack.errors import StackError

_SKEWED_IN_WORDS: Mapping[Skew, str] = {"url": "one url has half of all events", "user": "one user has half of them"}


def long_part(bench: Bench, hour: int, facts: Mapping[str, str]) -> tuple[str, list[str]]:
    """The long part of the document, and documents that differ from the independent computation.

    A measurement that fails takes the part with it; the lines of those before it are printed then. Raises StackError if
    the disk has no room for the big hour.
    """
    free_gb = shutil.disk_usage(bench.home).free / 1e9
    if free_gb < LONG.disk_gb:
        raise StackError(
            f"{LONG.big_hour_events:,} events may take {LONG.disk_gb} GB, and {bench.home} has {free_gb:.0f} GB left: "
            "make room, or set TMPDIR to a folder on another disk."
        )
    lines: list[Line] = []
    try:
        differences = _measure_hours(bench, hour, lines)
        latency = measure_latency(bench, LONG.live_rate, LONG.live_seconds)
    except BaseException:  # Ctrl-C as well: they took long
        if lines:
            click.echo(f"Measured so far, and not kept:\n{targets_table(lines)}", err=True)
        raise
    differences += latency.differences
    return _in_words(lines, latency, facts, bench.watch.peak_mb, len(differences)), differences


def _measure_hours(bench: Bench, hour: int, lines: list[Line]) -> list[str]:
    """Add each line to ``lines`` as soon as it is measured; documents that differ."""
    events = LONG.hour_events
    _, differences = _whole_hour(bench, "warm", f"{events:,} events to warm the servers up", hour, events)
    plain, wrong = _whole_hour(bench, "plain", f"{events:,} events", hour, events)
    differences += wrong
    lines.append(Line(f"an hour of {events:,} events, in one run", _rate(events, plain), "events/s"))
    for skew in get_args(Skew):
        what = _SKEWED_IN_WORDS[skew]
        run, wrong = _whole_hour(bench, skew, f"{events:,} events, {what}", hour, events, skew)
        differences += wrong
        ratio = Summary.of([_seconds(run) / _seconds(plain)])
        target = Target(3, at_least=False)
        seconds = Summary.of([_seconds(run)])
        lines.append(Line(what, seconds, "s", "without skew", Summary.of([_seconds(plain)]), ratio, target))
    big, wrong = _whole_hour(bench, "big", f"{LONG.big_hour_events:,} events", hour, LONG.big_hour_events)
    differences += wrong
    rate = _rate(LONG.big_hour_events, big)
    ratio = Summary.of([rate.median / _rate(events, plain).median])
    what = f"an hour of {LONG.big_hour_events:,} events, in one run"
    lines.append(Line(what, rate, "events/s", f"of {events:,}", _rate(events, plain), ratio, Target(0.8)))
    memory = Target(600, at_least=False)
    lines.append(Line("memory of the process that Dagster runs for it", Summary.of([big.peak_mb]), "MB", target=memory))
    return differences


def _whole_hour(
    bench: Bench, key: str, name: str, hour: int, events: int, skew: Skew | None = None
) -> tuple[DagsterRun, list[str]]:
    """One Dagster run over an hour under names of its own, and what is wrong with its documents."""
    prefix = f"bench-{key}-"
    pipeline = Pipeline(bench.settings, prefix)
    sent = bench.show(f"Sending {name}", lambda: feed(pipeline, bench.home, hour, events, skew=skew))
    run = bench.show(
        f"A Dagster run over {name}",
        lambda: run_all_assets(bench.stack, bench.home / "dagster", prefix, hour, sent.ends),
        lambda run: f"{events / _seconds(run):,.0f} events/s, {run.peak_mb} MB",
    )
    wrong = bench.show(
        f"Comparing {name} with the independent computation",
        lambda: golden.differences(sent.sent, pipeline.settings),
        lambda wrong: f"{len(wrong)} differences",
    )
    sent.sent.unlink()
    pipeline.drop()
    return run, wrong


def _seconds(run: DagsterRun) -> float:
    """Of the assets, their checks included."""
    return sum(run.steps[asset] for asset in STAGES)


def _rate(events: int, run: DagsterRun) -> Summary:
    return Summary.of([events / _seconds(run)])


def _in_words(
    lines: list[Line], latency: Latency, facts: Mapping[str, str], peak_mb: Mapping[str, int], differences: int
) -> str:
    middle, most = (Summary.of([latency.percentile(share)]) for share in (50, 95))
    at_most_15, at_most_30 = (Target(seconds, at_least=False) for seconds in (15, 30))
    lines = [
        *lines,
        Line("event to document, median", middle, "s", target=at_most_15),
        Line("event to document, 95th percentile", most, "s", target=at_most_30),
    ]
    return "\n\n".join(
        (
            LONG_HEADING,
            f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with `make bench ARGS=--long`. "
            "Each hour is one Dagster run in a process of its own, measured once, checks included; a first run "
            "that warms the servers up is not counted.",
            facts_table(facts),
            targets_table(lines),
            f"Documents that differ from the independent computation: {differences}.",
            f"Latency: {LONG.live_rate} events a second for {LONG.live_seconds // 60} minutes, into an hour that was "
            f"empty; {latency.runs} runs.",
            *details(latency, peak_mb, "###"),
        )
    )
