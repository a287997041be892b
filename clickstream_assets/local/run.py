"""``clickstream run``: the servers, Dagster and traffic, in the foreground."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from clickstream_assets.cli.consoles import console, figure, table_of
from clickstream_assets.cli.produce import (
    STOPPED,
    Finite,
    demo_traffic,
    refuse_same_file,
    run_produce,
)
from clickstream_assets.cli.verdict import Verdict
from clickstream_assets.local.dagster_processes import RESTARTS, start_dagster, start_page
from clickstream_assets.local.failed_runs import FailedRuns
from clickstream_assets.local.first_hour import demo_first_hour, forget_demo_first_hour
from clickstream_assets.local.watching import CONFIRM_SECONDS, LOOK_SECONDS, beside
from clickstream_assets.settings import Settings, settings

if TYPE_CHECKING:
    from clickstream_assets.events.message_files import Message
    from clickstream_assets.evidence.reconciliation import Reconciliation
    from clickstream_assets.local.stack.supervisor import Stack

_STUCK_SECONDS = 600

Watch = Callable[[], None]
"""Looks once whether every process that was started still runs, and tells of failed runs. Raises StackError."""


class Traffic(NamedTuple):
    """The options of ``run`` that say what is sent: messages of a file, a number of demo events, or live ones."""

    file: Path | None
    envelope: bool
    events: int | None
    rate: float | None
    seed: int
    record: Path | None

    @property
    def ends(self) -> bool:
        return bool(self.file or self.events)


@click.command("run", cls=Verdict, short_help="Everything: servers, Dagster with its sensors, and traffic.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Send this file's messages instead of demo traffic, one a line, gzip or not; - is standard input.",
)
@click.option("--envelope", is_flag=True, help='FILE has lines of {"value": "…", "kafka_timestamp_ms": n}.')
@click.option(
    "--events", type=click.IntRange(min=1), help="Send this many demo events of the past hours, then no more."
)
@click.option("--rate", type=Finite(), help="Live demo events a second.  [default: 20]")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed and start, same demo traffic.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what is sent to this file, as lines that --envelope reads.",
)
@click.option("--exit", "leave", is_flag=True, help="Wait for the metrics, print the reconciliation, stop everything.")
@click.option("--secure", is_flag=True, help="Servers with TLS and passwords, by certificates made for this start.")
def run(leave: bool, secure: bool, **options: Any) -> None:
    """Start the embedded servers, Dagster on http://localhost:3000 with its sensors on, the analysts' page on
    http://localhost:3001, and traffic.

    One Ctrl-C stops everything that was started, a second one at once. Processes of Dagster that die are started again,
    three times at most each; runs that fail are told of. With --exit it ends by itself once all that was sent is in
    Elasticsearch: with 0 if the books agree with the servers, with 1 and what differs if not, or if messages of FILE
    were refused; with 2 if it could not be done, with 130 if it was stopped by Ctrl-C.

    With demo traffic the first partition is 24 hours before the first start, unless CLICKSTREAM_FIRST_HOUR is set.

    \b
    clickstream run                              live demo traffic
    clickstream run --events 5000 --exit         a finished history of six hours
    clickstream run --file clicks.jsonl          your own events
    """
    from clickstream_assets.events.message_files import look_at
    from clickstream_assets.local.stack import ports

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `&` has it ignored
    traffic = Traffic(**options)
    if traffic.file and traffic.events:
        raise click.UsageError("--events is for demo traffic: name a --file or a number of events.")
    if traffic.envelope and not traffic.file:
        raise click.UsageError("--envelope goes with --file.")
    if traffic.file:
        look_at(traffic.file, envelope=traffic.envelope)
    if leave and not traffic.ends:
        raise click.UsageError("--exit needs an end of traffic: give --events N or --file FILE.")
    if settings().dagster_port:  # rather now than when all servers are up
        ports.choose("Dagster", settings().dagster_port, "CLICKSTREAM_DAGSTER_PORT", set())
    if settings().page_port and not leave:
        ports.choose("the analysts' page", settings().page_port, "CLICKSTREAM_PAGE_PORT", set())
    try:
        sys.exit(_run(traffic, leave, secure))
    except KeyboardInterrupt:
        sys.exit(STOPPED if leave else 0)  # with --exit, 0 is a verdict


def _run(traffic: Traffic, leave: bool, secure: bool) -> int:
    """Start everything, send, wait, and stop everything; returns the exit code. Ctrl-C is raised."""
    from clickstream_assets.local.stack.steps import TerminalSteps
    from clickstream_assets.local.stack.supervisor import Stack

    begun = time.monotonic()
    if traffic.file is None and (key := demo_first_hour(settings(), time.time_ns() // 1_000_000)):
        os.environ["CLICKSTREAM_FIRST_HOUR"] = key  # for all that is started here too
        settings.cache_clear()
    with Stack(settings(), TerminalSteps(), secure=secure) as stack:
        if traffic.file:
            forget_demo_first_hour(settings())  # not before: the home may be in use by demo traffic
        os.environ.update(stack.environment())
        settings.cache_clear()
        url = start_dagster(stack, settings())
        settings.cache_clear()  # Dagster's port is known now
        watch = _watch(stack, url)
        click.echo(f"Dagster is up on {url} after {time.monotonic() - begun:.0f} s. Ctrl-C stops everything.")
        if not leave:  # who waits for an exit code looks at nothing
            click.echo(f"The analysts' page is up on {start_page(stack, settings(), url)}")
        if not traffic.ends:
            _send_live(stack, traffic)
            return _stay(watch)
        refused = _send(settings(), watch, traffic)
        return _finish(watch) or refused if leave else _stay(watch)


def _watch(stack: "Stack", url: str) -> Watch:
    from dagster import DagsterInstance

    failed = FailedRuns(DagsterInstance.get(), url, partial(click.echo, err=True))

    def watch() -> None:
        stack.watch()
        failed.tell()

    return watch


def _send(configured: Settings, watch: Watch, traffic: Traffic) -> int:
    """Send the messages of a file, or a number of demo events; 1 if the topic refused a message."""
    from clickstream_assets.events.message_files import count_messages, read_messages

    say_waiting = partial(click.echo, "Waiting for Kafka to confirm what is under way …", err=True)
    messages: Iterable[Message]
    if traffic.file:
        refuse_same_file(traffic.file, traffic.record)
        total = count_messages(traffic.file)
        messages = read_messages(traffic.file, envelope=traffic.envelope)
    else:
        assert traffic.events
        total, messages = traffic.events, demo_traffic(traffic.seed, events=traffic.events, rate=None)
    code = run_produce(
        configured,
        messages,
        total=total,
        rate=traffic.rate,
        record=traffic.record,
        call=lambda sending: beside(watch, sending, finish_seconds=CONFIRM_SECONDS, waiting=say_waiting),
    )
    if code == STOPPED:
        raise KeyboardInterrupt
    return code


def _send_live(stack: "Stack", traffic: Traffic) -> None:
    command = [sys.executable, "-m", "clickstream_assets.cli.main", "produce", "--demo", "--seed", str(traffic.seed)]
    if traffic.rate:
        command += ["--rate", str(traffic.rate)]
    if traffic.record:
        command += ["--record", str(traffic.record.absolute())]
    again = [*command, "--append"] if traffic.record else command
    stack.start_process("demo-traffic", command, title="the demo traffic", restarts=RESTARTS, argv_again=again)
    click.echo("Live demo clicks are flowing.")


def _stay(watch: Watch) -> int:
    while True:
        watch()
        time.sleep(LOOK_SECONDS)


def _finish(watch: Watch) -> int:
    """Wait until all that was sent is indexed, then print the figures; 1 if they differ."""
    begun = time.monotonic()
    reconciliation, finished = beside(watch, _await_metrics)
    print_reconciliation(reconciliation)
    click.echo(f"Metrics were complete {finished - begun:.0f} s after the last event was sent.")
    return 1 if reconciliation.differences else 0


def _await_metrics(stop: threading.Event) -> "tuple[Reconciliation, float]":
    """The figures once nothing is left to do, and the time of that; ClickException if nothing moves for 10 minutes."""
    from clickstream_assets.definitions import resources
    from clickstream_assets.evidence.reconciliation import progress, reconcile, stale_days

    servers = resources(settings())
    changed, last = time.monotonic(), None
    with servers.kafka.client() as topic, servers.hbase.books() as books, servers.elasticsearch.client() as es:
        while any(behind := (*progress(topic, books), stale_days(books))) and not stop.is_set():
            if behind != last:
                last, changed = behind, time.monotonic()
                units = zip(behind[1:], ("hour", "day"), strict=True)
                hours, days = (f"{count:,} {unit}{'' if count == 1 else 's'}" for count, unit in units)
                click.echo(f"{behind[0]:,} messages to read, {hours} to compute, {days} to put together …", err=True)
            if time.monotonic() - changed > _STUCK_SECONDS:
                raise click.ClickException(
                    f"nothing has moved for {_STUCK_SECONDS} s: the errors of failed runs stand above, and "
                    f"{settings().links_to}/runs has them all after `clickstream run`"
                )
            stop.wait(1)
        finished = time.monotonic()
        return reconcile(topic, books, es, servers.elasticsearch.alias), finished


def print_reconciliation(figures: "Reconciliation") -> None:
    counts = {
        "messages read from Kafka": figures.read,
        "  stored as rows in HBase": figures.rows,
        "  duplicates": figures.duplicates,
        "  dead-lettered": figures.letters,
        "lag": figures.lag,
        "metrics in HBase": figures.metrics,
        "documents in Elasticsearch": figures.documents,
        "clicks in Elasticsearch": figures.document_clicks,
    }
    out = console()
    out.print(table_of([{"Reconciliation": words, "": count} for words, count in counts.items()], figure))
    for difference in figures.differences:
        out.print(f"[red]differs[/] {difference}")
    if not figures.differences:
        out.print("The books balance: every message is accounted for.")
