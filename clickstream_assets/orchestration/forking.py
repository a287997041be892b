"""Runs forked from a process that has imported what they need, instead of started from nothing.

Dagster's code server starts each run by ``multiprocessing``'s *spawn*: a new Python, 1.7 s until the run's first step,
nearly all of it imports. Python has a start method that spares them, *forkserver*: a helper process that imports once
and forks for each. :func:`fork_runs` puts it in the place of *spawn*; the launcher, ending a run, noticing that one has
died and the output of runs remain Dagster's. Where the helper does not do its part, a run starts by *spawn*, and the
code server's log says why.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import context, forkserver, popen_forkserver, process, util
from multiprocessing.connection import wait
from typing import Any

from clickstream_assets.stores.spark.resource import shared_session_id

IMPORTS = "clickstream_assets.orchestration.forked_imports"
"""What the helper imports; by that name."""
_START_SECONDS, _ANSWER_SECONDS = 40.0, 5.0
"""A helper that has not forked by then is killed. One that starts imports first: 4 s of processor time, and more where
the machine is busy."""

_log = logging.getLogger("dagster.code_server")


def fork_runs() -> None:
    """Have the code server that this process is fork its runs. In any other process nothing changes.

    The helper starts with the first run, in the code server's environment, and ends with the code server and its runs.
    """
    server = sys.modules.get("dagster._grpc.server")
    if server is None:
        return
    try:
        known = {"_mp_ctx", "Process"} <= {*server.DagsterApiServer.StartRun.__code__.co_names}
    except AttributeError:
        known = False
    if not known:
        _log.warning(
            "This Dagster starts runs in another way than by `_mp_ctx`: they are not forked, and start slower."
        )
        return
    forkserver.set_forkserver_preload([IMPORTS])
    # On the class, where it goes before what servers set on themselves: this one has done so before it loads our code.
    server.DagsterApiServer._mp_ctx = property(lambda _: RunContext(), lambda _, __: None)


class RunProcess(context.ForkServerProcess):
    """A run's process: forked, or spawned where that fails."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        try:
            return ForkedRun(process_obj)
        except (OSError, EOFError, AttributeError) as error:
            _log.warning(
                "A run could not be forked, and starts as a new process: %s. What the helper said is above.",
                repr(error),
            )
            return context.SpawnProcess._Popen(process_obj)

    def run(self) -> None:
        """In the new process: do what it is for."""
        if forkserver.get_inherited_fds() is not None and IMPORTS not in sys.modules:
            _log.warning("%s could not be imported where runs are forked: is its package on PYTHONPATH?", IMPORTS)
        super().run()


class RunContext(context.ForkServerContext):
    """What Dagster's code server makes queues, events and processes with."""

    Process = RunProcess


class ForkedRun(popen_forkserver.Popen):
    """A forked process, and how it stands with it, whatever becomes of the helper meanwhile."""

    _process: int | None = None
    """By which the kernel tells of its end; None where it cannot."""

    def _launch(self, process_obj: process.BaseProcess) -> None:
        with _helper.in_time():
            super()._launch(process_obj)  # type: ignore[misc]
        with suppress(OSError, AttributeError):  # it runs: nothing may start it a second time
            self._process = os.pidfd_open(self.pid)
            util.Finalize(self, os.close, (self._process,))

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Its exit code, None while it runs. That its helper died is no sign of its end; its code is 255 then."""
        watched = [] if self._process is None or self.returncode is not None else [self._process]
        if watched and not wait(watched, 0 if flag == os.WNOHANG else None):
            return None
        return super().poll(flag)


class Helper:
    """The process that runs are forked from; ``multiprocessing`` has one."""

    def __init__(self) -> None:
        self._code = ""

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Have it running while something is asked of it, and kill it if that takes too long: asking fails then."""
        code = shared_session_id()
        if code != self._code:
            self.leave()
        self._code, before = code, self.pid
        forkserver.ensure_running()
        seconds = _ANSWER_SECONDS if self.pid == before else _START_SECONDS
        end = threading.Timer(seconds, os.kill, (self.pid, signal.SIGKILL))
        end.daemon = True
        end.start()
        try:
            yield
        finally:
            end.cancel()

    @property
    def pid(self) -> int | None:
        """None if it has not been started."""
        return forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

    def leave(self) -> None:
        """Let it end behind the last of its runs. The next run gets a new one."""
        if self.pid is not None:
            server: Any = forkserver._forkserver
            threading.Thread(target=os.waitpid, args=(self.pid, 0), daemon=True).start()
            os.close(server._forkserver_alive_fd)
            server._forkserver_pid = None


_helper = Helper()
