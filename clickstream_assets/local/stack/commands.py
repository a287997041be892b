"""``clickstream stack``: the embedded servers alone."""

import signal
import time

import click

from clickstream_assets.settings import settings


@click.group("stack")
def stack() -> None:
    """The embedded servers: Kafka, HBase, Elasticsearch and Spark Connect."""


SECURE = click.option(
    "--secure", is_flag=True, help="With TLS and passwords, by certificates that are made for this start."
)


@stack.command("up")
@SECURE
def up(secure: bool) -> None:
    """Start the servers in the background and wait until they answer.

    As soon as one of them dies all of them end; the same command starts them again. With --secure,
    `clickstream stack env` tells how to sign in to them. Spark asks for a token either way.
    """
    from clickstream_assets.local.stack import background
    from clickstream_assets.local.stack.steps import TerminalSteps

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `&` has it ignored
    background.up(settings(), TerminalSteps(), secure=secure)
    click.echo(
        'The servers are up. `clickstream stack status` shows them, `eval "$(clickstream stack env)"` points this '
        "shell at them, `clickstream stack down` ends them."
    )


@stack.command("serve")
@SECURE
def serve(secure: bool) -> None:
    """Start the servers and stay until SIGTERM or Ctrl-C: what a container runs.

    Ends with an error as soon as one of them does. CLICKSTREAM_STACK_HOST opens them to other machines.
    """
    from clickstream_assets.local.stack.processes import reap
    from clickstream_assets.local.stack.steps import TerminalSteps
    from clickstream_assets.local.stack.supervisor import Stack

    with Stack(settings(), TerminalSteps(), secure=secure) as running:
        click.echo("The servers are up.")
        try:
            while True:
                running.check()
                reap(running.children)  # a container's first process inherits what others leave behind
                time.sleep(1)
        except KeyboardInterrupt:
            click.echo("Stopping the servers …", err=True)


@stack.command("down")
def down() -> None:
    """End the servers. Their data stays."""
    from clickstream_assets.local.stack import background

    click.echo("The servers are down." if background.down(settings()) else "No servers are running.")


@stack.command("status")
def status() -> None:
    """Show each server's state, process, port, resident memory and log."""
    from clickstream_assets.cli.consoles import as_is, console, table_of
    from clickstream_assets.local.stack import background

    rows = background.status(settings())
    table = table_of(
        [
            {
                "server": row.server,
                "state": row.state,
                "pid": row.pid,
                "port": row.port,
                "MB": row.memory_mb,
                "log": row.log,
            }
            for row in rows
        ],
        lambda _, value: as_is(value),
    )
    output = console()
    output.print(table)
    if total := sum(row.memory_mb or 0 for row in rows):
        output.print(f"{total} MB resident together")


@stack.command("env")
def env() -> None:
    """Print the variables that point a process at the servers, for `eval "$(clickstream stack env)"`.

    While `clickstream run` goes on, Dagster's port is among them, and the first hour that it set for demo traffic.
    No secret is printed, only where each is.
    """
    from clickstream_assets.local.stack import background
    from clickstream_assets.local.stack.addresses import exports

    for line in exports(background.env(settings())):
        click.echo(line)
