"""Are the servers there? Asked before a command begins: their clients themselves try for a minute and more."""

import click

from clickstream_assets.settings import Settings
from clickstream_assets.stores.reachability import Address, address_of, require_listener


def elasticsearch_address(configured: Settings) -> Address:
    """Host and port of Elasticsearch. Raises ClickException, which tells no password, if the setting names none."""
    try:
        return address_of(configured.elasticsearch_url, 9200)
    except ValueError:
        raise click.ClickException(
            "CLICKSTREAM_ELASTICSEARCH_URL is not like http://USER:PASSWORD@host:9200: host and port cannot be told. "
            "Signs other than letters and digits in user and password are written as %XX."
        ) from None


def require_servers(configured: Settings, *names: str) -> None:
    """Raise ClickException for the first of ``HBase`` and ``Elasticsearch`` that is not there."""
    addresses = {
        "HBase": (configured.hbase_host, configured.hbase_port),
        "Elasticsearch": elasticsearch_address(configured),
    }
    for name in names:
        try:
            require_listener([addresses[name]])
        except ConnectionError as error:
            raise click.ClickException(
                f"{name} does not answer ({error}). `clickstream doctor` says what to do."
            ) from error
