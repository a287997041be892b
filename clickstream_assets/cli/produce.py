"""``clickstream produce``: a file's messages, or demo traffic, to the topic."""

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from clickstream_assets.events.message_files import Message, count_messages, read_messages
from clickstream_assets.events.message_lines import is_standard_input
from clickstream_assets.settings import Settings, settings

DEMO_RATE = 20.0
STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""
_REFUSED_NAMED = 5
Sending = Callable[[threading.Event], int]
"""Sends until it is done or the event is set; returns how many messages are confirmed."""


class Finite(click.FloatRange):
    """A number above zero that is neither infinite nor NaN, which no bound keeps out."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


@click.command("produce", short_help="Send events to the topic, from a file or demo traffic.")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--envelope", is_flag=True, help='FILE has lines of {"value": "…", "kafka_timestamp_ms": n}.')
@click.option("--demo", is_flag=True, help="Send made-up shop traffic instead of a file.")
@click.option(
    "--events",
    type=click.IntRange(min=1),
    help="With --demo: this many events of the past six hours, then stop. Without it traffic is live and has no end.",
)
@click.option(
    "--rate",
    type=Finite(),
    help=f"Messages a second. Live demo traffic: {DEMO_RATE:g}; everything else: as fast as Kafka takes them.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --demo: same seed, same traffic.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what was sent to this file, as lines that --envelope reads.",
)
@click.option("--append", is_flag=True, help="With --record: write behind what the file has.")
def produce(
    file: Path | None,
    envelope: bool,
    demo: bool,
    events: int | None,
    rate: float | None,
    seed: int,
    record: Path | None,
    append: bool,
) -> None:
    """Send events to the topic, keyed by event id.

    FILE has one message a line, in UTF-8, gzip or not, and - is standard input; with --envelope each line says its
    Kafka record time too, -1 for none. Messages that the topic does not take, for their size or record time, are left
    out and named, and the exit code is 1.

    \b
    clickstream produce clicks.jsonl.gz
    jq -c '.[]' array.json | clickstream produce -
    clickstream produce --demo                   live traffic until Ctrl-C
    clickstream produce --demo --events 5000     a finished history of 6 hours
    """
    _refuse(demo == (file is not None), "Name a FILE to send, or ask for --demo traffic: one of the two.")
    _refuse(file and events, "--events goes with --demo.")
    _refuse(envelope and not file, "--envelope goes with a FILE.")
    _refuse(append and not record, "--append goes with --record.")
    for number in (signal.SIGINT, signal.SIGTERM):  # a supervisor's stop confirms and records, a script's `&` as well
        signal.signal(number, signal.default_int_handler)
    total: int | None
    messages: Iterable[Message]
    if file:
        refuse_same_file(file, record)
        total, messages = count_messages(file), read_messages(file, envelope=envelope)
    else:
        total, messages = events, demo_traffic(seed, events=events, rate=rate)
        if events is None:
            rate = None  # live traffic paces itself
    sys.exit(run_produce(settings(), messages, total=total, rate=rate, record=record, append=append))


def _refuse(is_wrong: object, words: str) -> None:
    if is_wrong:
        raise click.UsageError(words)


def demo_traffic(seed: int, *, events: int | None, rate: float | None) -> Iterator[Message]:
    """Demo messages as the command line asks for them: a finished history, or live."""
    from clickstream_assets.local.demo.visits import demo_messages, live_messages

    if events is None:
        return live_messages(seed, rate=rate or DEMO_RATE)
    return demo_messages(seed, datetime.now(UTC), events=events)


def refuse_same_file(file: Path, record: Path | None) -> None:
    """Raise UsageError where what is sent would be recorded over the file that it is read from."""
    if record and record.exists() and not is_standard_input(file) and record.samefile(file):
        raise click.UsageError("--record names the file that is sent: it would be overwritten before it is read.")


def run_produce(
    settings: Settings,
    messages: Iterable[Message],
    *,
    total: int | None,
    rate: float | None,
    record: Path | None,
    append: bool = False,
    call: Callable[[Sending], int] = lambda sending: sending(threading.Event()),
) -> int:
    """Make the topic if it is missing, send with a progress bar, say how many were sent; the exit code.

    It is 1 where the topic did not take some of the messages, of which the first are named. ``call`` calls the sending
    itself: whoever has something to do meanwhile calls it in another thread.
    """
    from clickstream_assets.stores.kafka.producer import Unreachable

    if record and not record.parent.is_dir():
        raise click.UsageError(f"--record: there is no folder {record.parent}.")
    ensure_topic_or_explain(settings)
    tally, code, verb = _SentCounts(), 0, "Done:"
    try:
        # By lines: a kill leaves whole ones
        to_record = record.open("a" if append else "w", encoding="utf-8", buffering=1) if record else nullcontext()
        with to_record as record_file, progress(total) as tally.show:
            call(partial(_send, settings, messages, tally, rate, record_file))
    except KeyboardInterrupt:
        code, verb = STOPPED, "Stopped:"
    except Unreachable as error:
        raise click.ClickException(f"{error.message} {_remedy(settings)}") from error
    finally:  # below the progress bar
        tally.tell()
    but = f"; {tally.refused:,} were refused" if tally.refused else ""
    click.echo(f"{verb} {tally.sent:,} messages are in {settings.topic}{but}.", err=True)
    return code or int(tally.refused > 0)


def _send(
    settings: Settings,
    messages: Iterable[Message],
    tally: "_SentCounts",
    rate: float | None,
    record: IO[str] | None,
    stop: threading.Event,
) -> int:
    from clickstream_assets.stores.kafka.producer import send

    return send(
        messages,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        topic=settings.topic,
        rate=rate,
        on_sent=tally.count,
        on_refused=tally.refuse,
        record=record,
        stop=stop,
    )


@dataclass(slots=True)
class _SentCounts:
    """What became of messages so far."""

    show: Callable[[int], None] = lambda _: None
    sent: int = 0
    refused: int = 0
    named: list[str] = field(default_factory=list)
    """What is to be said of the first that were refused."""

    def count(self, acknowledged: int) -> None:
        self.sent = acknowledged
        self.show(acknowledged)

    def refuse(self, error: click.ClickException) -> None:
        self.refused += 1
        if self.refused <= _REFUSED_NAMED:
            self.named.append(error.message)

    def tell(self) -> None:
        for words in self.named:
            click.echo(words, err=True)
        if self.refused > len(self.named):
            click.echo(f"{self.refused - len(self.named):,} more messages were not sent for such reasons.", err=True)


def ensure_topic_or_explain(settings: Settings) -> None:
    """Make the topic if it is missing. Raises ClickException with the remedy if Kafka can't be reached."""
    from kafka.errors import KafkaError

    from clickstream_assets.stores.kafka.client import ensure_topic

    try:
        ensure_topic(settings.kafka_bootstrap_servers, settings.topic)
    except (KafkaError, OSError) as error:
        raise click.ClickException(
            f"Kafka at {settings.kafka_bootstrap_servers} does not answer ({error}). {_remedy(settings)}"
        ) from error


def _remedy(settings: Settings) -> str:
    return (
        "Start it with `clickstream stack up`, or set CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS "
        f"(now {settings.kafka_bootstrap_servers}) to brokers that run; `clickstream doctor` looks closer."
    )


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar of messages sent, as a function that is told their number; silent where no terminal is."""
    if not sys.stderr.isatty():
        yield lambda sent: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda sent: bar.update(task, completed=sent)
