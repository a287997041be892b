"""The ``clickstream`` command: puts the commands together, which import what they need when they run."""

import click

from clickstream_assets.cli.dead_letters import dead_letters
from clickstream_assets.cli.doctor import doctor
from clickstream_assets.cli.explain import explain
from clickstream_assets.cli.metrics import metrics
from clickstream_assets.cli.page import page
from clickstream_assets.cli.produce import produce
from clickstream_assets.cli.rebuild import rebuild
from clickstream_assets.cli.setup import setup, tables
from clickstream_assets.cli.validate import schema, validate
from clickstream_assets.cli.webserver import webserver
from clickstream_assets.local.run import run
from clickstream_assets.local.stack.commands import stack


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clickstream_assets")
def main() -> None:
    """Clicks from Kafka to checked hourly metrics in Elasticsearch, as Dagster assets."""


for command in (
    run,
    produce,
    validate,
    schema,
    metrics,
    explain,
    dead_letters,
    rebuild,
    setup,
    tables,
    doctor,
    webserver,
    page,
    stack,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
