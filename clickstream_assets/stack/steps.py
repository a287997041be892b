"""What the person at the terminal sees while the servers are fetched, started and stopped.

A step has a key, a text and, at its end, how long it took. On a terminal steps are bars or spinners; elsewhere each
one is a line at its end. A background supervisor writes its steps down as JSON lines instead
(:class:`JsonSteps`), which its caller shows (:func:`replay`).
"""

import contextlib
import json
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Steps:
    """Steps shown to nobody: what tests and servers without a terminal use."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, key: str, text: str, total_mb: float | None = None) -> None:
        """Begin a step; with ``total_mb`` it is a download of that size."""

    def progress(self, key: str, done_mb: float) -> None:
        """So many megabytes of a download are there."""

    def end(self, key: str, result: str) -> None:
        """A step succeeded."""

    def say(self, text: str) -> None:
        """A line that belongs to no step."""


class TerminalSteps(Steps):
    """Steps on a terminal by rich, or as plain lines where there is none."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if self._console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(finished_text="[green]✓[/]"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=False,
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def begin(self, key: str, text: str, total_mb: float | None = None) -> None:
        """See :meth:`Steps.begin`."""
        self._begun[key] = (text, time.monotonic())
        if self._progress:
            self._tasks[key] = self._progress.add_task(text, total=total_mb, note="")

    def progress(self, key: str, done_mb: float) -> None:
        """See :meth:`Steps.progress`."""
        if self._progress and (task := self._tasks.get(key)) is not None:
            self._progress.update(task, completed=done_mb, note=f"{done_mb:.0f} MB")

    def end(self, key: str, result: str) -> None:
        """See :meth:`Steps.end`."""
        text, begun = self._begun.pop(key, (key, time.monotonic()))
        task = self._tasks.pop(key, None)
        if self._progress and task is not None:
            self._progress.update(task, total=1, completed=1, note=result)
        else:
            self._console.print(f"{text}: {result} ({time.monotonic() - begun:.1f} s)", soft_wrap=True)

    def say(self, text: str) -> None:
        """See :meth:`Steps.say`."""
        (self._progress.console if self._progress else self._console).print(text, soft_wrap=True)


class JsonSteps(Steps):
    """Steps as JSON lines, until the reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def begin(self, key: str, text: str, total_mb: float | None = None) -> None:
        """See :meth:`Steps.begin`."""
        self.send("begin", key=key, text=text, total_mb=total_mb)

    def progress(self, key: str, done_mb: float) -> None:
        """See :meth:`Steps.progress`."""
        self.send("progress", key=key, done_mb=done_mb)

    def end(self, key: str, result: str) -> None:
        """See :meth:`Steps.end`."""
        self.send("end", key=key, result=result)

    def say(self, text: str) -> None:
        """See :meth:`Steps.say`."""
        self.send("say", text=text)

    def send(self, kind: str, **fields: Any) -> None:
        """Write one line. A caller that was killed reads no more, which is no reason to stop the servers."""
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps({"kind": kind, **fields}) + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self.close()

    def close(self) -> None:
        """Let the reader see the end."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def replay(lines: Iterable[str], steps: Steps) -> dict[str, Any]:
    """Show what a :class:`JsonSteps` wrote; return its last line of another kind (``up``, ``failed``) or ``{}``."""
    for line in lines:
        fields = json.loads(line)
        kind = fields.pop("kind")
        if kind not in ("begin", "progress", "end", "say"):
            return {"kind": kind, **fields}
        getattr(steps, kind)(**fields)
    return {}
