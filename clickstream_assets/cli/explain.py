"""``clickstream explain``: how a document came to be, and whether it still holds."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from clickstream_assets.cli.consoles import as_is, console, spaced, table_of
from clickstream_assets.cli.hour_range import Hour
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.cli.verdict import Verdict
from clickstream_assets.events.hours import rfc3339
from clickstream_assets.events.shown_text import json_text
from clickstream_assets.settings import Settings, settings

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from rich.console import RenderableType
    from rich.text import Text

    from clickstream_assets.evidence.explanation import Explanation


def _url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A url as sent; normalised as metrics count it. ``(other)`` is what those count as that do not count by name."""
    from clickstream_assets.events.url_limits import OTHER
    from clickstream_assets.events.urls import InvalidUrl, normalized_url

    if value == OTHER:
        return value
    try:
        return normalized_url(value, settings().url_rules)
    except InvalidUrl as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


def _country(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A country's code in upper case."""
    code = value.upper()
    if len(code) != 2 or not (code.isascii() and code.isalpha()):
        raise click.BadParameter(f"{value!r} is no ISO 3166-1 alpha-2 code: write DE, or ZZ for an unknown country")
    return code


@click.command("explain", cls=Verdict, short_help="How a document came to be, and whether it still holds.")
@click.argument("hour", type=Hour())
@click.argument("url", callback=_url)
@click.argument("country", callback=_country)
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
    `(other)` is all urls that do not count by name. COUNTRY has two letters; ZZ is unknown.

    \b
    clickstream explain 2026-01-31-12:00 'https://shop.example/shoes?utm_source=mail' DE
    clickstream explain 2026-01-31T12:00 https://shop.example/ ZZ --limit 0 --json

    Exits with 0 if all agree (also that there is nothing), with 1 if a field differs, with 2 if that could not be told.
    """
    configured = settings()
    explanation = _explained(configured, hour, url, country)
    _add_records(configured, explanation)
    explanation.shorten(limit)
    if as_json:
        click.echo(json_text(asdict(explanation)))
    else:
        console().print(*_for_people(asdict(explanation)), sep="\n")
    sys.exit(0 if explanation.same else 1)


def _explained(configured: Settings, hour: int, url: str, country: str) -> "Explanation":
    require_servers(configured, "HBase", "Elasticsearch")

    from clickstream_assets.books.books import Books, TableNames
    from clickstream_assets.books.table_schemas import TABLES
    from clickstream_assets.definitions import resources
    from clickstream_assets.events.hours import HOUR_MS
    from clickstream_assets.evidence import explanation

    servers = resources(configured)
    with servers.hbase.client() as hbase, servers.elasticsearch.client() as es:
        books = Books(hbase, TableNames.of(configured.name_prefix))
        if missing := {configured.table(table.name) for table in TABLES} - hbase.tables():
            raise click.ClickException(
                f"HBase has no {', '.join(sorted(missing))}: nothing was ingested yet, or CLICKSTREAM_NAME_PREFIX "
                f"(now {configured.name_prefix!r}) is not the pipeline's."
            )
        return explanation.explain(
            explanation.Subject(hour, url, country),
            configured.first_hour_ms // HOUR_MS,
            books=books,
            es=es,
            alias=servers.elasticsearch.alias,
            limits=configured.url_limits,
        )


def _add_records(configured: Settings, explanation: "Explanation") -> None:
    """Add what Dagster remembers of the runs and of the hour's checks, if an instance is found."""
    instance = find_instance(configured)
    if instance is None:
        return
    with instance as opened:
        records = runs(opened, [run["run_id"] for run in explanation.runs])
        explanation.failed_checks = failed_checks(opened, explanation.hour)
    for run in explanation.runs:
        run.update(records.get(run["run_id"], {}))


def find_instance(configured: Settings) -> "DagsterInstance | None":
    """The instance of ``DAGSTER_HOME``, else that of ``clickstream run`` in this folder; None if there is neither."""
    from dagster import DagsterInstance

    embedded = configured.home.expanduser().absolute() / "dagster"
    if not os.environ.get("DAGSTER_HOME"):
        if not (embedded / "dagster.yaml").is_file():
            return None
        os.environ["DAGSTER_HOME"] = str(embedded)  # its dagster.yaml refers to it
    return DagsterInstance.get()


def runs(instance: "DagsterInstance", run_ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Of the runs that the instance knows, by id: status, when each started, and why."""
    from dagster import RunsFilter

    wanted = sorted(set(run_ids))
    records = instance.get_run_records(RunsFilter(run_ids=wanted)) if wanted else []
    return {
        record.dagster_run.run_id: {
            "status": record.dagster_run.status.value,
            "started": rfc3339(int(record.start_time * 1000)) if record.start_time else None,
            "why": record.dagster_run.tags.get("clickstream/why"),
        }
        for record in records
    }


def failed_checks(instance: "DagsterInstance", partition: str) -> list[dict[str, str]]:
    """Every check whose last evaluation of a partition failed, by asset and name, and its words."""
    from clickstream_assets.dagster_internals import AssetCheckExecutionRecordStatus, PartitionKeyFilter
    from clickstream_assets.definitions import defs

    # Planned ones are left out: a run under way does not hide what the last one found.
    evaluated = {AssetCheckExecutionRecordStatus.FAILED, AssetCheckExecutionRecordStatus.SUCCEEDED}
    failed = []
    for key in sorted(defs.resolve_asset_graph().asset_check_keys):
        for record in instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1, status=evaluated, partition_filter=PartitionKeyFilter(key=partition)
        ):
            if record.status == AssetCheckExecutionRecordStatus.FAILED:
                words = record.evaluation.description if record.evaluation else None
                failed.append({"asset": key.asset_key.to_user_string(), "check": key.name, "words": words or ""})
    return failed


# For people

_COLUMNS = {
    "events": (
        "time", "user_key", "event_type", "spent_ms", "ended_by", "end.kafka", "end.event_type", "left_out", "kafka",
        "row_key",
    ),
    "state": ("touched", "enriched", "computed", "indexed", "clicks", "stale", "refused", "moved"),
}  # fmt: skip
"""What is shown of parts that have more: what all events share stands above them, and the remarks name the holds."""
_ABSENT = {"failed_checks": "Dagster's records were not found: set DAGSTER_HOME to see runs and failed checks."}
_NOT_SHOWN = "_not_shown"


def _for_people(structure: Mapping[str, Any]) -> "Iterator[RenderableType]":
    """The lines of a mapping of plain values: the single ones, then each list and mapping that is not empty.

    ``<name>_not_shown`` is how many more the list of that name would have.
    """
    from rich.text import Text

    parts = {name: value for name, value in structure.items() if isinstance(value, list | dict)}
    single = {name: structure[name] for name in structure if name not in parts and not name.endswith(_NOT_SHOWN)}
    width = max(map(len, single))
    for name, value in single.items():
        shown = _ABSENT.get(name) if value is None else value
        yield Text.assemble((f"{spaced(name):<{width}}  ", "dim"), _cell(name, shown))
    for name, part in parts.items():
        if not part:
            continue
        hidden = structure.get(f"{name}{_NOT_SHOWN}")
        yield Text(f"\n{spaced(name)}" + ("" if hidden is None else f": {len(part) + hidden:,}"), style="bold")
        yield from _lines(name, part)
        if hidden:
            yield Text(f"{hidden:,} more {spaced(name)} are not shown: --limit 0 shows all.", style="dim")


def _lines(name: str, part: Any) -> "Iterator[RenderableType]":
    """A list of texts as it is, else a table: of one mapping, a mapping of them, or a list of them.

    A column that nothing in a list has is left out.
    """
    if isinstance(part, list) and not isinstance(part[0], dict):
        yield from map(as_is, part)
        return
    rows = part
    if isinstance(part, dict):
        is_row = not all(isinstance(value, dict) for value in part.values())
        rows = [part] if is_row else [{"": key, **row} for key, row in part.items()]
    columns = list(_COLUMNS.get(name, rows[0]))
    if isinstance(part, list):
        columns = [column for column in columns if any(_at(row, column) is not None for row in rows)]
    yield table_of([{column: _at(row, column) for column in columns} for row in rows], _cell)


def _at(row: Mapping[str, Any], column: str) -> Any:
    """A row's value; ``end.kafka`` is that of ``kafka`` in its ``end``, None if it has no ``end``."""
    value: Any = row
    for name in column.split("."):
        value = None if value is None else value[name]
    return value


def _cell(name: str, value: Any) -> "Text":
    """A value in words; a mapping is a place in Kafka, written as elsewhere: topic id/partition/offset."""
    if isinstance(value, dict):
        return as_is("/".join(map(str, value.values())))
    if value is None:
        return as_is("-")
    if not isinstance(value, bool):
        return as_is(value)
    cell = as_is("yes" if value else "no")
    if name == "same":
        cell.stylize("green" if value else "bold red")
    return cell
