"""What the person at the terminal sees while the servers are fetched, started and stopped.

A step has a key, a text and, at its end, how long it took. On a terminal steps are bars or spinners; elsewhere each
one is a line at its end.
"""

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Steps:
    """Steps shown to nobody: what tests and servers without a terminal use."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

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

    def __exit__(self, *error: object) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def begin(self, key: str, text: str, total_mb: float | None = None) -> None:
        self._begun[key] = (text, time.monotonic())
        if self._progress:
            self._tasks[key] = self._progress.add_task(text, total=total_mb, note="")

    def progress(self, key: str, done_mb: float) -> None:
        if self._progress and (task := self._tasks.get(key)) is not None:
            self._progress.update(task, completed=done_mb, note=f"{done_mb:.0f} MB")

    def end(self, key: str, result: str) -> None:
        text, begun = self._begun.pop(key, (key, time.monotonic()))
        task = self._tasks.pop(key, None)
        if self._progress and task is not None:
            self._progress.update(task, total=1, completed=1, note=result)
        else:
            self._console.print(f"{text}: {result} ({time.monotonic() - begun:.1f} s)", soft_wrap=True)

    def say(self, text: str) -> None:
        (self._progress.console if self._progress else self._console).print(text, soft_wrap=True)
