"""``clickstream metrics``: a span of hours put together."""

from typing import TYPE_CHECKING, Any

import click

from clickstream_assets.cli.consoles import console, figure, table_of
from clickstream_assets.cli.hour_range import Hour
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.shown_text import json_text, printable
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books

_BY_URL_AND_COUNTRY = "url_country"


@click.command("metrics", short_help="Metrics of a span of hours, by url and country or in all.")
@click.argument("begin", metavar="FROM", type=Hour())
@click.argument("end", metavar="TO", type=Hour())
@click.option(
    "--scope",
    type=click.Choice([_BY_URL_AND_COUNTRY, "url", "country", "site", "all"]),
    default=_BY_URL_AND_COUNTRY,
    show_default=True,
    help="What totals are of.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows shown, most clicks first; 0: all."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def metrics(begin: int, end: int, scope: str, limit: int, as_json: bool) -> None:
    """Put the metrics of the hours FROM (included) to TO (not included) together.

    Who came in several hours counts once, exactly: users are counted from who clicked what in each hour. Where an hour
    lacks that, as one that was computed by an earlier version, users by url and country come from merged sketches, to
    within some 2 %; which of the two it is, is said behind the table.

    \b
    clickstream metrics 2026-01-31T00:00 2026-02-01T00:00
    clickstream metrics 2026-01-01T00:00 2026-02-01T00:00 --scope all
    """
    from clickstream_assets.definitions import resources
    from clickstream_assets.metrics.spans import WithoutColumns, span_totals

    if end <= begin:
        raise click.UsageError("TO must be later than FROM: it is the hour behind the last one wanted.")
    require_servers(settings(), "HBase")
    with resources(settings()).hbase.books() as books:
        try:
            rows, words = span_totals(books, range(begin, end), scope), "Unique users are exact."
        except WithoutColumns as without:
            names = f"{len(without.hours)} hours from {key_of_hour(without.hours[0])}"
            if scope != _BY_URL_AND_COUNTRY:
                raise click.ClickException(
                    f"{names} do not have their users by column: materialize url_country_metrics for them."
                ) from None
            rows, words = (
                _merged(books, begin, end),
                f"Unique users are estimated, to within some 2 %: {names} do not have",
            )
            words += " their users by column. Exact once url_country_metrics is materialized for them."
    rows = rows[: limit or None]
    if as_json:
        for row in rows:
            click.echo(json_text(row))
    else:
        console().print(table_of(rows, figure) if rows else "No metrics in these hours.")
    click.echo(words, err=True)


def _merged(books: "Books", begin: int, end: int) -> list[dict[str, Any]]:
    """By url and country, unique users from sketches."""
    from clickstream_assets.books.row_keys import metrics_key_range
    from clickstream_assets.books.table_schemas import METRICS
    from clickstream_assets.metrics.hourly_metrics import MERGED_COLUMNS, merged
    from clickstream_assets.stores.hbase.client import rows_per_call

    names = ("url", "country", *MERGED_COLUMNS)
    columns, at_a_time = [METRICS.columns[name].key for name in names], rows_per_call(METRICS.row_bytes(*names))
    span = metrics_key_range(begin, end - 1)
    stored = (
        METRICS.decode(cells)
        for _, cells in books.hbase.scan(books.tables.metrics, *span, columns, batch_rows=at_a_time)
    )
    try:
        return merged(stored)
    except (KeyError, ValueError) as error:
        raise click.ClickException(
            f"A row of these hours is not as it was written ({printable(str(error))}): "
            "materialize url_country_metrics for them."
        ) from error
