"""The servers as a background process: start it, end it, ask how it stands.

Whether it runs is decided by a lock that it holds, which the kernel takes back when it dies, however it dies.
The state file beside the lock only says what there is to say about it, and counts for nothing without the lock.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickstream_assets.local.stack import requirements
from clickstream_assets.local.stack.addresses import choose_ports
from clickstream_assets.local.stack.downloads import ensure_downloads
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.home import stack_home
from clickstream_assets.local.stack.processes import rotate, tail
from clickstream_assets.local.stack.servers import SERVERS
from clickstream_assets.local.stack.steps import Steps

if TYPE_CHECKING:
    from clickstream_assets.settings import Settings

SERVE = [sys.executable, "-m", "clickstream_assets.cli.main", "stack", "serve"]
_STOP_SECONDS = 40.0


@dataclass(frozen=True)
class ServerStatus:
    """How one server stands."""

    server: str
    state: str
    """``up``, ``starting``, ``stopping``, ``dead`` (it ended by itself), ``done`` (it was to) or ``stopped``."""
    pid: int | None
    port: int | None
    memory_mb: int | None
    """Resident memory of the process and of those below it."""
    log: Path


def up(settings: "Settings", steps: Steps | None = None, *, secure: bool = False) -> dict[str, str]:
    """Start ``clickstream stack serve`` in the background; return the servers' environment once all of them answer.

    Raises :class:`StackError` if they run already or cannot be started, in which case nothing is left running.
    """
    requirements.check_platform()
    requirements.check_user()
    log = stack_home(settings) / "logs" / "supervisor.log"
    with steps or Steps() as shown:
        if not _pid(settings):  # what `serve` says of that is good enough otherwise
            choose_ports(settings)  # now, not after minutes of downloading
            requirements.check_memory()
            ensure_downloads(settings, shown)
            try:
                rotate(log)
            except OSError as error:
                raise StackError(f"{log.parent} cannot be written ({error}): set CLICKSTREAM_HOME.") from error
        # Secrets, which would be asterisks here, it has from the environment, as this process has.
        own = settings.model_dump(mode="json", exclude_unset=True, exclude=set(settings.secret_names()))
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                [*SERVE, "--secure"] if secure else SERVE,
                env=os.environ | {f"CLICKSTREAM_{name.upper()}": str(value) for name, value in own.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        shown.begin("servers", "Starting the servers")
        try:
            environment = _await_up(supervisor, settings)
        except BaseException:  # Ctrl-C above all: what has begun is ended before the prompt is back
            supervisor.terminate()
            supervisor.wait()
            raise
        if environment is None:
            raise StackError(f"The servers could not be started. The end of the log ({log}):\n{tail(log)}")
        shown.end("servers", "up")
    return environment


def _await_up(supervisor: "subprocess.Popen[bytes]", settings: "Settings") -> dict[str, str] | None:
    """The environment of the servers once all of them answer; None if the supervisor has ended."""
    while supervisor.poll() is None:
        state = _written(settings)
        # The lock comes last: looking at it takes it for a moment, and the supervisor might not get it.
        if state.get("pid") == supervisor.pid and state["state"] == "up" and _pid(settings):
            environment: dict[str, str] = state["environment"]
            return environment
        time.sleep(0.1)
    return None


def down(settings: "Settings") -> bool:
    """End the servers and wait until they are gone; False if none were running."""
    pid = _pid(settings)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _pid(settings) == pid:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # the kernel kills its children with it
        time.sleep(0.1)
    while _memory_mb(pid) is not None and time.monotonic() < deadline:  # it has let go of the lock just before its end
        time.sleep(0.05)
    return True


def status(settings: "Settings") -> list[ServerStatus]:
    """A row for each server, and for what else a foreground stack has started."""
    home = stack_home(settings)
    state = _state(settings)
    processes = {process["name"]: process for process in state.get("processes", [])}
    waiting = "starting" if state.get("state") == "starting" else "stopped"
    rows = [
        ServerStatus(name, waiting, None, None, None, home / "logs" / f"{name}.log")
        for name in SERVERS
        if name not in processes
    ]
    for name, process in processes.items():
        memory = _memory_mb(process["pid"])
        how = state["state"] if memory is not None else "dead" if process["must_live"] else "done"
        rows.append(ServerStatus(name, how, process["pid"], process["port"] or None, memory, Path(process["log"])))
    return rows


def env(settings: "Settings") -> dict[str, str]:
    """The variables that point any process at the running servers, and at Dagster where ``clickstream run`` has it.

    Raises :class:`StackError` if none run.
    """
    state = _state(settings)
    if state.get("state") != "up":
        raise StackError("The embedded servers are not running: start them with `clickstream stack up`.")
    environment: dict[str, str] = state["environment"]
    for process in state["processes"]:
        if process["name"] == "dagster-webserver":
            environment["CLICKSTREAM_DAGSTER_PORT"] = str(process["port"])
    return environment


def _pid(settings: "Settings") -> int | None:
    """The process that holds the lock. Raises :class:`StackError` where the home is none."""
    home = stack_home(settings)
    try:
        with (home / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StackError(f"{home} cannot be read ({error}): set CLICKSTREAM_HOME to a folder of yours.") from error
    return None


def _state(settings: "Settings") -> dict[str, Any]:
    """What the running supervisor last wrote, or nothing."""
    pid, state = _pid(settings), _written(settings)
    return state if pid is not None and state.get("pid") == pid else {}


def _written(settings: "Settings") -> dict[str, Any]:
    """What a supervisor last wrote, this one or one that was killed."""
    try:
        state: dict[str, Any] = json.loads((stack_home(settings) / "state.json").read_text())
    except FileNotFoundError:
        return {}
    return state


def _memory_mb(pid: int) -> int | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        size = process.memory_info().rss
    except psutil.Error:
        return None
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            size += child.memory_info().rss
    return size >> 20
