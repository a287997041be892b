"""What has to be there before anything runs: looked at where it is, made where it is missing."""

import time
from typing import TYPE_CHECKING

import click

from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.definitions import Resources
    from clickstream_assets.domain.preflight import Misfit
    from clickstream_assets.resources.hbase import HBaseResource


def prepare_stores(configured: Settings) -> None:
    """Make what is missing of topic, tables and index template, and say what is odd about what is there already.

    Raises ClickException with everything that nothing can work with, a sentence each; then no table, row or document
    was written. The servers have to be there.
    """
    from clickstream_assets.definitions import resources
    from clickstream_assets.traffic.commands import ensure_topic_or_explain

    servers = resources(configured)
    ensure_topic_or_explain(configured)
    misfits = _misfits(servers)
    for words in [*(misfit.words for misfit in misfits if not misfit.stops), *geoip_warnings(configured)]:
        click.echo(f"Warning: {words}", err=True)
    if wrong := [misfit.words for misfit in misfits if misfit.stops]:
        raise click.ClickException("\n".join(wrong))
    ensure_tables_or_explain(servers.hbase)
    _ensure_template_or_explain(servers)


def geoip_warnings(configured: Settings) -> list[str]:
    """What should be known of the GeoIP database, a sentence each. What is wrong with it, enrichment tells."""
    from clickstream_assets.domain.geoip import GeoIPDatabase, GeoIPUnfit

    try:
        warnings = GeoIPDatabase(configured.geoip_database).warnings(time.time())
        return [f"The GeoIP database {configured.geoip_database}: {words}." for words in warnings]
    except GeoIPUnfit as unfit:
        return [str(unfit)]


def _misfits(servers: "Resources") -> "list[Misfit]":
    """Of all three stores. Raises ClickException for one that does not answer, or not as it should."""
    from elasticsearch import ApiError, TransportError
    from kafka.errors import KafkaError
    from thriftpy2.thrift import TException

    all_misfits = []
    for name, store in (
        ("Kafka", servers.kafka),
        ("HBase Thrift", servers.hbase),
        ("Elasticsearch", servers.elasticsearch),
    ):
        try:
            misfits = store.misfits()
        except (OSError, TException, KafkaError, ApiError, TransportError) as error:
            raise _no_answer(name, error) from error
        if misfits is None:
            raise _no_answer(name, "no answer")
        all_misfits += misfits
    return all_misfits


def _no_answer(name: str, why: object) -> click.ClickException:
    return click.ClickException(f"{name} does not answer as it should ({why}); `clickstream doctor` looks closer.")


def ensure_tables_or_explain(hbase: "HBaseResource") -> None:
    """Make the tables that are missing. Raises ClickException with what was wrong."""
    from thriftpy2.thrift import TException

    from clickstream_assets.clients.hbase_admin import TablesNotMade
    from clickstream_assets.resources.preflight import StoresUnfit

    try:
        hbase.ensure_tables()
    except (TablesNotMade, StoresUnfit) as error:
        raise click.ClickException(str(error)) from error
    except (OSError, TException) as error:
        raise click.ClickException(
            f"HBase Thrift at {hbase.host}:{hbase.port} does not answer ({error}); `clickstream doctor` looks closer."
        ) from error


def _ensure_template_or_explain(servers: "Resources") -> None:
    from elasticsearch import ApiError, TransportError

    from clickstream_assets.domain.documents import ensure_template

    with servers.elasticsearch.client() as es:
        try:
            ensure_template(es, servers.elasticsearch.alias)
        except (ApiError, TransportError) as error:
            raise click.ClickException(f"Elasticsearch took no index template: {error}") from error
