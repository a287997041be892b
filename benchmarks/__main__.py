"""``python -m benchmarks``: what ``make bench`` runs."""

import sys
import time

import click
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.report import DOCUMENT, with_part
from benchmarks.scale import FULL, QUICK
from clickstream_assets.domain.hours import HOUR_MS


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
def main(quick: bool, long: bool) -> None:
    """Measure every stage beside its yardstick, on embedded servers of its own, and write docs/benchmarks.md.

    It takes 300,000 events in one hour. Nothing else should run meanwhile. A missed target is shown and changes no exit
    code; documents that differ from the independent computation of the metrics end it with 1. Ctrl-C ends the servers
    too.
    """
    if quick and long:
        raise click.UsageError("--quick and --long exclude each other.")
    from benchmarks.bench import embedded_servers
    from benchmarks.hour import measure_hour
    from benchmarks.long import long_part
    from benchmarks.machine import machine
    from benchmarks.summary import main_part

    hour = int(time.time() * 1000) // HOUR_MS - 2  # closed, and so is the one after it, where late events are recorded
    begun, facts = time.monotonic(), machine()
    with embedded_servers() as bench:
        if long:
            text, differences = long_part(bench, hour, facts)
        else:
            scale = QUICK if quick else FULL
            figures = measure_hour(bench, scale, hour)
            text, differences = main_part(figures, scale, facts, bench.watch), figures.differences
    console = Console()
    if not console.is_terminal:
        console.width = 180
    console.print(Markdown(text))
    console.print(f"{(time.monotonic() - begun) / 60:.1f} minutes in all.", highlight=False)
    if not quick:
        document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        DOCUMENT.write_text(with_part(text, document), encoding="utf-8")
        console.print("docs/benchmarks.md holds this run.", highlight=False)
    for line in differences[:20]:
        console.print(f"[red]differs[/] {line}", highlight=False)
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
