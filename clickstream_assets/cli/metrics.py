"""``clickstream metrics``: a span of hours put together."""

import click

from clickstream_assets.cli.consoles import console, figure, table_of
from clickstream_assets.cli.hour_range import Hour
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.events.shown_text import json_text, printable
from clickstream_assets.settings import settings


@click.command("metrics", short_help="Metrics of a span of hours, per url and country.")
@click.argument("begin", metavar="FROM", type=Hour())
@click.argument("end", metavar="TO", type=Hour())
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows shown, most clicks first; 0: all."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def metrics(begin: int, end: int, limit: int, as_json: bool) -> None:
    """Put the metrics of the hours FROM (included) to TO (not included) together, per url and country.

    Unique users come from the merged sketches, so a user seen in several hours counts once (to within some 2 %).

    \b
    clickstream metrics 2026-01-31T00:00 2026-02-01T00:00
    """
    from clickstream_assets.books.row_keys import metrics_key_range
    from clickstream_assets.books.table_schemas import METRICS
    from clickstream_assets.definitions import resources
    from clickstream_assets.metrics.hourly_metrics import MERGED_COLUMNS, merged
    from clickstream_assets.stores.hbase.client import rows_per_call

    if end <= begin:
        raise click.UsageError("TO must be later than FROM: it is the hour behind the last one wanted.")
    require_servers(settings(), "HBase")
    names = ("url", "country", *MERGED_COLUMNS)
    columns, at_a_time = [METRICS.columns[name].key for name in names], rows_per_call(METRICS.row_bytes(*names))
    with resources(settings()).hbase.client() as hbase:
        table, span = settings().table(METRICS.name), metrics_key_range(begin, end - 1)
        stored = (METRICS.decode(cells) for _, cells in hbase.scan(table, *span, columns, batch_rows=at_a_time))
        try:
            rows = merged(stored)[: limit or None]
        except (KeyError, ValueError) as error:
            raise click.ClickException(
                f"A row of these hours is not as it was written ({printable(str(error))}): "
                "materialize url_country_metrics for them."
            ) from error
    if as_json:
        for row in rows:
            click.echo(json_text(row))
    else:
        console().print(table_of(rows, figure) if rows else "No metrics in these hours.")
