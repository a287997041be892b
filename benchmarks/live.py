"""What ``--live`` prints: how soon an event is a document in an hour that holds many already, and what it takes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median

from benchmarks.bench import Bench
from benchmarks.latency import Latency, Run, measure_latency
from benchmarks.pipeline import STAGES
from benchmarks.processes import ORDER
from benchmarks.report import cores_table, facts_table, table

_ORDINALS = ("first", "second", "last")


def live_part(bench: Bench, rate: int, minutes: int, fill: int, facts: Mapping[str, str]) -> tuple[str, list[str]]:
    """The tables, and documents that differ from the independent computation."""
    latency = measure_latency(bench, rate, minutes * 60, fill)
    text = "\n\n".join(
        (
            "# Latency in an open hour",
            f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {rate:,} events a second for {minutes} min, into an hour "
            f"that held {fill:,} events, all of them indexed, when the first of the others was sent.",
            facts_table(facts),
            table(("event to document", "seconds"), latency_rows(latency)),
            f"{len(latency.seconds):,} clicks, {latency.runs} runs. Documents that differ from the independent "
            f"computation: {len(latency.differences)}.",
            *details(latency, bench.watch.peak_mb, "##"),
        )
    )
    return text, latency.differences


def latency_rows(latency: Latency) -> list[tuple[str, str]]:
    """Median, 95th percentile and mean, and whether it grows while events flow."""
    figures = {
        "median": latency.percentile(50),
        "95th percentile": latency.percentile(95),
        "mean": float(latency.seconds.mean()),
        **{f"median of the {name} third": seconds for name, seconds in zip(_ORDINALS, latency.thirds(), strict=True)},
    }
    return [(name, f"{seconds:.1f}") for name, seconds in figures.items()]


def details(latency: Latency, peak_mb: Mapping[str, int], heading: str) -> list[str]:
    """Where the seconds go, which processes use the cores, and how long the last runs took."""
    parts = [(name, f"{seconds:.1f} s") for name, seconds in latency.parts.items()]
    together = ("together", f"{float(latency.seconds.mean()):.1f} s")
    return [
        f"{heading} Where the seconds go",
        "Means over all clicks. The runs' steps include their checks.",
        table(("", "mean"), [*parts, together]),
        f"{heading} Cores used while events flow",
        "From the first event to the last document; memory is the highest since the servers started.",
        cores_table(latency.cores, latency.cores_elsewhere, peak_mb, ORDER),
        f"{heading} The last runs",
        "Of all that were launched since the first event, the last ones. Starting is from launched to the first step.",
        runs_table(latency.last_runs),
    ]


def runs_table(runs: list[Run]) -> str:
    """Each run with its parts, and their medians over those that took new offsets."""
    headings = ("launched", "for", "starting", *STAGES.values(), "the rest", "launched to ended")
    rows = [
        (f"{datetime.fromtimestamp(run.launched, UTC):%H:%M:%S}", run.why, *map(_seconds, _durations(run)))
        for run in runs
    ]
    taking = [_durations(run) for run in runs if run.why != "stale hours"]
    if taking:
        rows.append(("median", "new offsets", *(_seconds(median(column)) for column in zip(*taking, strict=True))))
    return table(headings, rows)


def _durations(run: Run) -> list[float]:
    """Seconds until the first step, of each asset's step, of the rest, and of all."""
    starting, steps = run.first_step - run.launched, [run.steps[asset] for asset in STAGES]
    return [starting, *steps, run.seconds - starting - sum(steps), run.seconds]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"
