"""``clickstream tables``: how the HBase tables are made."""

import click

from clickstream_assets.settings import settings


@click.command("tables", short_help="The HBase tables, as statements of HBase's shell.")
def tables() -> None:
    """Print the statements that make the HBase tables in HBase's shell, with the names and the TTL that are set.

    For clusters whose ZooKeeper this machine cannot reach: without it, `clickstream setup` makes one region each.
    """
    from clickstream_assets.definitions import resources

    for table in resources(settings()).hbase.new_tables():
        click.echo(table.shell_statement())
