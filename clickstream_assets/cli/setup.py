"""``clickstream setup`` and ``clickstream tables``: what the pipeline needs on its servers before anything runs."""

import time

import click

from clickstream_assets.cli.produce import ensure_topic_or_explain
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.cli.through_dagster import explained
from clickstream_assets.settings import Settings, settings


@click.command("setup", short_help="Makes what is missing of topic, HBase tables and index templates.")
def setup() -> None:
    """Make the topic, the HBase tables and Elasticsearch's index templates, as far as they are missing.

    Runs would make them too. Beforehand, it is one place that needs ZooKeeper, and one that says what is wrong, with
    stores that are there already too.
    """
    from clickstream_assets.index.aliases import all_indices

    configured = settings()
    require_servers(configured, "HBase", "Elasticsearch")
    prepare_stores(configured)
    templates = ", ".join(wanted.alias for wanted in all_indices(configured))
    click.echo(f"The topic {configured.topic}, all tables and the index templates {templates} are there.")


@click.command("tables", short_help="The HBase tables, as statements of HBase's shell.")
def tables() -> None:
    """Print the statements that make the HBase tables in HBase's shell, with the names and the TTL that are set.

    For clusters whose ZooKeeper this machine cannot reach: without it, `clickstream setup` makes one region each.
    """
    from clickstream_assets.definitions import resources

    for table in resources(settings()).hbase.new_tables():
        click.echo(table.shell_statement())


def prepare_stores(configured: Settings) -> None:
    """Make what is missing of topic, tables and index templates, and say what is odd about what is there already.

    Raises ClickException with everything that nothing can work with, a sentence each; then no table, row or document
    was written. The servers have to be there.
    """
    from clickstream_assets.definitions import resources
    from clickstream_assets.index.aliases import all_indices, ensure_templates

    servers = resources(configured)
    ensure_topic_or_explain(configured)
    with explained():
        misfits = []
        for name, store in (
            ("Kafka", servers.kafka),
            ("HBase Thrift", servers.hbase),
            ("Elasticsearch", servers.elasticsearch.behind(*all_indices(configured))),
        ):
            if (of_store := store.misfits()) is None:
                raise click.ClickException(f"{name} does not answer as it should; `clickstream doctor` looks closer.")
            misfits += of_store
        for words in [*(misfit.words for misfit in misfits if not misfit.stops), *geoip_warnings(configured)]:
            click.echo(f"Warning: {words}", err=True)
        if wrong := [misfit.words for misfit in misfits if misfit.stops]:
            raise click.ClickException("\n".join(wrong))
        servers.hbase.ensure_tables()
        with servers.elasticsearch.client() as es:
            ensure_templates(es, configured)


def geoip_warnings(configured: Settings) -> list[str]:
    """What should be known of the GeoIP database, a sentence each. What is wrong with it, enrichment tells."""
    from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit

    try:
        warnings = GeoIPDatabase(configured.geoip_database).warnings(time.time())
        return [f"The GeoIP database {configured.geoip_database}: {words}." for words in warnings]
    except GeoIPUnfit as unfit:
        return [str(unfit)]
