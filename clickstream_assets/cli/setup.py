"""``clickstream setup``: what the pipeline needs on its servers before anything runs."""

import click

from clickstream_assets.cli.prepared_stores import prepare_stores
from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.settings import settings


@click.command("setup", short_help="Makes what is missing of topic, HBase tables and index template.")
def setup() -> None:
    """Make the topic, the HBase tables and Elasticsearch's index template, as far as they are missing.

    Runs would make them too. Beforehand, it is one place that needs ZooKeeper, and one that says what is wrong, with
    stores that are there already too.
    """
    configured = settings()
    require_servers(configured, "HBase", "Elasticsearch")
    prepare_stores(configured)
    click.echo(f"The topic {configured.topic}, all tables and the index template {configured.alias} are there.")
