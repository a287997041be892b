"""Waiting until servers that have just been started answer."""

import threading
import time
from collections.abc import Callable, Sequence

from clickstream_assets.local.stack import ports
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.processes import tail
from clickstream_assets.local.stack.server import Server
from clickstream_assets.local.stack.steps import Steps

_START_SECONDS = 240


def wait_until_up(servers: Sequence[Server], check: Callable[[], None], steps: Steps) -> None:
    """Return when each server answers; ``check`` raises for one that has died.

    Raises :class:`StackError` if one does not answer in time.
    """
    end = threading.Event()
    silent = {server.name: "nobody listens" for server in servers}  # and why
    for server in servers:
        threading.Thread(target=_ask, args=(server, silent, end), name=f"wait-{server.name}", daemon=True).start()
    pending = list(servers)
    deadline = time.monotonic() + _START_SECONDS
    try:
        while pending:
            check()
            for server in [server for server in pending if server.name not in silent]:
                pending.remove(server)
                steps.end(server.name, f"up on port {server.port}")
            if pending and time.monotonic() > deadline:
                late = pending[0]
                raise StackError(
                    f"{late.title} did not answer within {_START_SECONDS} s ({silent.get(late.name)}). "
                    f"The end of its log ({late.folders.log}):\n{tail(late.folders.log)}"
                )
            time.sleep(0.1)
    finally:
        end.set()


def _ask(server: Server, silent: dict[str, str], end: threading.Event) -> None:
    """Ask a server whether it answers until it does, and is ``silent`` no more."""
    while not end.is_set():
        # A port that nobody listens on is told apart without the server's client
        if ports.is_open(server.port):
            try:
                server.answers()
            except Exception as error:  # noqa: BLE001 - five clients, each with errors of its own; all mean: not yet
                silent[server.name] = " ".join(f"{type(error).__name__}: {error}".split())  # gRPC's take many lines
            else:
                del silent[server.name]
                return
        end.wait(0.2)
