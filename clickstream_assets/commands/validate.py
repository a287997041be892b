"""``clickstream validate`` and ``clickstream schema``: what an event has to be, without a server."""

import sys
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import click

from clickstream_assets.commands.verdict import Verdict
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.clients.kafka import Message
    from clickstream_assets.domain.validation import Validation


@click.command("schema", short_help="The JSON Schema of an event.")
def schema() -> None:
    """Print the JSON Schema of an event: what it refuses, the pipeline refuses."""
    from json import dumps

    from clickstream_assets.domain.event_schema import event_schema

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
    import orjson

    from clickstream_assets.domain.enrichment import is_bot
    from clickstream_assets.domain.settling import Rules
    from clickstream_assets.domain.validation import REFUSED, Validation
    from clickstream_assets.domain.validation import validate as validated

    configured = settings()
    rules = Rules(configured.topic, "", configured.first_hour_ms, "", configured.url_rules)
    total = Validation()
    out = sys.stdout.buffer
    for told in validated(_as_recorded(file, envelope), rules, is_bot, total):
        if not quiet or told["outcome"] == REFUSED:
            out.write(orjson.dumps(told) + b"\n")
    out.flush()
    click.echo(_in_words(total), err=True)
    sys.exit(1 if total.outcomes[REFUSED] else 0)


def _as_recorded(file: Path, envelope: bool) -> "Iterator[Message]":
    """A file's messages as Kafka would hold them in one partition."""
    from clickstream_assets.clients.kafka import Message
    from clickstream_assets.traffic.message_files import read_messages

    now = int(time() * 1000)
    for offset, sent in enumerate(read_messages(file, envelope=envelope)):
        yield Message(0, offset, now if sent.timestamp_ms is None else sent.timestamp_ms, sent.value)


def _in_words(total: "Validation") -> str:
    from clickstream_assets.domain.hours import key_of_hour
    from clickstream_assets.domain.validation import DUPLICATE, REFUSED, STORED

    stored, duplicates, refused = (total.outcomes[outcome] for outcome in (STORED, DUPLICATE, REFUSED))
    lines = [f"{total.outcomes.total():,} messages: {stored:,} stored, {duplicates:,} duplicates, {refused:,} refused"]
    lines += [f"  {count:,} {reason}" for reason, count in total.reasons.most_common()]
    if total.hours:
        span = f"{key_of_hour(min(total.hours))} to {key_of_hour(max(total.hours))}"
        lines.append(f"{total.clicks:,} clicks of people, {total.bots:,} events of bots; hours {span} (UTC)")
    return "\n".join(lines)
