"""Dagster's code server, webserver and daemon, and the analysts' page, as ``clickstream run`` starts them."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clickstream_assets.cli.setup import prepare_stores
from clickstream_assets.cli.through_dagster import is_dagster_up
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.local.stack.supervisor import Stack

RESTARTS = 3
"""How often each process that is no server is started again when it has died."""
_UP_SECONDS = 90


def dagster_home(configured: Settings) -> Path:
    """The folder of Dagster's instance, with our dagster.yaml in it."""
    home = configured.home.expanduser().absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).parents[1] / "dagster.yaml", home / "dagster.yaml")
    return home


def start_dagster(stack: "Stack", configured: Settings) -> str:
    """Start code server, webserver and daemon; returns the webserver's address once it answers.

    Until then the death of one of them is an error; afterwards :meth:`Stack.watch` starts it again. Its place in
    ``os.environ`` makes this process's own view of the instance the same as theirs.
    """
    from clickstream_assets.local.stack import ports

    chosen: set[int] = set()
    port = ports.choose("Dagster", configured.dagster_port, "CLICKSTREAM_DAGSTER_PORT", chosen)
    grpc_port = ports.free_port(chosen)
    home = dagster_home(configured)
    prepare_stores(configured)
    warm_up = [sys.executable, "-W", "ignore", "-m", "clickstream_assets.local.warm_up"]
    stack.start_process("spark-warm-up", warm_up, must_live=False, title="Spark's warm-up")
    workspace = home / "workspace.yaml"
    workspace.write_text(
        "load_from:\n  - grpc_server:\n"
        f"      {{host: 127.0.0.1, port: {grpc_port}, location_name: clickstream_assets}}\n"
    )
    # Links need the port that was free
    os.environ |= {"DAGSTER_HOME": str(home), "CLICKSTREAM_DAGSTER_PORT": str(port)}

    def start(name: str, title: str, *argv: str, port: int = 0) -> None:
        command = [sys.executable, "-W", "ignore", "-m", *argv]
        stack.start_process(name, command, title=f"Dagster's {title}", port=port, restarts=RESTARTS)

    # One code server for webserver and daemon: each would start its own otherwise. They find it again on its port.
    code = ["dagster", "api", "grpc", "-m", "clickstream_assets.definitions", "-h", "127.0.0.1", "-p", str(grpc_port)]
    start("dagster-code", "code server", *code, port=grpc_port)
    _wait_for(stack, "the code server", lambda: ports.is_open(grpc_port))
    web = ["clickstream_assets.cli.main", "webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    start("dagster-webserver", "webserver", *web, port=port)
    start("dagster-daemon", "daemon", "dagster._daemon", "run", "-w", str(workspace))
    _wait_for(stack, "the webserver", lambda: is_dagster_up(f"http://127.0.0.1:{port}"))
    return f"http://localhost:{port}"


def start_page(stack: "Stack", configured: Settings, dagster_url: str) -> str:
    """Start the analysts' page, which links to Dagster's; returns its address once it answers."""
    from clickstream_assets.local.stack import ports

    port = ports.choose("the analysts' page", configured.page_port, "CLICKSTREAM_PAGE_PORT", set())
    command = [sys.executable, "-W", "ignore", "-m", "clickstream_assets.cli.main", "page", "--port", str(port)]
    links = {"CLICKSTREAM_DAGSTER_URL": configured.dagster_url or dagster_url}
    stack.start_process("page", command, title="the analysts' page", port=port, restarts=RESTARTS, env=links)
    _wait_for(stack, "the analysts' page", lambda: ports.is_open(port))
    return f"http://localhost:{port}"


def _wait_for(stack: "Stack", server: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while not ready():
        stack.check()
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{server} did not answer within {_UP_SECONDS} s: see `clickstream stack status` for its log"
            )
        time.sleep(0.2)
