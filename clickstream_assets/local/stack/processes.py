"""Child processes that never outlive their parent.

Three nets, for three ways to die. A parent that stops in order ends each child by :meth:`Child.stop`. A parent that is
killed leaves that to the kernel, which was asked to kill its children with it (``PR_SET_PDEATHSIG``). And what the
children started themselves carries a mark in its environment, by which :func:`kill_marked` finds it.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.stores.process import MARK

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_PATIENCE_SECONDS = 1.0
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class Launch:
    """How to start a server."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    stdin: bytes | None = None
    """Written to the process's standard input, which then stays open for as long as the parent lives."""
    port: int = 0
    stop_seconds: float = 5.0
    title: str = ""
    """For sentences: ``HBase Thrift``. Empty: the name does."""
    must_live: bool = True
    """Whether its end is an error, unless it was asked for."""
    restarts: int = 0
    """How often it is started again when it has died; what it wrote before is then in its log's ``.1``."""
    argv_again: Sequence[str] = ()
    """What it is started with then, if not ``argv``."""


@dataclass
class Child:
    """A process that was started, and how it stands with it."""

    launch: Launch
    process: subprocess.Popen[bytes]
    stopping: bool = False
    restarted: int = 0
    """How often it has died and was started again."""

    @property
    def name(self) -> str:
        return self.launch.name

    @property
    def title(self) -> str:
        """What it is called in sentences."""
        return self.launch.title or self.name

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.launch.log

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code. Raises :class:`subprocess.TimeoutExpired`."""
        return self.process.wait(timeout)

    def check(self) -> None:
        """Raise :class:`StackError` with the end of its log if it ended when it should not have."""
        if self.died:
            times = f" for the {_ORDINALS[self.restarted]} time" if self.restarted else ""
            words = f"{self.name} ended {self.how_it_ended}{times}. The end of its log ({self.log}):\n{tail(self.log)}"
            raise StackError(words)

    @property
    def died(self) -> bool:
        """Whether it ended when it should not have."""
        return self.launch.must_live and not self.stopping and self.poll() is not None

    @property
    def how_it_ended(self) -> str:
        """``with exit code 1``, ``by SIGKILL``; for one that has ended."""
        code = self.poll()
        assert code is not None, f"{self.name} runs"
        if code >= 0:
            return f"with exit code {code}"
        try:
            return f"by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal
            return f"by signal {-code}"

    def restart(self) -> "Child":
        """Start one that died once more, under the same rules and from the same kind of thread as :func:`start`.

        Raises :class:`StackError` with the end of its log if it was started again as often as it may be.
        """
        if self.restarted >= self.launch.restarts:
            self.check()
        launch = replace(self.launch, argv=self.launch.argv_again or self.launch.argv)
        return replace(start(launch), restarted=self.restarted + 1)

    def terminate(self) -> None:
        """Ask it to end."""
        self.stopping = True
        if self.poll() is None:
            self.process.terminate()

    def stop(self, seconds: float | None = None) -> None:
        """Ask it to end and, if it has not within ``seconds``, kill it."""
        self.terminate()
        try:
            self.process.wait(self.launch.stop_seconds if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


def start(launch: Launch) -> Child:
    """Start a process in a session of its own, its output in its log, bound to die with its parent.

    Call it from a thread that lives as long as the process: the kernel takes that thread's end for the parent's.
    """
    rotate(launch.log)
    with launch.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                [str(part) for part in launch.argv],
                stdin=subprocess.PIPE if launch.stdin is not None else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(launch.environment),
                cwd=launch.folder,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - nothing in it takes a lock
            )
        except OSError as error:
            raise StackError(f"{launch.name} could not be started: {error}") from error
    if launch.stdin is not None:
        pipe: IO[bytes] = process.stdin  # type: ignore[assignment]
        with contextlib.suppress(BrokenPipeError):  # it died at once; its log says why
            pipe.write(launch.stdin)
            pipe.flush()
    return Child(launch, process)


def die_with_parent() -> Callable[[], None]:
    """A function for the child, between fork and exec: its parent's end and SIGINT end it."""
    parent = os.getpid()
    prctl = _LIBC.prctl

    def tie() -> None:
        # A shell's background job ignores Ctrl-C, and Dagster does with SIGTERM whatever is done with Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be tied to
            os._exit(1)

    return tie


def adopt_orphans(yes: bool = True) -> None:
    """Make this process the parent of whatever its children leave behind, so that it stays among its descendants."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def stop_groups(groups: Iterable[Sequence[Child]], say: Callable[[str], None] = lambda _: None) -> None:
    """Stop group after group; the members of one side by side. ``say`` is told which, and which take their time."""
    for group in groups:
        alive = [child for child in group if child.poll() is None]
        if alive:
            say(f"Stopping {', '.join(child.title for child in alive)} …")
        for child in group:
            child.terminate()
        begun = time.monotonic()
        for child in group:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_PATIENCE_SECONDS)
            left = max(0.1, child.launch.stop_seconds - (time.monotonic() - begun))
            if child.poll() is None:
                say(f"Waiting for {child.title}, {left:.0f} s at most …")
            child.stop(left)


def kill_marked(mark: str, seconds: float = 3.0) -> None:
    """End what is left below this process and carries the mark: SIGTERM and, ``seconds`` later, SIGKILL."""
    import psutil

    def marked() -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    left = marked()
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=seconds if left else 0)
    for process in {*alive, *marked()}:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=3)


def reap(known: Iterable[Child]) -> None:
    """Collect what adopted orphans leave when they end. Only for a process without other children of its own."""
    import psutil

    pids = {child.pid for child in known}
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if process.pid not in pids and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def rotate(log: Path) -> None:
    """Keep the log of the start before as ``.1``, and begin an empty one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except OSError as error:
        return f"(cannot be read: {error})"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
