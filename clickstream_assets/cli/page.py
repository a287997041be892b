"""``clickstream page``: the analysts' page."""

import socket
from errno import EADDRINUSE

import click

from clickstream_assets.cli.reachable_servers import require_servers
from clickstream_assets.settings import settings


@click.command("page", short_help="The analysts' page: clicks, people and time, to look at in a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    help="Port; 0 is any free one.  [default: CLICKSTREAM_PAGE_PORT]",
)
def page(host: str, port: int | None) -> None:
    """Serve the analysts' page on http://localhost:3001 until Ctrl-C.

    It shows clicks, people and time spent by hours and days, by url, country and site; whether each number is final;
    how fresh it is; and where it comes from. It reads Elasticsearch, and HBase to explain a number. It changes nothing.

    It signs nobody in, and answers where it is asked by the name localhost or by one of CLICKSTREAM_PAGE_HOSTS. With
    CLICKSTREAM_PAGE_DAGSTER_URL, or else CLICKSTREAM_DAGSTER_URL, it links to Dagster's pages: name the read-only ones.

    \b
    clickstream page
    clickstream page --host 0.0.0.0 --port 8080
    """
    import uvicorn

    from clickstream_assets.page.app import Pages, application

    configured = settings()
    require_servers(configured, "Elasticsearch")
    chosen = configured.page_port if port is None else port
    try:
        listener = socket.create_server((host, chosen))
    except (OSError, OverflowError) as error:
        why = "another program listens there" if getattr(error, "errno", 0) == EADDRINUSE else str(error)
        raise click.ClickException(f"The page cannot listen on {host}:{chosen} ({why}): name a --port.") from error
    with listener:
        click.echo(f"The analysts' page is up on http://localhost:{listener.getsockname()[1]}. Ctrl-C stops it.")
        app = application(Pages(configured), configured.page_host_names)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])
