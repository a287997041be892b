"""How much is measured, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run of the benchmarks."""

    events: int
    """Kafka messages in the hour."""
    repetitions: int
    seed_events: int
    """Messages that the seed's loop is timed on, in each repetition."""
    empty_runs: int
    """Dagster runs over an hour without events, warm: what starting one costs. Without any, the first run tells."""
    late_share: float
    """Events of the hour, as a share of ``events``, that come when it was computed already; with 0 it stays at that."""


FULL = Scale(events=300_000, repetitions=3, seed_events=5_000, empty_runs=3, late_share=0.01)
QUICK = Scale(events=10_000, repetitions=1, seed_events=1_000, empty_runs=0, late_share=0)


@dataclass(frozen=True, slots=True)
class LongScale:
    """Sizes of what ``--long`` measures."""

    hour_events: int = FULL.events
    """What skews and the big hour are held against."""
    big_hour_events: int = 3_000_000
    disk_gb: int = 20
    """What the big hour may take: 5 kB an event, with HBase's log and what was sent, and more while HBase compacts."""
    live_rate: int = 200
    live_seconds: int = 600


LONG = LongScale()
