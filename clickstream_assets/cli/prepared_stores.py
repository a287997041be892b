"""What has to be there before anything runs: looked at where it is, made where it is missing."""

import time

import click

from clickstream_assets.cli.through_dagster import explained
from clickstream_assets.settings import Settings


def prepare_stores(configured: Settings) -> None:
    """Make what is missing of topic, tables and index template, and say what is odd about what is there already.

    Raises ClickException with everything that nothing can work with, a sentence each; then no table, row or document
    was written. The servers have to be there.
    """
    from clickstream_assets.cli.produce import ensure_topic_or_explain
    from clickstream_assets.definitions import resources
    from clickstream_assets.index.documents import ensure_template

    servers = resources(configured)
    ensure_topic_or_explain(configured)
    with explained():
        misfits = []
        for name, store in (
            ("Kafka", servers.kafka),
            ("HBase Thrift", servers.hbase),
            ("Elasticsearch", servers.elasticsearch),
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
            ensure_template(es, servers.elasticsearch.alias)


def geoip_warnings(configured: Settings) -> list[str]:
    """What should be known of the GeoIP database, a sentence each. What is wrong with it, enrichment tells."""
    from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit

    try:
        warnings = GeoIPDatabase(configured.geoip_database).warnings(time.time())
        return [f"The GeoIP database {configured.geoip_database}: {words}." for words in warnings]
    except GeoIPUnfit as unfit:
        return [str(unfit)]
