"""``python -m benchmarks``: what ``make bench`` runs."""

import sys
import time

import click
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.report import DOCUMENT, with_part
from benchmarks.scale import FULL, QUICK
from clickstream_assets.events.hours import HOUR_MS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--quick", is_flag=True, help="10,000 events, in under two minutes, and docs/benchmarks.md stays as it is."
)
@click.option(
    "--long",
    is_flag=True,
    help="In place of that, in about an hour: 3 million events of one hour in one run, skew, and latency at "
    "200 events/s for 10 minutes.",
)
@click.option(
    "--live",
    type=(click.IntRange(1, 100_000), click.IntRange(1, 55), click.IntRange(0, 5_000_000)),
    metavar="RATE MINUTES FILL",
    help="In place of that: how long RATE events a second, for MINUTES, take to their documents in the open hour, "
    "which holds FILL events already, as in --live 200 5 300000. With where the seconds go, the cores that each "
    "process uses, and the last runs. All of it lies within one hour: it waits for the next where too little of this "
    "one is left, or until this one is old enough to hold FILL events, and says how long. docs/benchmarks.md stays.",
)
@click.option(
    "--day",
    type=click.IntRange(24, 5_000_000),
    metavar="EVENTS",
    help="In place of that: how long a day of so many events over its 24 hours takes to be put together from them, and "
    "again when an hour was added. docs/benchmarks.md stays.",
)
@click.option(
    "--page", is_flag=True, help="In place of that: how long the analysts' page takes to answer, in a minute."
)
def main(quick: bool, long: bool, live: tuple[int, int, int] | None, day: int | None, page: bool) -> None:
    """Measure every stage beside its yardstick, on embedded servers of its own, and write docs/benchmarks.md.

    It takes 300,000 events in one hour. Nothing else should run meanwhile. A missed target is shown and changes no exit
    code; documents that differ from the independent computation of the metrics end it with 1. Ctrl-C ends the servers
    too.
    """
    if quick + long + page + (live is not None) + (day is not None) > 1:
        raise click.UsageError("--quick, --long, --live, --day and --page exclude each other.")
    if live is not None:
        _require_room(*live)
    begun = time.monotonic()
    text, differences = _measured(quick, long, live, day, page)
    console = Console()
    if not console.is_terminal:
        console.width = 180
    console.print(Markdown(text))
    console.print(f"{(time.monotonic() - begun) / 60:.1f} minutes in all.", highlight=False)
    if not (quick or page) and live is None and day is None:
        document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        DOCUMENT.write_text(with_part(text, document), encoding="utf-8")
        console.print("docs/benchmarks.md holds this run.", highlight=False)
    for line in differences[:20]:
        console.print(f"[red]differs[/] {line}", highlight=False)
    sys.exit(1 if differences else 0)


_MOST_LIVE_EVENTS = 1_000_000
"""They are drawn before the first of them is sent, and held in memory: 4 kB each."""


def _require_room(rate: int, minutes: int, fill: int) -> None:
    from benchmarks.open_hour import fits

    if (events := rate * minutes * 60) > _MOST_LIVE_EVENTS:
        raise click.UsageError(
            f"--live {rate} {minutes} {fill}: {events:,} events are more than the {_MOST_LIVE_EVENTS:,} that can be "
            "sent live; take fewer minutes or a lower rate."
        )
    if not fits(minutes * 60, fill):
        raise click.UsageError(
            f"--live {rate} {minutes} {fill}: {minutes} min and the time to fill the hour with {fill:,} events are "
            "more than an hour; take less of either."
        )


def _measured(
    quick: bool, long: bool, live: tuple[int, int, int] | None, day: int | None, page: bool
) -> tuple[str, list[str]]:
    """The tables, and documents that differ from the independent computation."""
    from benchmarks.bench import embedded_servers
    from benchmarks.day import day_part
    from benchmarks.hour import measure_hour
    from benchmarks.live import live_part
    from benchmarks.long import long_part
    from benchmarks.machine import machine
    from benchmarks.page import page_part
    from benchmarks.summary import main_part

    hour = int(time.time() * 1000) // HOUR_MS - 2  # closed, and so is the one after it, where late events are recorded
    facts = machine()
    with embedded_servers() as bench:
        if live is not None:
            return live_part(bench, *live, facts)
        if page:
            return page_part(bench, facts), []
        if day is not None:
            return day_part(bench, day, facts)
        if long:
            return long_part(bench, hour, facts)
        scale = QUICK if quick else FULL
        figures = measure_hour(bench, scale, hour)
        return main_part(figures, scale, facts, bench.watch), figures.differences


if __name__ == "__main__":
    main()
