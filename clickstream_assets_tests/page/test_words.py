"""What is said of hours, days and freshness."""

from datetime import UTC, date, datetime, timedelta

import pytest

from clickstream_assets.page import words
from clickstream_assets.page.day_belief import belief
from clickstream_assets.page.figures import Figures, HourRecord, HourSeen, Seen
from clickstream_assets.page.screens import overview_screen
from clickstream_assets.page.view import Choice, Overview

DAY = date(2026, 11, 28)
NOW = datetime(2026, 11, 29, 14, 2, 10, tzinfo=UTC)


def hour(number, state="final", **more):
    said = {"checks_failed": 0, "day_checks_passed": 6, **more}
    return HourRecord(datetime(2026, 11, 28, number, tzinfo=UTC), state, **said)


def a_day(**other):
    """Records of a day, final but for those given by ``h7="held"``."""
    return [hour(number, other.get(f"h{number}", "final")) for number in range(24)]


def test_a_day_whose_hours_are_final_can_be_believed():
    assert belief(a_day(), DAY, NOW) == ("good", "Yes: all 24 hours are final, and every check passed.")


@pytest.mark.parametrize(
    ("hours", "grade", "said"),
    [
        ([], "wait", "Nothing is known yet"),
        (a_day(h14="held"), "bad", "Not yet: 14:00 is held back by a check"),
        (a_day(h14="held", h15="held", h3="stale"), "bad", "14:00, 15:00 are held back"),
        (a_day(h3="stale"), "wait", "Almost: 03:00 is being counted anew"),
        (a_day(h23="open"), "wait", "So far: the day is not over"),
        (a_day()[5:], "wait", "5 hours of the day left no record"),
        ([*a_day()[1:], hour(0, checks_failed=2)], "wait", "2 checks did not pass"),
        ([hour(n, day_checks_passed=None, clicks=1) for n in range(24)], "wait", "checks of the day have yet to look"),
        ([hour(n, day_failed_checks=("people: 5, not 6", "x")) for n in range(24)], "bad", "No: 2 checks of the day"),
        ([hour(n, "open", day_failed_checks=("people: 5, not 6",)) for n in range(9)], "bad", "people: 5, not 6."),
    ],
)
def test_any_other_day_says_why_not(hours, grade, said):
    judged = belief(hours, DAY, NOW)
    assert judged.grade == grade
    assert said in judged.words


ALMOST = "Almost: the day's people are about to be counted once more."
COUNTED = [hour(number, clicks=10) for number in range(24)]


@pytest.mark.parametrize(
    ("shown", "is_all", "hours", "said"),
    [
        (Figures(240, 9, state="final"), True, COUNTED, "Yes"),
        (None, True, COUNTED, ALMOST),
        (None, True, a_day(), "Yes"),
        (None, False, COUNTED, "Yes"),
        (Figures(240, 9, state="open"), True, COUNTED, ALMOST),
        (Figures(7, 9, state="open"), False, COUNTED, ALMOST),
        (Figures(239, 9, state="final"), True, COUNTED, ALMOST),
        (Figures(241, 9, state="final"), True, COUNTED, ALMOST),
        (Figures(7, 9, state="final"), False, COUNTED, "Yes"),
        (Figures(239, 9, state="final"), True, COUNTED[1:], "In part"),
        (Figures(229, 9, state="final"), True, COUNTED[1:], ALMOST),
    ],
)
def test_a_day_that_is_older_than_its_hours_is_believed_later(shown, is_all, hours, said):
    judged = belief(hours, DAY, NOW, shown, is_all=is_all)
    assert judged.words.startswith(said)
    assert judged.grade == ("good" if said == "Yes" else "wait")


@pytest.mark.parametrize(("choice", "said"), [(Choice(), ALMOST), (Choice(country="DE"), "Yes")])
def test_the_sentence_is_of_the_number_above_it(choice, said):
    seen = Seen(days={DAY: Figures(50, 9, state="final")}, hours={record.hour: record for record in COUNTED})
    yesterday, today = overview_screen(Overview("hour", DAY, DAY, choice), seen, NOW)["days"]
    assert yesterday["belief"].words.startswith(said)
    assert today["belief"].words.startswith("Nothing is known yet")


def test_a_day_that_is_not_over_grows():
    today = [HourRecord(datetime(2026, 11, 29, number, tzinfo=UTC), "final") for number in range(14)]
    assert belief(today, NOW.date(), NOW).words.startswith("So far")


@pytest.mark.parametrize(
    ("record", "grade", "said"),
    [
        (hour(14), "good", "Nothing is wrong with this hour"),
        (hour(14, "open"), "wait", "lower than it will be"),
        (hour(14, "stale", reason="41 late events."), "wait", "The reason: 41 late events. "),
        (hour(14, "held", reason="books_balance failed"), "bad", "The reason: books_balance failed. "),
        (hour(14, checks_failed=1), "wait", "1 check did not pass."),
        (hour(14, read=100, refused=20), "wait", "20% of its messages could not be read"),
        (hour(14, "of the future"), "wait", "Nothing is written down"),
        (None, "wait", "Nothing is written down"),
    ],
)
def test_an_hour_says_why_it_may_be_low(record, grade, said):
    judged = words.why(HourSeen(record, Figures(40), before=(100, 90, 120)), hour(14).hour, NOW)
    assert judged.grade == grade
    assert said in judged.words
    assert "It is low: 40 clicks; the same hour of the days before had 100." in judged.words


@pytest.mark.parametrize(("clicks", "said"), [(40, "low"), (100, "as usual"), (300, "high")])
def test_it_is_compared_with_the_days_before(clicks, said):
    assert f"It is {said}" in words.why(HourSeen(hour(14), Figures(clicks), before=(100,)), hour(14).hour, NOW).words
    assert "no such hour" in words.why(HourSeen(hour(14), Figures(clicks)), hour(14).hour, NOW).words


def test_an_hour_to_come_has_not_begun():
    assert words.why(HourSeen(), NOW + timedelta(hours=1), NOW).words == "This hour has not begun."


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "—"), (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (245, "4 min 05 s"), (12_000, "3 h 20 min")],
)
def test_durations_are_written_as_people_say_them(seconds, shown):
    assert words.duration(seconds) == shown


def test_a_day_is_marked_by_its_worst_hour():
    assert words.state_of_day({"final": 22, "held": 1, "stale": 1}) == "held"
    assert words.state_of_day({}) == ""
    assert words.about_day({"final": 22, "held": 1}) == "hours: 22 final, 1 held, 1 without a record"
