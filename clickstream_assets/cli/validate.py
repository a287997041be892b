"""``clickstream validate`` and ``clickstream schema``: what an event has to be, without a server."""

import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from time import time
from typing import TYPE_CHECKING

import click

from clickstream_assets.cli.verdict import Verdict
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.events.message_lines import Line
    from clickstream_assets.ingest.validation import Judged, Validation

_AT_A_TIME = 500


@click.command("schema", short_help="The JSON Schema of an event.")
def schema() -> None:
    """Print the JSON Schema of an event: what it refuses, the pipeline refuses."""
    from json import dumps

    from clickstream_assets.events.event_schema import event_schema

    click.echo(dumps(event_schema(), indent=2))


@click.command("validate", cls=Verdict, short_help="What would become of each message of a file, offline.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--envelope", is_flag=True, help='FILE has lines of {"value": "…", "kafka_timestamp_ms": n}.')
@click.option("--quiet", "-q", is_flag=True, help="Print the sums alone, and what is refused.")
def validate(file: Path, envelope: bool, quiet: bool) -> None:
    """Say of each message of FILE (- for standard input) what would become of it: stored, a duplicate, or refused and
    why; its hour, its url as metrics count it, whose event it is, whether it counts as a click, whether a bot sent it.

    One JSON object a message on standard output, the sums on standard error. No server is asked. Without --envelope
    the messages are taken as recorded now. Exit code 1: some are refused; 2: FILE could not be read.

    \b
    clickstream validate clicks.jsonl | jq 'select(.outcome == "refused")'
    """
    from clickstream_assets.events.shown_text import json_text
    from clickstream_assets.ingest.validation import REFUSED, Validation

    total = Validation()
    out = sys.stdout.buffer
    for message in _judged(file, envelope):
        judgement = total.add(message)
        if not quiet or judgement["outcome"] == REFUSED:
            out.write(json_text(judgement).encode() + b"\n")
    out.flush()
    click.echo(_in_words(total), err=True)
    sys.exit(1 if total.outcomes[REFUSED] else 0)


def _judged(file: Path, envelope: bool) -> "Iterator[Judged]":
    """A file's messages, in order, looked at by a process for each core, a few hundred of them at a time."""
    from clickstream_assets.enrich import enrichment  # noqa: F401 - before the processes fork
    from clickstream_assets.events.message_files import lines_of_messages
    from clickstream_assets.ingest import validation  # noqa: F401 - before the processes fork
    from clickstream_assets.stores.process import collect_rarely

    collect_rarely()
    now = int(time() * 1000)
    lines = enumerate(lines_of_messages(file, envelope=envelope))
    cores = len(os.sched_getaffinity(0))
    under_way: deque[Future[list[Judged]]] = deque()
    # Ctrl-C is for this process; the others end with it.
    fork = get_context("fork")
    with ProcessPoolExecutor(cores, fork, signal, (SIGINT, SIG_IGN)) as processes:
        while numbered_lines := list(islice(lines, _AT_A_TIME)):
            under_way.append(processes.submit(_judged_here, numbered_lines, file, envelope, now))
            if len(under_way) > 2 * cores:
                yield from under_way.popleft().result()
        for judged in under_way:
            yield from judged.result()


def _judged_here(lines: "list[tuple[int, Line]]", file: Path, envelope: bool, now_ms: int) -> "list[Judged]":
    """Numbered lines as Kafka would hold their messages in one partition, looked at one by one."""
    from clickstream_assets.enrich.enrichment import is_bot
    from clickstream_assets.events.message_files import message_of
    from clickstream_assets.ingest.outcomes import Rules
    from clickstream_assets.ingest.validation import judged
    from clickstream_assets.stores.kafka.client import Record

    configured = settings()
    rules = Rules(
        configured.topic,
        "",
        configured.first_hour_ms,
        "",
        configured.url_rules,
        max_age_ms=configured.max_age_ms,
    )
    messages = []
    for offset, line in lines:
        sent = message_of(line, file, envelope=envelope)
        messages.append(Record(0, offset, now_ms if sent.timestamp_ms is None else sent.timestamp_ms, sent.value))
    return judged(messages, rules, is_bot, configured.url_limits)


def _in_words(total: "Validation") -> str:
    from clickstream_assets.ingest.validation import DUPLICATE, REFUSED, STORED

    stored, duplicates, refused = (total.outcomes[outcome] for outcome in (STORED, DUPLICATE, REFUSED))
    lines = [f"{total.outcomes.total():,} messages: {stored:,} stored, {duplicates:,} duplicates, {refused:,} refused"]
    lines += [f"  {count:,} {reason}" for reason, count in total.reasons.most_common()]
    if total.hours:
        span = f"{min(total.hours)} to {max(total.hours)}"
        lines.append(f"{total.clicks:,} clicks of people, {total.bots:,} events of bots; hours {span} (UTC)")
    return "\n".join(lines)
