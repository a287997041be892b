"""Exit codes of commands that judge: 0 and 1 are their answer, and 2 is trouble of any kind, as it is with ``diff``."""

import traceback
from typing import Any

import click

TROUBLE = 2


class Verdict(click.Command):
    """A command that answers by its exit code, 0 or 1; whatever keeps it from an answer ends it with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, and keep click's 1 for errors, and Python's, from being taken for an answer."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.show()
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends quietly where a pipe behind it is closed
        except Exception:  # noqa: BLE001  # shown as Python would
            traceback.print_exc()
        raise click.exceptions.Exit(TROUBLE)
