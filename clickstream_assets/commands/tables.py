"""``clickstream tables``: how the HBase tables are made."""

from typing import TYPE_CHECKING

import click

from clickstream_assets.commands.servers import require_servers
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.resources.hbase import HBaseResource


@click.command("tables", short_help="The HBase tables, as statements of HBase's shell.")
@click.option("--create", is_flag=True, help="Make those that are missing.")
def tables(create: bool) -> None:
    """Print the statements that make the HBase tables in HBase's shell, with the names and the TTL that are set.

    For clusters whose ZooKeeper this machine can't reach; without it tables are made with one region each.
    """
    from clickstream_assets.definitions import resources

    hbase = resources(settings()).hbase
    if create:
        require_servers(settings(), "HBase")
        _create(hbase)
        return
    for table in hbase.new_tables():
        click.echo(table.shell_statement())


def _create(hbase: "HBaseResource") -> None:
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
    click.echo("All tables are there.")
