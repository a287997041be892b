"""Waiting until servers that have just been started answer."""

import threading
import time
from collections.abc import Callable, Sequence

from clickstream_assets.stack import ports
from clickstream_assets.stack.errors import StackError
from clickstream_assets.stack.processes import tail
from clickstream_assets.stack.server import Server
from clickstream_assets.stack.steps import Steps

_START_SECONDS = 240


def wait_until_up(servers: Sequence[Server], check: Callable[[], None], steps: Steps) -> None:
    """Return when each server answers; ``check`` raises for one that has died.

    Raises :class:`StackError` if one does not answer in time.
    """
    end = threading.Event()
    waits = [_Wait(server, end) for server in servers]
    deadline = time.monotonic() + _START_SECONDS
    try:
        pending = list(waits)
        while pending:
            check()
            for wait in list(pending):
                if wait.answered.is_set():
                    pending.remove(wait)
                    steps.end(wait.server.name, f"up on port {wait.server.port}")
            if pending and time.monotonic() > deadline:
                wait = pending[0]
                log = wait.server.folders.log
                raise StackError(
                    f"{wait.server.title} did not answer within {_START_SECONDS} s ({wait.last_error}). "
                    f"The end of its log ({log}):\n{tail(log)}"
                )
            time.sleep(0.1)
    finally:
        end.set()


class _Wait:
    """A thread that asks one server whether it answers, until it does."""

    def __init__(self, server: Server, end: threading.Event) -> None:
        self.server = server
        self.answered = threading.Event()
        self.last_error = ""
        self._end = end
        threading.Thread(target=self._run, name=f"wait-{server.name}", daemon=True).start()

    def _run(self) -> None:
        while not self._end.is_set():
            # A port that nobody listens on is told apart without the server's client
            if ports.is_open(self.server.port):
                try:
                    self.server.answers()
                except Exception as error:  # noqa: BLE001 - five clients, each with errors of its own; all mean: not yet
                    self.last_error = " ".join(f"{type(error).__name__}: {error}".split())  # gRPC's take many lines
                else:
                    self.answered.set()
                    return
            self._end.wait(0.2)
