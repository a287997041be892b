"""``clickstream webserver``: Dagster's webserver, which takes changes from its own pages alone."""

from typing import Any

import click


class DagstersOptions(click.Command):
    """Has the options of ``dagster-webserver``, which is imported once they are asked for: it takes a second."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from dagster_webserver.cli import dagster_webserver

        return dagster_webserver.get_params(ctx)


@click.command(
    "webserver",
    cls=DagstersOptions,
    context_settings={"auto_envvar_prefix": "DAGSTER_WEBSERVER"},
    short_help="Dagster's webserver, guarded; takes the options of dagster-webserver.",
)
@click.pass_context
def webserver(ctx: click.Context, **options: Any) -> None:
    """Serve Dagster's pages with the options of dagster-webserver.

    It answers where it is asked by the name localhost, by those of CLICKSTREAM_DAGSTER_URL and
    CLICKSTREAM_PAGE_DAGSTER_URL, or by one of CLICKSTREAM_DAGSTER_HOSTS. It takes changes from its own pages and from
    programs that are no browser.

    \b
    clickstream webserver -w workspace.yaml
    clickstream webserver -w workspace.yaml --read-only --port 3002
    """
    from dagster_webserver.cli import dagster_webserver

    from clickstream_assets.webserver.dagsters import guarded

    with guarded():
        ctx.invoke(dagster_webserver, **options)
