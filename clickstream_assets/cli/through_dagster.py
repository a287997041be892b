"""Commands that write: by a job of the Dagster that runs, or in their own process where none does."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import click

from clickstream_assets.events.shown_text import printable
from clickstream_assets.settings import settings

_POLL_SECONDS = 1.0
_Command = Callable[..., Any]


def _url(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    return (value or f"http://localhost:{settings().dagster_port}").rstrip("/")


def who_writes(command: _Command) -> _Command:
    """The options ``--dagster`` (as ``url``) and ``--here``."""
    here = click.option(
        "--here",
        is_flag=True,
        help="Without Dagster, in this process; refused while Dagster is up, and in Kubernetes.",
    )
    dagster = click.option(
        "--dagster",
        "url",
        metavar="URL",
        callback=_url,
        help="Where Dagster's webserver is.  [default: http://localhost:CLICKSTREAM_DAGSTER_PORT]",
    )
    return dagster(here(command))


def require_no_dagster(url: str) -> None:
    """Raise ClickException where a Dagster may ingest while this process writes."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        raise click.ClickException(
            "--here is not for a pod: the Dagster of the cluster may ingest at any moment, whether it can be reached "
            "from here or not. Launch the job on its page, or leave --here out and name its webserver with "
            "--dagster URL."
        )
    if is_dagster_up(url):
        raise click.ClickException(
            f"Dagster is up on {url}, and may ingest at any moment: leave --here out, and it runs the job."
        )


def is_dagster_up(url: str) -> bool:
    """Whether a webserver answers on ``url``. Raises ClickException where it does, but not by that name."""
    import requests

    try:
        answer = requests.get(f"{url}/server_info", timeout=5)
    except requests.RequestException:
        return False
    if answer.text == "Invalid host header":
        name = urlsplit(url).hostname
        raise click.ClickException(
            f"the webserver on {url} does not answer by the name {name}: add it to CLICKSTREAM_DAGSTER_HOSTS where "
            "that webserver runs, or ask it by another name."
        )
    return answer.ok


@contextmanager
def explained() -> Iterator[None]:
    """A lost server, and stores that are not fit, as an error in words."""
    from elasticsearch import ApiError, TransportError
    from kafka.errors import KafkaError
    from thriftpy2.thrift import TException

    from clickstream_assets.stores.hbase.new_tables import TablesNotMade
    from clickstream_assets.stores.preflight import StoresUnfit

    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads the output has seen enough
    except (TablesNotMade, StoresUnfit) as error:
        raise click.ClickException(str(error)) from error
    except (OSError, TException, KafkaError, ApiError, TransportError) as error:
        raise click.ClickException(
            f"a server does not answer as it should ({error}); `clickstream doctor` says which. What was done stays "
            "done: the same command goes on from there."
        ) from error


_LOGS = """
query ($runId: ID!, $afterCursor: String) {
  logsForRun(runId: $runId, afterCursor: $afterCursor) {
    ... on EventConnection {
      cursor
      hasMore
      events {
        __typename
        ... on MessageEvent { message level }
        ... on ObservationEvent { metadataEntries { label ... on IntMetadataEntry { intValue } } }
      }
    }
  }
}
"""


def run_in_dagster(url: str, job: str, op: str, config: Mapping[str, Any]) -> dict[str, int]:
    """Have Dagster run a job of one op, print what it says, and return the figures that it observes at the end.

    Raises ClickException where Dagster does not answer or take it, and where the run fails.
    """
    from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError
    from gql import Client
    from gql.transport.requests import RequestsHTTPTransport

    if not is_dagster_up(url):
        raise click.ClickException(
            f"Dagster does not answer on {url}: start it (`clickstream run`) or name it with --dagster URL. If none "
            "writes to these tables, --here does it in this process."
        )
    address = urlsplit(url)
    dagster = DagsterGraphQLClient(
        address.hostname or "", address.port, use_https=address.scheme == "https", path_prefix=address.path
    )
    logs = Client(transport=RequestsHTTPTransport(f"{url}/graphql"))
    given = {name: value for name, value in config.items() if value is not None}
    try:
        run_id = dagster.submit_job_execution(job, run_config={"ops": {op: {"config": given}}})
    except DagsterGraphQLClientError as error:
        raise click.ClickException(f"Dagster on {url} did not take the job {job}: {error}") from error
    click.echo(f"{url}/runs/{run_id}", err=True)
    return _followed(dagster, logs, run_id, f"{url}/runs/{run_id}")


def _followed(dagster: Any, logs: Any, run_id: str, page_url: str) -> dict[str, int]:
    """Print a run's log until it ends; returns the figures that it observed."""
    from gql import gql

    cursor: str | None = None
    waiting, figures = False, dict[str, int]()
    while True:
        status = dagster.get_run_status(run_id).value  # before the log: what is said until the end is in it then
        page = logs.execute(gql(_LOGS), variable_values={"runId": run_id, "afterCursor": cursor})["logsForRun"]
        cursor = page["cursor"]
        for event in page["events"]:
            if event["__typename"] == "LogMessageEvent" and event["level"] == "INFO":
                click.echo(printable(event["message"]))
            if event["__typename"] == "ObservationEvent":
                figures = {
                    entry["label"]: entry["intValue"] for entry in event["metadataEntries"] if "intValue" in entry
                }
        if page["hasMore"]:
            continue
        if status == "QUEUED" and not waiting:
            waiting = True
            click.echo("Queued: it starts when no run ingests. Dagster's daemon has to be up.", err=True)
        if status == "SUCCESS":
            return figures
        if status in ("FAILURE", "CANCELED"):
            raise click.ClickException(f"the run ended with {status}: see {page_url}")
        sleep(_POLL_SECONDS)
