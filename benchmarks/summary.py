"""Which figures are shown, beside which yardsticks, against which targets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from benchmarks.hour import BY_TWO, Figures
from benchmarks.pipeline import STAGES
from benchmarks.processes import ORDER, ProcessWatch
from benchmarks.report import Line, cpu_table, facts_table, table, targets_table
from benchmarks.scale import Scale
from benchmarks.statistics import Summary, Target, Timing, rates, ratios

EVENTS, ROWS, SECONDS, MB = "events/s", "rows/s", "s", "MB"

_INTRODUCTION = """\
Written by `make bench`, which measures every stage side by side with its yardstick, in turn, on the embedded servers.
Targets are ratios where there is a yardstick: they last, rates belong to the machine. Where a figure was measured more
than once, the median stands first, then the lowest and the highest.

A stage is the step of its asset in a run of the sensor's job, without the checks in it; starting a run is a row of its
own. Each repetition writes new tables, pre-split as in production, and a new index. The yardsticks store the very same
cells and documents: *bare* is happybase or elasticsearch-py and nothing else, over one connection or over two at a
time, which is about as fast as HBase takes rows here. *Everything* is held against putting the rows of ingestion alone,
and the hour with new events against the hour afresh, checks included in both. The seed's loop is
what this project began with: `json`, `geoip2`, `user_agents` and a put for each of the two stages, one event at a time
and from memory; it neither checks, nor looks for duplicates, nor keeps books."""


def lines_of(figures: Figures) -> list[Line]:
    """The table of targets."""
    timings, stages = figures.timings, list(STAGES.values())
    seed = timings["the seed's loop"]
    everything, up_to_enrichment = figures.sums(*stages), figures.sums("ingest", "enrich")
    checked = figures.sums(*stages, *(f"checks of {stage}" for stage in stages))
    found = [
        _beside(figures, "ingest", "bare puts", EVENTS, 0.60),
        Line("read the same offsets again", rates(timings["read again"]), EVENTS),
        _beside(figures, "enrich", "bare puts of its cells", EVENTS),
        _beside(figures, "metrics", "bare puts of its rows", EVENTS),
        _beside(figures, "index", "bare bulk", "documents/s", 0.60),
        _compared("everything", everything, BY_TWO, timings[BY_TWO], Target(0.40)),
        _beside_seed("everything", everything, seed, None),
        _beside_seed("ingest and enrich", up_to_enrichment, seed, 14),
        Line("everything, all checks included", rates(checked), EVENTS),
        *([_recomputed(figures, checked)] if figures.feed.late else []),
        Line(
            "memory of the process that Dagster runs",
            Summary.of([figures.first_run.peak_mb]),
            MB,
            target=Target(600, at_least=False),
        ),
    ]
    costs = Summary.of(run.overhead_seconds for run in figures.empty_runs or [figures.first_run])
    found.append(Line("starting and ending a Dagster run", costs, SECONDS))
    if figures.empty_runs:
        steps = Summary.of(sum(run.steps.values()) for run in figures.empty_runs)
        found.append(Line("its steps, for an hour without events", steps, SECONDS))
    return found


def _recomputed(figures: Figures, afresh: Sequence[Timing]) -> Line:
    seconds, others = ([timing.seconds for timing in found] for found in (figures.timings["late"], afresh))
    what = f"the hour again, {figures.feed.late:,} events new"
    target = Target(0.08, at_least=False)
    return Line(
        what, Summary.of(seconds), SECONDS, "the hour afresh", Summary.of(others), ratios(seconds, others), target
    )


def _beside(figures: Figures, stage: str, yardstick: str, unit: str, target: float | None = None) -> Line:
    timings = figures.timings
    return _compared(stage, timings[stage], yardstick, timings[yardstick], Target(target) if target else None, unit)


def _compared(
    what: str,
    ours: Sequence[Timing],
    yardstick: str,
    others: Sequence[Timing],
    target: Target | None,
    unit: str = EVENTS,
) -> Line:
    # The same hour through both: seconds compare, whether counted by message or by row.
    ratio = ratios([timing.seconds for timing in others], [timing.seconds for timing in ours])
    return Line(what, rates(ours), unit, yardstick, rates(others), ratio, target)


def _beside_seed(what: str, ours: Sequence[Timing], seed: Sequence[Timing], target: float | None) -> Line:
    ratio = ratios([timing.rate for timing in ours], [timing.rate for timing in seed])
    return Line(what, rates(ours), EVENTS, "the seed's loop", rates(seed), ratio, Target(target) if target else None)


def main_part(figures: Figures, scale: Scale, facts: Mapping[str, str], watch: ProcessWatch) -> str:
    """The document without the long part."""
    feed = figures.feed
    shares = ", ".join(f"{share:.2%} {name}" for name, share in feed.distinct.shares().items())
    checks = [(stage, figures.timings[f"checks of {stage}"]) for stage in STAGES.values()]
    check_rows = [[stage, f"{Summary.of(timing.seconds for timing in found).median:.1f} s"] for stage, found in checks]
    cpu = {
        stage: {name: seconds / scale.repetitions for name, seconds in found.items()}
        for stage, found in watch.cpu_seconds.items()
    }
    return "\n\n".join(
        (
            "# Benchmarks",
            _INTRODUCTION,
            f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {scale.repetitions} repetitions.",
            facts_table(facts),
            f"The hour: {feed.events:,} messages, {figures.rows:,} rows, {figures.documents:,} documents. "
            f"Distinct values, of all messages: {shares}. The seed's loop is timed on {scale.seed_events:,} messages.",
            targets_table(lines_of(figures)),
            f"Documents that differ from the independent computation: {len(figures.differences)}.",
            "## What the checks of each stage take",
            table(("", "median"), check_rows),
            "## CPU seconds by process",
            "Of one repetition, each stage with its checks; memory is the highest of the whole run. "
            "Python workers share pages, so what they have together is less.",
            cpu_table(cpu, watch.peak_mb, ORDER),
        )
    )
