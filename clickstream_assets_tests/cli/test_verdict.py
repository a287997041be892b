"""An answer and what kept a command from one have exit codes of their own."""

import sys

import click
import pytest
from click.testing import CliRunner

from clickstream_assets.cli.verdict import Verdict


def fail():
    raise click.ClickException("no server")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (lambda: None, 0),
        (lambda: sys.exit(1), 1),
        (lambda: click.get_current_context().exit(1), 1),
        (fail, 2),
        (lambda: 1 / 0, 2),
    ],
)
def test_only_an_answer_has_exit_code_1(ending, code):
    result = CliRunner().invoke(click.command(cls=Verdict)(lambda: ending()))
    assert result.exit_code == code
    assert ("no server" in result.output) is (ending is fail)
