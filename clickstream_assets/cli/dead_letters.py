"""``clickstream dead-letters``: what was refused, looked at and mended."""

import base64
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from clickstream_assets.cli.consoles import console, figure, table_of
from clickstream_assets.cli.hour_range import Hour
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.cli.through_dagster import explained, require_no_dagster, run_in_dagster, who_writes
from clickstream_assets.cli.verdict import Verdict
from clickstream_assets.events.hours import HOUR_MS, key_of_hour, rfc3339
from clickstream_assets.events.refusals import REASONS
from clickstream_assets.events.shown_text import json_text, printable
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.ingest.dead_letters import DeadLetters, Letter, Selection
    from clickstream_assets.ingest.replay import ReplayReport

PREVIEW_BYTES = 200
"""Bytes of a letter shown without ``--full``."""
_PLACE = re.compile(r"([^/]+)/(\d{1,9})/(\d{1,18})", re.ASCII)
_Command = Callable[..., Any]


class LetterPlace(click.ParamType):
    """A message's place in Kafka: topic id, partition and offset."""

    name = "place"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int, int]:
        if (parts := _PLACE.fullmatch(value)) is None:
            self.fail(f"{value!r} is not TOPIC_ID/PARTITION/OFFSET", param, ctx)
        return parts[1], int(parts[2]), int(parts[3])


def _selection(command: _Command) -> _Command:
    """The options that choose letters."""
    limit = click.option(
        "--limit", type=click.IntRange(min=1), help="At most so many, by topic id, partition and offset."
    )
    end = click.option("--to", "end", type=Hour(), help="Up to this hour (not included).")
    first = click.option("--from", "first", type=Hour(), help="From this hour of the Kafka record on.")
    reasons = click.option(
        "--reason", "reasons", multiple=True, type=click.Choice(REASONS), help="Of this reason; repeatable."
    )
    return reasons(first(end(limit(command))))


def _wanted(
    *, reasons: tuple[str, ...], first: int | None, end: int | None, limit: int | None, otherwise: int | None = None
) -> "Selection":
    """The letters that the options choose; ``otherwise`` is the limit if none is given."""
    from clickstream_assets.ingest.dead_letters import Selection

    if first is not None and end is not None and end <= first:
        raise click.UsageError("--to must be later than --from: it is the hour behind the last one wanted.")
    return Selection(frozenset(reasons), first, end, limit or otherwise)


@click.group("dead-letters", short_help="Refused messages: list, show, mend.")
def dead_letters() -> None:
    """Messages that were refused, kept with their bytes and the reason.

    Hours are those of the Kafka record; older ones than the first partition count in that.
    """


@dead_letters.command("list", short_help="How many, by hour and reason.")
@_selection
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def list_(as_json: bool, **chosen: Any) -> None:
    """Count dead letters by hour and reason.

    \b
    clickstream dead-letters list --from 2026-01-31T00:00 --to 2026-02-01T00:00
    """
    wanted = _wanted(**chosen)
    with _letters() as letters:
        counts = letters.counts(wanted)
    rows = [{"hour": key_of_hour(hour), "reason": reason, "letters": count} for (hour, reason), count in counts.items()]
    if as_json:
        for row in rows:
            click.echo(json_text(row))
    elif rows:
        console().print(table_of([*rows, {"hour": "all", "reason": "", "letters": sum(counts.values())}], figure))
    else:
        click.echo("No dead letters.")


@dead_letters.command("show", cls=Verdict, short_help="Single letters with their bytes.")
@click.argument("coordinates", nargs=-1, type=LetterPlace(), metavar="[TOPIC_ID/PARTITION/OFFSET]...")
@_selection
@click.option("--full", is_flag=True, help=f"All bytes of each, not the first {PREVIEW_BYTES}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(coordinates: tuple[tuple[str, int, int], ...], full: bool, as_json: bool, **chosen: Any) -> None:
    """Show letters: where they lie in Kafka, when, why, by which run they were refused, and their bytes.

    Bytes that are not UTF-8 are shown as base64. Without --limit ten are shown; places name single ones.
    Exits with 1 if one of these is not there, with 2 if that could not be told.

    \b
    clickstream dead-letters show --reason missing_field --limit 3
    clickstream dead-letters show --full 4fQ0aWp1T5Kc9b0CkJ2xGQ/3/1204
    """
    wanted = _wanted(**chosen, otherwise=10)
    with _letters() as letters:
        named = [
            letter
            for topic_id, partition, offset in coordinates
            for letter in letters.between(topic_id, partition, offset, offset + 1)
        ]
        shown = named if coordinates else list(letters.select(wanted))
        for letter, value in chain.from_iterable(letters.values(shown)):
            described = _described(letter, value, full=full)
            click.echo(json_text(described) if as_json else _in_lines(described))
    if not shown and not as_json:
        click.echo("No such dead letter.")
    if coordinates and len(shown) < len(coordinates):
        sys.exit(1)


@dead_letters.command("replay", cls=Verdict, short_help="Decode them once more, after a fix.")
@_selection
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would happen.")
@who_writes
def replay(dry_run: bool, url: str, here: bool, **chosen: Any) -> None:
    """Decode dead letters with today's code and settings, under the coordinates they came with.

    What is refused no more becomes a row or a duplicate, and its hours wait to be computed again. What is refused
    still stays, with today's reason. Nothing is sent to Kafka, and a second replay changes nothing.

    Dagster runs it, as the job replay_dead_letters, for then no run that ingests is under way at the same time.

    Exit codes: 0 all were tried; 1 some were left alone; 2 it failed, or wrong usage.

    \b
    clickstream dead-letters replay --reason before_first_partition --dry-run
    """
    from clickstream_assets.orchestration import repairs

    wanted = _wanted(**chosen)
    if not dry_run and not here:
        config = {
            "reasons": sorted(wanted.reasons),
            "first": None if wanted.first is None else key_of_hour(wanted.first),
            "end": None if wanted.end is None else key_of_hour(wanted.end),
            "limit": wanted.limit,
        }
        figures = run_in_dagster(url, repairs.replay_dead_letters.name, repairs.replay.name, config)
        sys.exit(1 if figures.get("unbooked") else 0)
    if not dry_run:
        require_no_dagster(url)
    report = _replayed(wanted, dry_run=dry_run)
    click.echo(report.in_words())
    sys.exit(1 if report.unbooked else 0)


def _replayed(wanted: "Selection", *, dry_run: bool) -> "ReplayReport":
    """The replay in this process, its progress on standard error."""
    from clickstream_assets.definitions import resources
    from clickstream_assets.orchestration.repairs import replayed

    require_servers(settings(), "HBase")
    servers, say = resources(settings()), partial(click.echo, err=True)
    with explained():
        return replayed(servers.kafka, servers.hbase, settings(), wanted, f"command-{uuid4()}", say, dry_run=dry_run)


@contextmanager
def _letters() -> "Iterator[DeadLetters]":
    from clickstream_assets.definitions import resources
    from clickstream_assets.ingest.dead_letters import DeadLetters

    require_servers(settings(), "HBase")
    with explained(), resources(settings()).hbase.books() as books:
        yield DeadLetters(books.hbase, books.tables.dead_letters, settings().first_hour_ms // HOUR_MS)


def _described(letter: "Letter", value: bytes | None, *, full: bool) -> dict[str, object]:
    described: dict[str, object] = {
        "topic_id": letter.topic_id,
        "partition": letter.partition,
        "offset": letter.offset,
        "record_time": rfc3339(letter.record_time_ms) if letter.record_time_ms >= 0 else None,
        "reason": letter.reason,
        "detail": letter.detail,
        "run_id": letter.run_id,
        "bytes": None if value is None else len(value),
    }
    if value is None:
        return described | {"value": None}
    shown = value if full else value[:PREVIEW_BYTES]
    try:
        value.decode()
    except UnicodeDecodeError:
        described["value_base64"] = base64.b64encode(shown).decode("ascii")
    else:
        described["value"] = shown.decode("utf-8", "ignore")  # a preview may end within a character
    return described | ({"truncated": True} if len(shown) < len(value) else {})


def _in_lines(described: dict[str, object]) -> str:
    """A letter for people. Control characters are escaped, for a terminal would obey them."""
    place = "/".join(str(described.pop(name)) for name in ("topic_id", "partition", "offset"))
    shown = {name: "none" if content is None else printable(str(content)) for name, content in described.items()}
    return "\n".join([place, *(f"  {name}: {content}" for name, content in shown.items())])
