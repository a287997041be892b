from datetime import UTC, datetime

import click
import pytest

from clickstream_assets.local.first_hour import demo_first_hour, forget_demo_first_hour
from clickstream_assets.settings import Settings

START = datetime(2026, 2, 1, 12, 34, 56, tzinfo=UTC)
LATER = datetime(2026, 2, 9, 3, 0, tzinfo=UTC)


def _ms(moment):
    return int(moment.timestamp() * 1000)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("CLICKSTREAM_FIRST_HOUR", raising=False)
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_is_the_whole_hour_24_hours_before_the_first_start_for_all_later_ones_too(home):
    assert demo_first_hour(Settings(), _ms(START)) == "2026-01-31-12:00"
    (home / "dagster").mkdir()
    assert demo_first_hour(Settings(), _ms(LATER)) == "2026-01-31-12:00"


@pytest.mark.parametrize("start", [START.replace(minute=0, second=0), START.replace(minute=59, second=59)])
def test_every_moment_of_an_hour_gives_the_same(home, start):
    assert demo_first_hour(Settings(), _ms(start)) == "2026-01-31-12:00"


def test_a_first_hour_that_is_set_wins_and_is_not_remembered(home, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_FIRST_HOUR", "2026-01-15-00:00")
    assert demo_first_hour(Settings(), _ms(START)) is None
    assert not home.exists()


def test_an_empty_variable_sets_nothing(home, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_FIRST_HOUR", "")
    assert demo_first_hour(Settings(), _ms(START)) == "2026-01-31-12:00"


def test_hours_of_an_earlier_release_stay_partitions(home):
    (home / "dagster").mkdir(parents=True)
    assert demo_first_hour(Settings(), _ms(START)) is None


def test_hours_of_a_file_stay_partitions_when_demo_traffic_comes_back(home):
    demo_first_hour(Settings(), _ms(START))
    (home / "dagster").mkdir()
    forget_demo_first_hour(Settings())
    assert demo_first_hour(Settings(), _ms(LATER)) is None


def test_a_home_that_was_never_written_has_nothing_to_forget(home):
    forget_demo_first_hour(Settings())


def test_a_file_that_holds_no_hour_is_named(home):
    home.mkdir()
    (home / "first-hour").write_text("2026-01-31-12:30\n")
    with pytest.raises(click.ClickException, match=r"first-hour holds '2026-01-31-12:30', .* delete it"):
        demo_first_hour(Settings(), _ms(START))


def test_a_home_that_cannot_be_written_is_one_sentence(home):
    home.write_text("a file")
    with pytest.raises(click.ClickException, match="set CLICKSTREAM_HOME"):
        demo_first_hour(Settings(), _ms(START))
