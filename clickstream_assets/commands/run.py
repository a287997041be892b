"""``clickstream run``: the servers, Dagster and traffic, in the foreground."""

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clickstream_assets.commands.consoles import console
from clickstream_assets.commands.stores import prepare_stores
from clickstream_assets.commands.verdict import Verdict
from clickstream_assets.settings import Settings, settings
from clickstream_assets.traffic.commands import (
    STOPPED,
    Finite,
    demo_traffic,
    refuse_same_file,
    run_produce,
)

if TYPE_CHECKING:
    from clickstream_assets.domain.reconciliation import Reconciliation
    from clickstream_assets.stack.supervisor import Stack
    from clickstream_assets.traffic.message_files import Message

_DAGSTER_UP_SECONDS = 90
_STUCK_SECONDS = 600


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
def run(
    file: Path | None,
    envelope: bool,
    events: int | None,
    rate: float | None,
    seed: int,
    record: Path | None,
    leave: bool,
) -> None:
    """Start the embedded servers, Dagster on http://localhost:3000 with its sensors on, and traffic.

    One Ctrl-C stops everything that was started. With --exit it ends by itself once all that was sent is in
    Elasticsearch: with 0 if the books agree with the servers, with 1 and what differs if not, or if messages of FILE
    were refused; with 2 if it could not be done.

    \b
    clickstream run                              live demo traffic
    clickstream run --events 5000 --exit         a finished history of six hours
    clickstream run --file clicks.jsonl          your own events
    """
    from clickstream_assets.stack import ports
    from clickstream_assets.stack.steps import TerminalSteps
    from clickstream_assets.stack.supervisor import Stack
    from clickstream_assets.traffic.message_files import look_at

    if file and events:
        raise click.UsageError("--events is for demo traffic: name a --file or a number of events.")
    if envelope and not file:
        raise click.UsageError("--envelope goes with --file.")
    if file:
        look_at(file, envelope=envelope)
    if leave and not (file or events):
        raise click.UsageError("--exit needs an end of traffic: give --events N or --file FILE.")
    if settings().dagster_port:  # rather now than when all servers are up
        ports.choose("Dagster", settings().dagster_port, "CLICKSTREAM_DAGSTER_PORT", set())
    begun = time.monotonic()
    with Stack(settings(), TerminalSteps()) as stack:
        os.environ.update(stack.environment())
        settings.cache_clear()
        url = _start_dagster(stack, settings())
        click.echo(f"Dagster is up on {url} after {time.monotonic() - begun:.0f} s. Ctrl-C stops everything.")
        try:
            if file or events:
                refused = _send(settings(), file, envelope, events, seed, rate, record)
                code = _finish(stack) or refused if leave else _stay(stack)
            else:
                _send_live(stack, seed, rate, record)
                code = _stay(stack)
        except KeyboardInterrupt:
            click.echo("Stopping everything …", err=True)
            code = 0
    sys.exit(code)


def dagster_home(configured: Settings) -> Path:
    """The folder of Dagster's instance, with our dagster.yaml in it."""
    home = configured.home.expanduser().absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).parents[1] / "dagster.yaml", home / "dagster.yaml")
    return home


def _start_dagster(stack: "Stack", configured: Settings) -> str:
    """Start code server, webserver and daemon; returns the webserver's address once it answers."""
    from clickstream_assets.stack import ports

    chosen: set[int] = set()
    port = ports.choose("Dagster", configured.dagster_port, "CLICKSTREAM_DAGSTER_PORT", chosen)
    grpc_port = ports.free_port(chosen)
    home = dagster_home(configured)
    prepare_stores(configured)
    warm_up = [sys.executable, "-W", "ignore", "-m", "clickstream_assets.commands.warm_up"]
    stack.start_process("spark-warm-up", warm_up, must_live=False)
    workspace = home / "workspace.yaml"
    workspace.write_text(
        "load_from:\n  - grpc_server:\n"
        f"      {{host: 127.0.0.1, port: {grpc_port}, location_name: clickstream_assets}}\n"
    )
    # One code server for webserver and daemon: each would start its own otherwise.
    env = {"DAGSTER_HOME": str(home), "CLICKSTREAM_DAGSTER_PORT": str(port)}  # links need the port that was free
    python = [sys.executable, "-W", "ignore", "-m"]
    code = ["dagster", "api", "grpc", "-m", "clickstream_assets.definitions", "-h", "127.0.0.1", "-p", str(grpc_port)]
    stack.start_process("dagster-code", [*python, *code], env=env, port=grpc_port)
    _wait_for(stack, "the code server", lambda: ports.is_open(grpc_port))
    web = ["dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    stack.start_process("dagster-webserver", [*python, *web], env=env, port=port)
    stack.start_process("dagster-daemon", [*python, "dagster._daemon", "run", "-w", str(workspace)], env=env)
    url = f"http://localhost:{port}"
    _wait_for(stack, "the webserver", lambda: _answers(f"http://127.0.0.1:{port}/server_info"))
    return url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_for(stack: "Stack", what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DAGSTER_UP_SECONDS
    while not ready():
        stack.check()
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{what} did not answer within {_DAGSTER_UP_SECONDS} s: see `clickstream stack status` for its log"
            )
        time.sleep(0.2)


def _send(
    configured: Settings,
    file: Path | None,
    envelope: bool,
    events: int | None,
    seed: int,
    rate: float | None,
    record: Path | None,
) -> int:
    """Send what was asked for; 1 if the topic did not take some of it."""
    from clickstream_assets.traffic.message_files import count_messages, read_messages

    messages: Iterable[Message]
    if file:
        refuse_same_file(file, record)
        total, messages = count_messages(file), read_messages(file, envelope=envelope)
    else:
        assert events
        total, messages = events, demo_traffic(seed, events=events, rate=None)
    code = run_produce(configured, messages, total=total, rate=rate, record=record)
    if code == STOPPED:
        raise KeyboardInterrupt
    return code


def _send_live(stack: "Stack", seed: int, rate: float | None, record: Path | None) -> None:
    command = [sys.executable, "-m", "clickstream_assets.cli", "produce", "--demo", "--seed", str(seed)]
    if rate:
        command += ["--rate", str(rate)]
    if record:
        command += ["--record", str(record.absolute())]
    stack.start_process("demo-traffic", command)
    click.echo("Live demo clicks are flowing.")


def _stay(stack: "Stack") -> int:
    while True:
        stack.check()
        time.sleep(0.5)


def _finish(stack: "Stack") -> int:
    """Wait until all that was sent is indexed, then print and judge the figures."""
    from clickstream_assets.definitions import resources
    from clickstream_assets.domain.reconciliation import progress, reconcile

    made = resources(settings())
    begun = changed = time.monotonic()
    last: tuple[int, int] | None = None
    with made.kafka.client() as topic, made.hbase.client() as hbase, made.elasticsearch.client() as es:
        while (behind := progress(topic, hbase, made.hbase.table)) != (0, 0):
            stack.check()
            if behind != last:
                last, changed = behind, time.monotonic()
                hours = f"{behind[1]:,} hour{'' if behind[1] == 1 else 's'}"
                click.echo(f"{behind[0]:,} messages to read, {hours} to compute …", err=True)
            if time.monotonic() - changed > _STUCK_SECONDS:
                raise click.ClickException(
                    f"nothing has moved for {_STUCK_SECONDS} s: look at the failed runs, on "
                    f"http://localhost:{settings().dagster_port}/runs after `clickstream run`"
                )
            time.sleep(1)
        seconds = time.monotonic() - begun
        found = reconcile(topic, hbase, es, made.hbase.table, made.elasticsearch.alias)
    print_reconciliation(found)
    click.echo(f"Metrics were complete {seconds:.0f} s after the last event was sent.")
    return 1 if found.differences else 0


def print_reconciliation(found: "Reconciliation") -> None:
    """Print the figures, and what differs."""
    from rich.table import Table

    table = Table(title="Reconciliation", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("count", justify="right")
    for words, count in (
        ("messages read from Kafka", found.read),
        ("  stored as rows in HBase", found.rows),
        ("  duplicates", found.duplicates),
        ("  dead-lettered", found.letters),
        ("lag", found.lag),
        ("metrics in HBase", found.metrics),
        ("documents in Elasticsearch", found.documents),
        ("clicks in Elasticsearch", found.document_clicks),
    ):
        table.add_row(words, f"{count:,}")
    out = console()
    out.print(table)
    for difference in found.differences:
        out.print(f"[red]differs[/] {difference}")
    if not found.differences:
        out.print("The books balance: every message is accounted for.")
