"""Totals of dimensions, against a count with sets over the same rows."""

import random
from collections import Counter, defaultdict

import pyarrow as pa
import pytest

from clickstream_assets.metrics.dimension_totals import CAME, DIMENSION_TOTALS, bounded, dimension_totals

NAMES = ("event_type", "browser", "os", "device", "city", "referrer_host", "utm_source", "utm_medium", "utm_campaign")


def came(user, hour=7, events=1, clicks=1, bot=False, **said):
    return (
        {name: "" for name in NAMES}
        | said
        | {
            "user_key": user,
            "hour": hour,
            "events": events,
            "clicks": clicks,
            "bot": bot,
        }
    )


def table(rows):
    return pa.Table.from_pylist(rows, CAME)


def by_name(totals):
    """Events, clicks and users by hour (None for the day), dimension and value; each stands once."""
    rows = [tuple(row.values()) for row in totals.to_pylist()]
    found = {row[:3]: row[3:] for row in rows}
    assert len(found) == len(rows)
    return found


def expected(rows, most):
    """The same, the plain way."""
    events, clicks, users = Counter(), Counter(), defaultdict(set)
    for row in rows:
        said = {"bot": row["browser"]} if row["bot"] else {name: row[name] for name in NAMES}
        for (name, value), hour in [(of, hour) for of in said.items() for hour in (row["hour"], None)]:
            key = hour, name, value or "(none)"
            events[key] += row["events"]
            clicks[key] += row["clicks"]
            if row["clicks"] or (name == "event_type" and row["events"]):
                users[key].add(row["user_key"])
    found = {}
    for group in {key[:2] for key in events}:
        values = sorted(
            (key for key in events if key[:2] == group and key[2] != "(other)"),
            key=lambda key: (-clicks[key], -events[key], key[2]),
        )
        for key in values[:most]:
            found[key] = events[key], clicks[key], None if group[1] == "bot" else len(users[key])
        rest = [key for key in events if key[:2] == group and key not in values[:most]]
        if rest:
            found[*group, "(other)"] = sum(events[key] for key in rest), sum(clicks[key] for key in rest), None
    return found


def test_a_user_of_several_hours_and_browsers_counts_once_in_each_total():
    totals = by_name(
        dimension_totals(
            table(
                [
                    came("a", 7, 3, 2, browser="Chrome"),
                    came("a", 8, 1, 1, browser="Chrome"),
                    came("a", 8, 1, 1, browser="Safari"),
                    came("b", 8, 5, 0, browser="Chrome"),
                ]
            )
        )
    )
    assert totals[7, "browser", "Chrome"] == (3, 2, 1)
    assert totals[8, "browser", "Chrome"] == (6, 1, 1), "b has clicked nothing"
    assert totals[None, "browser", "Chrome"] == (9, 3, 1)
    assert totals[None, "city", "(none)"] == (10, 4, 1)


def test_users_of_an_event_type_are_those_of_its_events():
    totals = by_name(dimension_totals(table([came("a", events=2, clicks=0, event_type="scroll")])))
    assert totals[7, "event_type", "scroll"] == totals[None, "event_type", "scroll"] == (2, 0, 1)
    assert totals[7, "os", "(none)"] == (2, 0, 0)


def test_bots_count_in_their_own_dimension_alone_and_by_name():
    totals = by_name(dimension_totals(table([came("a", events=2, bot=True, browser="Googlebot", city="Berlin")])))
    assert totals == {(7, "bot", "Googlebot"): (2, 1, None), (None, "bot", "Googlebot"): (2, 1, None)}


def test_what_is_not_said_and_the_words_for_it_are_one_value_and_its_users_one():
    rows = [came("a", utm_source=""), came("a", utm_source="(none)"), came("b", utm_source="(other)")]
    totals = by_name(bounded(dimension_totals(table(rows))))
    assert totals[None, "utm_source", "(none)"] == (2, 2, 1)
    assert totals[None, "utm_source", "(other)"] == (1, 1, None)


def test_without_an_audience_there_are_no_totals():
    totals = bounded(dimension_totals(CAME.empty_table()))
    assert (len(totals), totals.schema) == (0, DIMENSION_TOTALS)


@pytest.mark.parametrize("values", [999, 1_000, 1_001])
def test_a_thousand_values_have_totals_of_their_own_and_the_rest_are_one(values):
    rows = [came(f"u{at % 7}", city=f"c{at:04}", clicks=int(at > 0)) for at in range(values)]
    totals = by_name(bounded(dimension_totals(table(rows))))
    named = {value for _, name, value in totals if name == "city"}
    assert len(named - {"(other)"}) == min(values, 1_000)
    assert ("(other)" in named) == (values > 1_000)
    if values > 1_000:
        assert totals[7, "city", "(other)"] == totals[None, "city", "(other)"] == (1, 0, None)
        assert "c0000" not in named


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("parts", [1, 3])
def test_any_audience_comes_to_what_a_plain_count_comes_to_in_parts_too(seed, parts):
    drawn = random.Random(seed)
    words = ["", "(none)", "(other)", "a", "A", "b", "\x01", "é" * 9, "\U0001f600", "z|y"]
    rows = [
        came(
            f"u{drawn.randrange(6)}",
            drawn.choice([3, 4, 9]),
            (events := drawn.randrange(1, 4)),
            drawn.randrange(events + 1),
            drawn.random() < 0.2,
            **{name: drawn.choice(words) for name in drawn.sample(NAMES, 4)},
        )
        for _ in range(drawn.randrange(60))
    ]
    most = drawn.choice([1, 2, 3, 100])
    users = [[row for row in rows if int(row["user_key"][1:]) % parts == part] for part in range(parts)]
    counted = pa.concat_tables([dimension_totals(table(of)) for of in users])
    of_values = [[row for row in counted.to_pylist() if hash(row["value"]) % parts == part] for part in range(parts)]
    kept = [bounded(pa.Table.from_pylist(of, DIMENSION_TOTALS), most) for of in of_values]
    assert by_name(bounded(pa.concat_tables(kept), most)) == expected(rows, most)
