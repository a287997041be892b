"""``clickstream setup``: what the pipeline needs on its servers before anything runs."""

from typing import TYPE_CHECKING

import click

from clickstream_assets.commands.servers import require_servers
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.resources.hbase import HBaseResource


@click.command("setup", short_help="Makes what is missing of topic, HBase tables and index template.")
def setup() -> None:
    """Make the topic, the HBase tables and Elasticsearch's index template, as far as they are missing.

    Runs would make them too. Beforehand, it is one place that needs ZooKeeper, and one that says what is wrong.
    """
    from elasticsearch import ApiError, TransportError

    from clickstream_assets.definitions import resources
    from clickstream_assets.domain.documents import ensure_template
    from clickstream_assets.traffic.commands import ensure_topic_or_explain

    configured = settings()
    made = resources(configured)
    ensure_topic_or_explain(configured)
    require_servers(configured, "HBase", "Elasticsearch")
    ensure_tables_or_explain(made.hbase)
    with made.elasticsearch.client() as es:
        try:
            ensure_template(es, made.elasticsearch.alias)
        except (ApiError, TransportError) as error:
            raise click.ClickException(f"Elasticsearch took no index template: {error}") from error
    click.echo(f"The topic {configured.topic}, all tables and the index template {configured.alias} are there.")


def ensure_tables_or_explain(hbase: "HBaseResource") -> None:
    """Make the tables that are missing. Raises ClickException with what was wrong."""
    from thriftpy2.thrift import TException

    from clickstream_assets.clients.hbase_admin import TablesNotMade

    try:
        hbase.ensure_tables()
    except TablesNotMade as error:
        raise click.ClickException(str(error)) from error
    except (OSError, TException) as error:
        raise click.ClickException(
            f"HBase Thrift at {hbase.host}:{hbase.port} does not answer ({error}); `clickstream doctor` looks closer."
        ) from error
