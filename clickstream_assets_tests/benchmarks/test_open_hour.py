"""When a measurement in the open hour begins."""

from types import SimpleNamespace

import pytest

from benchmarks import open_hour
from benchmarks.open_hour import begin_at, fits, require_room, wait_for_room
from clickstream_assets.local.stack.errors import StackError

NOON = 1_795_521_600
MINUTE = 60


def test_noon_is_a_full_hour():
    assert NOON % 3_600 == 0


def test_with_room_it_begins_at_once():
    assert begin_at(NOON + 20 * MINUTE, 5 * MINUTE, 300_000) == (NOON + 20 * MINUTE, "")


def test_near_the_end_of_an_hour_it_waits_for_the_next_to_be_old_enough():
    moment, why = begin_at(NOON + 58 * MINUTE, MINUTE, 2_000)
    assert moment == NOON + 62 * MINUTE
    assert "2:00 min are left of the hour" in why


def test_what_is_filled_takes_its_time_too():
    # 300,000 events at 1,500 a second are 200 s; with 150 s to start, 5 minutes and 60 s to spare: 11:50.
    latest = NOON + 3_600 - 710
    assert begin_at(latest, 5 * MINUTE, 300_000) == (latest, "")
    moment, why = begin_at(latest + 1, 5 * MINUTE, 300_000)
    assert moment == NOON + 62 * MINUTE
    assert why == "11:49 min are left of the hour, and 11:50 min are needed"


def test_a_young_hour_has_no_room_for_events_behind_it():
    moment, why = begin_at(NOON + 20, MINUTE, 2_000)
    assert moment == NOON + 2 * MINUTE
    assert why == "the hour has begun 0:20 min ago, and is to hold 2,000 events already"


def test_an_hour_that_is_to_hold_nothing_may_be_young():
    assert begin_at(NOON, MINUTE, 0) == (NOON, "")
    moment, _ = begin_at(NOON + 58 * MINUTE, 10 * MINUTE, 0)
    assert moment == NOON + 60 * MINUTE


@pytest.mark.parametrize(
    ("minutes", "fill", "does"), [(5, 300_000, True), (55, 0, True), (55, 100_000, False), (1, 5_000_000, False)]
)
def test_what_an_hour_is_too_short_for_is_known_before(minutes, fill, does):
    assert fits(minutes * MINUTE, fill) is does


@pytest.mark.parametrize(("minutes", "fill"), [(1, 0), (1, 2_000), (5, 300_000), (10, 720_000), (40, 1)])
def test_whenever_it_starts_all_of_it_lies_in_one_hour(minutes, fill):
    for second in range(0, 3_600, 7):
        begin, _ = begin_at(NOON + second, minutes * MINUTE, fill)
        assert begin >= NOON + second
        age = begin % 3_600
        assert age + 150 + fill / 1_500 + minutes * MINUTE + MINUTE <= 3_600
        assert age >= 2 * MINUTE or not fill


def test_an_hour_that_took_long_to_fill_ends_it():
    require_room(NOON + 54 * MINUTE, 5 * MINUTE)
    with pytest.raises(StackError, match="5:59 min are left of it, and the live part needs 6:00 min"):
        require_room(NOON + 54 * MINUTE + 1, 5 * MINUTE)


class Clock:
    """A time of day that passes by sleeping."""

    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def bench(check=lambda: None):
    return SimpleNamespace(stack=SimpleNamespace(check=check))


def test_it_says_how_long_it_waits_and_why(monkeypatch, capsys):
    clock = Clock(NOON + 59 * MINUTE)
    monkeypatch.setattr(open_hour, "time", clock)
    wait_for_room(bench(), MINUTE, 2_000)
    assert clock.now == NOON + 62 * MINUTE
    said = capsys.readouterr().err
    assert "Waiting 3:00 min, until 13:02:00 UTC: 1:00 min are left of the hour, and 4:31 min are needed." in said


def test_a_server_that_dies_ends_the_wait(monkeypatch):
    def check():
        raise StackError("Kafka has died.")

    monkeypatch.setattr(open_hour, "time", Clock(NOON + 59 * MINUTE))
    with pytest.raises(StackError, match="Kafka has died"):
        wait_for_room(bench(check), MINUTE, 2_000)
