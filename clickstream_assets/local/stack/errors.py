"""The one error of the embedded stack."""

from typing import IO, Any

import click


class StackError(click.ClickException):
    """What went wrong with the servers and what to do, in words for the person at the terminal.

    Where a log's end is part of it, that follows behind a colon at the end of a line.
    """

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the log before the words: at a terminal, what stands last is read first."""
        words, colon, log = self.message.partition(":\n")
        if colon:
            click.echo(log, file, err=True)
            words += " stands above."
        click.ClickException(words).show(file)
