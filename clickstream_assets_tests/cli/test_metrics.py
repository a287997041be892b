"""What ``clickstream metrics`` accepts, and how it prints."""

import pytest
from click.testing import CliRunner

from clickstream_assets.cli.consoles import console, figure, table_of
from clickstream_assets.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["2026-01-31T12:30", "2026-01-31T14:00"], "'2026-01-31T12:30' is no whole hour in UTC"),
        (["2026-01-31T12:00", "2026-01-31T14:00+05:30"], "'2026-01-31T14:00+05:30' is no whole hour in UTC"),
        (["2026-01-31-12:30", "2026-01-31T14:00"], "'2026-01-31-12:30' is no whole hour in UTC"),
        (["2026-01-31T12:00:00.5", "2026-01-31T14:00"], "is no whole hour in UTC"),
        (["2026-01-31T12:00", "noon"], "'noon' is no hour"),
        (["2026-01-31T12:00", "2026-01-31T12:00"], "TO must be later than FROM"),
        (["2026-01-31T12:00", "2026-01-31T14:00", "--limit", "-1"], "--limit"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments, complaint):
    result = CliRunner().invoke(main, ["metrics", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_long_url_with_brackets_stays_in_one_piece_where_no_terminal_is(capsys):
    url = "https://shop.example/" + "shoes/" * 500 + "?filter[color]=red"
    row = {"url": url, "country": "DE", "clicks": 1_000, "time_spent_seconds": 1.0, "average_time_spent": None}
    console().print(table_of([row], figure))
    heading, row = capsys.readouterr().out.splitlines()
    assert row.split() == [url, "DE", "1,000", "1.0"]
    assert heading.index("country") == row.index("DE")
