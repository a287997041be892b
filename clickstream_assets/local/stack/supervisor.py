"""The one that starts the servers, watches them and ends them, in the process that wants them."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Self

from clickstream_assets.local.stack import ports, requirements
from clickstream_assets.local.stack.addresses import choose_ports
from clickstream_assets.local.stack.downloads import ensure_downloads
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.home import PRIVATE, clickstream_home, make_private, require_own, stack_home
from clickstream_assets.local.stack.processes import Child, Launch, adopt_orphans, kill_marked, start, stop_groups
from clickstream_assets.local.stack.servers import SERVERS, Servers
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets.local.stack.waiting import wait_until_up
from clickstream_assets.stores.process import MARK

if TYPE_CHECKING:
    from clickstream_assets.settings import Settings

_STOP_ORDER = (("spark",), ("elasticsearch", "hbase-thrift"), ("hbase", "kafka"))
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stack:
    """The embedded servers, for as long as the ``with`` block lasts.

    Enter it in the main thread of a process: the kernel ties the servers' lives to that thread. Inside the block
    SIGTERM and SIGHUP raise :class:`SystemExit`, so that they, too, end the servers in order, as Ctrl-C does.
    """

    def __init__(self, settings: "Settings", steps: Steps | None = None, *, secure: bool = False) -> None:
        self._settings = settings
        self._steps = steps or Steps()
        self._home = stack_home(settings)
        self._mark = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._lock: IO[str] | None = None
        self._children: list[Child] = []
        self._environment: dict[str, str] = {}
        self._secure = secure
        self._umask: int | None = None
        self._state = "starting"
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        requirements.check_platform()
        requirements.check_user()
        self._take_home()
        try:
            self._listen_to_signals()
            adopt_orphans()
            with self._steps:
                self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def children(self) -> Sequence[Child]:
        """Servers and other processes, in the order of their start."""
        return tuple(self._children)

    def environment(self) -> dict[str, str]:
        """The ``CLICKSTREAM_*`` variables that point any process at these servers, and the first hour if it is set."""
        assert self._environment, "the stack has not been started"
        # Only one that is set: a shell that has it from here would set it for every later start otherwise.
        first_hour = {"CLICKSTREAM_FIRST_HOUR": self._settings.first_hour}
        return (first_hour if "first_hour" in self._settings.model_fields_set else {}) | self._environment

    def start_process(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> Child:
        """Start another process under the servers' rules: it ends before them, and with this process at the latest.

        Its environment is the caller's with :meth:`environment` and then ``env`` put over it, its log
        ``logs/NAME.log`` beside the servers'. ``options`` are further fields of :class:`Launch`.
        """
        environment = {**os.environ, **self.environment(), **(env or {}), MARK: self._mark}
        log = self._home / "logs" / f"{name}.log"
        return self._spawn(Launch(name, argv, log, environment, Path.cwd(), stop_seconds=10, **options))

    def check(self) -> None:
        """Raise :class:`StackError` with the end of its log if any server or process has died."""
        for child in self._children:
            child.check()

    def watch(self) -> None:
        """Start again what has died and may be, with a word on it; raise as :meth:`check` for everything else.

        Call it in the thread that entered the stack.
        """
        for place, child in enumerate(self._children):
            if not child.died:
                continue
            again = child.restart()
            self._children[place] = again
            self._write_state(self._state)
            self._steps.say(
                f"{child.title} ended {child.how_it_ended} and is started again, {again.restarted} of "
                f"{child.launch.restarts} times. Its last words are in {child.log}.1."
            )

    def stop(self) -> None:
        """End everything in order: what the caller started, Spark, Elasticsearch and Thrift, HBase and Kafka.

        A second Ctrl-C while this goes on kills what is left at once.
        """
        if self._lock is None:
            return
        patience = 0.0
        try:
            self._write_state("stopping")
            stop_groups(self._stop_groups(), self._steps.say)
            patience = 3.0
        finally:
            if signal.SIGINT in self._handlers:  # what is left ends at once: nothing may come between
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            for child in self._children:
                child.stop(0)
            kill_marked(self._mark, patience)
            adopt_orphans(False)
            self._children.clear()
            self._leave_home()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers.clear()

    # Starting

    def _start(self) -> None:
        settings = self._settings
        public, chosen = choose_ports(settings)
        requirements.check_memory()
        downloads = ensure_downloads(settings, self._steps)
        servers, self._environment = Servers(
            settings, downloads, public, lambda: ports.free_port(chosen), self._steps.say, self._secure
        ).put_together()
        for server in servers:
            self._steps.begin(server.name, f"Starting {server.title}")
            server.folders.prepare()
            launch = server.launch()
            self._spawn(replace(launch, environment={**launch.environment, MARK: self._mark}))
        wait_until_up(servers, self.check, self._steps)
        self._write_state("up")

    def _spawn(self, launch: Launch) -> Child:
        child = start(launch)
        self._children.append(child)
        self._write_state(self._state)
        return child

    # Signals, lock and state

    def _listen_to_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise StackError("The embedded servers must be started in the main thread.")
        for number in _ENDING_SIGNALS:
            self._handlers[number] = signal.signal(number, _exit_on_signal)
        # Set, and not left as it is: whatever a shell starts with `&` in a script is born ignoring it.
        self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)

    def _take_home(self) -> None:
        home = clickstream_home(self._settings)
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            self._umask = os.umask(PRIVATE)
            self._home.mkdir(parents=True, exist_ok=True)
            require_own(self._home)
            lock = (self._home / "lock").open("a+")
        except OSError as error:
            self._give_umask_back()
            raise StackError(
                f"{self._home} cannot be written ({error}): was it made by another user, with sudo perhaps? "
                "Remove it or change its owner, or set CLICKSTREAM_HOME to another folder."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            self._give_umask_back()
            raise StackError(
                f"The embedded servers of {self._home} are running already (pid {pid}): "
                "end them with `clickstream stack down`, or set CLICKSTREAM_HOME to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        make_private(home)

    def _leave_home(self) -> None:
        (self._home / "state.json").unlink(missing_ok=True)
        shutil.rmtree(self._home / "tmp", ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.truncate(0)
            lock.close()
        self._give_umask_back()

    def _give_umask_back(self) -> None:
        if self._umask is not None:
            os.umask(self._umask)
            self._umask = None

    def _write_state(self, state: str) -> None:
        """Write what ``stack status`` and ``stack env`` read. Whether it is still true, the lock says."""
        self._state = state
        content = {
            "pid": os.getpid(),
            "state": state,
            "environment": self.environment() if self._environment else {},
            "processes": [
                {
                    "name": child.name,
                    "pid": child.pid,
                    "port": child.launch.port,
                    "log": str(child.log),
                    "must_live": child.launch.must_live,
                }
                for child in self._children
            ],
        }
        new = self._home / "state.json.new"
        new.write_text(json.dumps(content, indent=1))
        new.replace(self._home / "state.json")

    def _stop_groups(self) -> list[list[Child]]:
        groups = [[child for child in self._children if child.name not in SERVERS]]
        groups += [[child for child in self._children if child.name in names] for names in _STOP_ORDER]
        return groups


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(ValueError):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
