"""``clickstream rebuild``: hours dropped and read again from Kafka."""

import sys
from uuid import uuid4

import click

from clickstream_assets.cli.hour_range import Hour
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.cli.through_dagster import explained, require_no_dagster, run_in_dagster, who_writes
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.settings import settings


@click.command("rebuild", short_help="Drop hours and read them again from Kafka.")
@click.argument("begin", metavar="FROM", type=Hour())
@click.argument("end", metavar="TO", type=Hour())
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be dropped and read.")
@who_writes
def rebuild(begin: int, end: int, dry_run: bool, url: str, here: bool) -> None:
    """Drop the rows of the hours FROM (included) to TO (not included), with the parts of the ledger that contradict it,
    and read them again from Kafka: where a check says that rows, dead letters and ledger are not what they were.

    Nothing is dropped unless Kafka still has all of it. Metrics and documents follow by themselves. Dagster runs it, as
    the job rebuild_hours, for then no run that ingests is under way at the same time.

    \b
    clickstream rebuild 2026-01-31T12:00 2026-01-31T14:00 --dry-run
    """
    from clickstream_assets.definitions import resources
    from clickstream_assets.ingest.rebuilding import NotInKafka
    from clickstream_assets.orchestration.repairs import rebuild as op
    from clickstream_assets.orchestration.repairs import rebuild_hours, rebuilt

    if end <= begin:
        raise click.UsageError("TO must be later than FROM: it is the hour behind the last one wanted.")
    if not dry_run and not here:
        config = {"first": key_of_hour(begin), "end": key_of_hour(end)}
        run_in_dagster(url, rebuild_hours.name, op.name, config)
        return
    if not dry_run:
        require_no_dagster(url)
    require_servers(settings(), "HBase")
    servers, hours = resources(settings()), range(begin, end)
    steps = 1 if dry_run else 2 + len(hours)
    with explained():
        try:
            sentences = rebuilt(servers.kafka, servers.hbase, settings(), hours, f"command-{uuid4()}", dry_run=dry_run)
            with click.progressbar(sentences, length=steps, label="Rebuilding", file=sys.stderr, hidden=dry_run) as bar:
                said = list(bar)
        except NotInKafka as error:
            raise click.ClickException(str(error)) from error
    click.echo("\n".join(said))
