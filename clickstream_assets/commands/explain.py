"""``clickstream explain``: how a document came to be, and whether it still holds."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clickstream_assets.commands.consoles import as_is, console, plain_table
from clickstream_assets.commands.hours import Hour
from clickstream_assets.commands.run_records import FailedCheck, RunRecord, failed_checks, find_instance, runs
from clickstream_assets.commands.servers import require_servers
from clickstream_assets.commands.verdict import Verdict
from clickstream_assets.settings import Settings, settings

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from clickstream_assets.domain.explanation import Comparison, Explanation, StoredEvent, Target, View

_T = TypeVar("_T")


class Url(click.ParamType):
    """A url as sent; normalised as metrics count it."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Normalise, or say why it would be refused."""
        from clickstream_assets.domain.urls import InvalidUrl, normalized_url

        try:
            return normalized_url(str(value), settings().url_rules)
        except InvalidUrl as error:
            self.fail(f"{str(value)!r}: {error}", param, ctx)


class Country(click.ParamType):
    """A country's code in upper case."""

    name = "country"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Two letters, or say so."""
        code = str(value).upper()
        if len(code) != 2 or not (code.isascii() and code.isalpha()):
            self.fail(f"{value!r} is no ISO 3166-1 alpha-2 code: write DE, or ZZ for an unknown country", param, ctx)
        return code


@click.command("explain", cls=Verdict, short_help="How a document came to be, and whether it still holds.")
@click.argument("hour", type=Hour())
@click.argument("url", type=Url())
@click.argument("country", type=Country())
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Events and offset ranges shown, in order of time and of offset; 0: all.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def explain(hour: int, url: str, country: str, limit: int, as_json: bool) -> None:
    """Explain the metrics of one HOUR, URL and COUNTRY: one document in Elasticsearch.

    Shows the events it was computed from, with HBase row key, Kafka place, and the time spent on each view with the
    event that ended it; the ledger ranges and Dagster runs that brought them; the versions that enriched them. Each
    field is compared: the document, the metrics row in HBase, and what HBase's rows give when computed again now.
    Where nothing is there it says why.

    HOUR is a partition key or ISO 8601, in UTC. URL may be written as it was sent: it is normalised as metrics are.
    COUNTRY has two letters; ZZ is unknown.

    \b
    clickstream explain 2026-01-31-12:00 'https://shop.example/shoes?utm_source=mail' DE
    clickstream explain 2026-01-31T12:00 https://shop.example/ ZZ --limit 0 --json

    Exits with 0 if all agree (also that there is nothing), with 1 if a field differs, with 2 if that could not be told.
    """
    configured = settings()
    found = _explained(configured, hour, url, country)
    records = _records(configured, found)
    if as_json:
        click.echo(json.dumps(_as_json(found, records, limit), ensure_ascii=False))
    else:
        _print(found, records, limit)
    sys.exit(0 if found.explanation.same else 1)


@dataclass(frozen=True, slots=True)
class _Found:
    explanation: "Explanation"
    remarks: list[str]


@dataclass(slots=True)
class _Records:
    """What Dagster remembers; ``known`` is false if no instance was found."""

    known: bool = False
    runs: dict[str, RunRecord] = field(default_factory=dict)
    failed_checks: list[FailedCheck] = field(default_factory=list)


def _explained(configured: Settings, hour: int, url: str, country: str) -> _Found:
    require_servers(configured, "HBase", "Elasticsearch", "Spark")

    from clickstream_assets.assets.common import clicks_of
    from clickstream_assets.definitions import resources
    from clickstream_assets.domain import explanation as domain
    from clickstream_assets.domain.hours import HOUR_MS
    from clickstream_assets.domain.table_schemas import TABLES

    target = domain.Target(hour, url, country)
    made = resources(configured)
    with made.hbase.client() as hbase, made.elasticsearch.client() as es:
        if missing := {made.hbase.table(table.name) for table in TABLES} - hbase.tables():
            raise click.ClickException(
                f"HBase has no {', '.join(sorted(missing))}: nothing was ingested yet, or CLICKSTREAM_NAME_PREFIX "
                f"(now {configured.name_prefix!r}) is not the pipeline's."
            )
        clicks = clicks_of([hour], made.hbase, hbase, made.spark.session)
        explanation = domain.explain(
            target,
            hbase=hbase,
            es=es,
            table=made.hbase.table,
            alias=made.elasticsearch.alias,
            clicks=clicks,
            spark=made.spark.session,
        )
    return _Found(explanation, domain.remarks(explanation, configured.first_hour_ms // HOUR_MS))


def _roles(found: "Explanation") -> dict[str, str]:
    """What each run did for the document, by run id, in order."""
    did: dict[str, list[str]] = {}
    for one in found.ranges:
        did.setdefault(one.entry.run_id, ["read its events"])
    stored = (found.row, found.document.fields if found.document else None)
    for run_id in dict.fromkeys(str(values["run_id"]) for values in stored if values and values.get("run_id")):
        did.setdefault(run_id, []).append("computed it")
    return {run_id: ", ".join(words) for run_id, words in did.items()}


def _records(configured: Settings, found: _Found) -> _Records:
    from clickstream_assets.domain.hours import key_of_hour

    instance = find_instance(configured)
    if instance is None:
        return _Records()
    with instance as opened:
        return _Records(
            known=True,
            runs=runs(opened, _roles(found.explanation)),
            failed_checks=failed_checks(opened, key_of_hour(found.explanation.target.hour)),
        )


# For machines


def _shown(items: Sequence[_T], limit: int) -> Sequence[_T]:
    return items[:limit] if limit else items


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event_json(event: "StoredEvent") -> dict[str, Any]:
    source = event.source
    return {
        "row_key": event.row_key.hex(),
        "kafka": None if source is None else asdict(source),
        "time": _time(event.time_ms),
        "time_ms": event.time_ms,
        "user_key": event.user_key,
        "event_type": event.event_type,
        "url": event.url,
        "country": event.country,
        "is_bot": event.is_bot,
        "engagement_time_ms": event.engagement_time_ms,
    }


def _view_json(view: "View") -> dict[str, Any]:
    return {
        **_event_json(view.event),
        "counts": view.counts,
        "left_out": view.left_out or None,
        "spent_ms": view.spent_ms,
        "ended_by": view.ended_by or None,
        "end": None if view.end is None else _event_json(view.end),
    }


def _as_json(found: _Found, records: _Records, limit: int) -> dict[str, Any]:
    from clickstream_assets.domain.hours import key_of_hour

    it = found.explanation
    values = ("document", "metrics_row", "recomputed", "from_events", "same")
    ranges = [
        {
            "topic_id": one.entry.topic_id,
            "partition": one.entry.partition,
            "first": one.entry.first,
            "end": one.entry.end,
            "read": one.entry.read,
            "events": one.events,
            "run_id": one.entry.run_id,
        }
        for one in _shown(it.ranges, limit)
    ]
    return {
        "hour": key_of_hour(it.target.hour),
        "url": it.target.url,
        "country": it.target.country,
        "same": it.same,
        "values": {c.field: {name: getattr(c, name) for name in values} for c in it.comparisons},
        "remarks": found.remarks,
        "document": None
        if it.document is None
        else {
            "index": it.document.index,
            "id": it.document.id,
            "computed_at": _time_or_as_is(it.document.fields.get("computed_at")),
            "run_id": it.document.fields.get("run_id"),
        },
        "metrics_row": None
        if it.row is None
        else {"computed_at": _time_or_as_is(it.row["computed_at"]), "run_id": it.row["run_id"]},
        "state": {**asdict(it.state), "stale": it.state.stale},
        "failed_checks": [asdict(check) for check in records.failed_checks] if records.known else None,
        "events": [_view_json(view) for view in _shown(it.views, limit)],
        "events_not_shown": len(it.views) - len(_shown(it.views, limit)),
        "ranges": ranges,
        "ranges_not_shown": len(it.ranges) - len(ranges),
        "events_in_no_range": it.unbooked,
        "runs": [_run_json(run_id, did, records) for run_id, did in _roles(it).items()],
        "enrichment": [
            {"geoip_version": geoip or None, "user_agent_version": rules or None, "events": events}
            for (geoip, rules), events in it.versions.most_common()
        ],
    }


def _time_or_as_is(value: Any) -> Any:
    """A stored time in milliseconds, readable; what else may stand there, as it is."""
    return _time(value) if isinstance(value, int) else value


def _run_json(run_id: str, did: str, records: _Records) -> dict[str, Any]:
    record = records.runs.get(run_id)
    return {
        "run_id": run_id,
        "did": did,
        "status": record.status if record else None,
        "started": _time(int(record.started * 1000)) if record and record.started else None,
        "why": record.why or None if record else None,
    }


# For people


def _print(found: _Found, records: _Records, limit: int) -> None:
    out = console()
    it = found.explanation
    out.print(_heading(it.target), _values(it.comparisons), *_verdict(found), sep="\n")
    for part in (_events(it, limit), _ranges(it, limit), _runs(it, records), _versions(it), _checks(records)):
        for line in part:
            out.print(line)


def _title(words: str) -> "Text":
    from rich.text import Text

    return Text(f"\n{words}", style="bold")


def _heading(target: "Target") -> "Text":
    from rich.text import Text

    from clickstream_assets.domain.hours import key_of_hour

    words = Text.assemble((f"{key_of_hour(target.hour)} UTC  ", "bold"), as_is(target.url), f"  {target.country}")
    return words.append(f"\n_id {target.document_id}\n", style="dim")


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:,}"


def _values(comparisons: Iterable["Comparison"]) -> "Table":
    columns = ("document", "metrics row", "recomputed now", "from the events")
    table = plain_table(("field", *columns, " "), right=columns)
    for one in comparisons:
        sketch = one.field == "users_sketch"
        values = (one.document, one.metrics_row, one.recomputed, one.from_events)
        table.add_row(
            "users_sketch (estimate)" if sketch else one.field,
            *(as_is("" if sketch and at == 3 else _number(value)) for at, value in enumerate(values)),
            "same" if one.same else "[bold red]differs[/]",
        )
    return table


def _verdict(found: _Found) -> "list[RenderableType]":
    from rich.text import Text

    it = found.explanation
    if not it.same:
        first = Text("\nNot the same everywhere.", style="bold red")
    elif it.document:
        first = Text("\nThe same everywhere: computed from HBase now, the document comes out as it is.", style="green")
    else:
        first = Text("\nThere is no document, and none comes out of HBase's rows now.")
    return [first, *(as_is(words) for words in found.remarks)]


_ENDED_BY = {
    "next_click": "next click",
    "left": "left the page",
    "sign_of_life": "last sign of life",
    "own_measurement": "own measurement",
    "own_measurement_capped": "own measurement, capped",
    "unknown": "unknown: nothing follows within 30 min",
}


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:,.3f}"


def _events(it: "Explanation", limit: int) -> "list[RenderableType]":
    if not it.views:
        return []
    ids = {event.source.topic_id for view in it.views for event in (view.event, view.end) if event and event.source}
    shown = _shown(it.views, limit)
    counted = sum(view.counts for view in it.views)

    def place(event: "StoredEvent") -> str:
        if event.source is None:
            return "unknown"
        place = f"{event.source.partition}/{event.source.offset}"
        return place if len(ids) == 1 else f"{event.source.topic_id}/{place}"

    title = _title(f"Events: {len(it.views):,}, of which {counted:,} count")
    table = plain_table(("time (UTC)", "user", "type", "spent s", "ended by", "Kafka", "row key"), right=("spent s",))
    for view in shown:
        event = view.event
        ended = _ENDED_BY[view.ended_by] if view.counts else f"left out: {view.left_out.replace('_', ' ')}"
        if view.end:
            ended += f" {place(view.end)} ({view.end.event_type})"
        table.add_row(
            (_time(event.time_ms) or "")[11:],  # the day and the hour stand above
            as_is(event.user_key),
            as_is(event.event_type),
            _seconds(view.spent_ms),
            as_is(ended),
            place(event),
            event.row_key.hex(),
        )
    lines: list[RenderableType] = [title, table]
    if len(ids) == 1:
        lines.append(f"[dim]Kafka: partition/offset of the topic with id {min(ids)}. Row keys in hex.[/]")
    return lines + _rest(len(it.views) - len(shown), "events")


def _rest(hidden: int, what: str) -> "list[RenderableType]":
    return [f"[dim]{hidden:,} more {what} are not shown: --limit 0 shows all.[/]"] if hidden else []


def _ranges(it: "Explanation", limit: int) -> "list[RenderableType]":
    if not it.ranges:
        return []
    columns = ("topic id", "partition", "first offset", "end", "its events", "run")
    table = plain_table(columns, right=columns[1:5])
    shown = _shown(it.ranges, limit)
    for one in shown:
        entry = one.entry
        numbers = (entry.partition, entry.first, entry.end, one.events)
        table.add_row(entry.topic_id, *map(str, numbers), entry.run_id)
    return [_title("Ledger ranges that brought them"), table, *_rest(len(it.ranges) - len(shown), "ranges")]


def _runs(it: "Explanation", records: _Records) -> "list[RenderableType]":
    roles = _roles(it)
    if not roles:
        return []
    table = plain_table(("run", "did", "status", "started", "why"))
    for run_id, did in roles.items():
        run = _run_json(run_id, did, records)
        table.add_row(*(as_is(run[name]) for name in ("run_id", "did", "status", "started", "why")))
    title = _title("Dagster runs")
    if records.known:
        return [title, table]
    note = "Dagster's records were not found: set DAGSTER_HOME to see runs and failed checks."
    return [title, table, f"[dim]{note}[/]"]


def _versions(it: "Explanation") -> "list[RenderableType]":
    if not it.versions:
        return []
    table = plain_table(("GeoIP", "user-agent rules", "events"), right=("events",))
    for (geoip, rules), events in it.versions.most_common():
        table.add_row(as_is(geoip), as_is(rules), f"{events:,}")
    return [_title("Enriched by"), table]


def _checks(records: _Records) -> "list[RenderableType]":
    if not records.failed_checks:
        return []
    table = plain_table(("asset", "check", "what it found"))
    for check in records.failed_checks:
        table.add_row(check.asset, check.check, as_is(check.words))
    return [_title("Failed checks of this hour"), table]
