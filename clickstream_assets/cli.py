"""The ``clickstream`` command: puts the commands together, which import what they need when they run."""

import click

from clickstream_assets.commands.dead_letters import dead_letters
from clickstream_assets.commands.doctor import doctor
from clickstream_assets.commands.explain import explain
from clickstream_assets.commands.metrics import metrics
from clickstream_assets.commands.rebuild import rebuild
from clickstream_assets.commands.run import run
from clickstream_assets.commands.setup import setup
from clickstream_assets.commands.tables import tables
from clickstream_assets.commands.validate import schema, validate
from clickstream_assets.stack.commands import stack
from clickstream_assets.traffic.commands import produce


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clickstream_assets")
def main() -> None:
    """Clicks from Kafka to checked hourly metrics in Elasticsearch, as Dagster assets."""


for command in (run, produce, validate, schema, metrics, explain, dead_letters, rebuild, setup, tables, doctor, stack):
    main.add_command(command)

if __name__ == "__main__":
    main()
