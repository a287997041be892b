"""Are the servers there? Asked before a command begins: their clients themselves try for a minute and more."""

import click

from clickstream_assets.settings import Settings
from clickstream_assets.stores.reachability import address_of, require_listener


def require_servers(configured: Settings, *names: str) -> None:
    """Raise ClickException for the first of ``HBase`` and ``Elasticsearch`` that is not there."""
    addresses = {
        "HBase": (configured.hbase_host, configured.hbase_port),
        "Elasticsearch": address_of(configured.elasticsearch_url, 9200),
    }
    for name in names:
        try:
            require_listener([addresses[name]])
        except ConnectionError as error:
            raise click.ClickException(
                f"{name} does not answer ({error}). `clickstream doctor` says what to do."
            ) from error
