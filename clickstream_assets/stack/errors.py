"""The one error of the embedded stack."""

import click


class StackError(click.ClickException):
    """What went wrong with the servers and what to do, in words for the person at the terminal."""
