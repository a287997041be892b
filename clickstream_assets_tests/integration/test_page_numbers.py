"""The numbers on the analysts' page, of a whole pipeline, equal those computed independently from what was sent."""

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from clickstream_assets.page import words
from clickstream_assets.page.app import Pages, application
from clickstream_assets.page.queries import MOST_GROUPS
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.conftest import NOW_MS

LATER = datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(hours=2)
"""When it is looked at: what was sent with a time somewhat ahead is past by then."""
SUMMED = ("clicks", "measured_views", "time_spent_seconds")


class Expected(NamedTuple):
    """Golden's numbers by hour, url and country, and by day, scope and names; and the people of whole hours."""

    hours: dict
    days: dict
    people: dict


@pytest.fixture(scope="module")
def expected(hard):
    hard.settle_days()
    hard.settle()
    users, add = defaultdict(set), golden._add

    def noted(groups, key, event, spent):
        users[event["hour"]].add(event["user"])
        add(groups, key, event, spent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "_add", noted)
        found = hard.expected()
    hours = {(at(key[:20]), key[21:-3], key[-2:]): row for key, row in found["metrics"].items()}
    days = {(at(key[:10]), *key[11:].split("|", 1)): row for key, row in found["daily"].items()}
    people = {datetime.fromtimestamp(hour * 3_600, UTC): len(of) for hour, of in users.items()}
    return Expected(hours, days, people)


@pytest.fixture(scope="module")
def page(hard):
    client = hard.resources["elasticsearch"].client
    app = application(Pages(hard.settings, client, lambda: LATER), frozenset({"localhost"}))
    return TestClient(app, "http://localhost")


@pytest.fixture(scope="module")
def choices(expected):
    """Nothing chosen, the url with most clicks, the country with most, both, and that url's site."""
    urls, countries = Counter(), Counter()
    for (_, url, country), row in expected.hours.items():
        urls[url] += row["clicks"]
        countries[country] += row["clicks"]
    ((url, _),), ((country, _),) = urls.most_common(1), countries.most_common(1)
    chosen = {"all": {}, "url": {"url": url}, "country": {"country": country}}
    return {**chosen, "url_country": {"url": url, "country": country}, "site": {"site": site_of(url)}}


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def site_of(url):
    return "/".join(url.split("/")[:3])


def shown(page, expected, by, choice):
    """All days by the hour or the day, as the page is asked for them."""
    days = sorted(day for day, scope, *_ in expected.days if scope == "all")
    span = {"by": by, "from": f"{days[0]:%Y-%m-%d}", "to": f"{days[-1]:%Y-%m-%d}"}
    answer = page.get("/", params={**span, **choice})
    assert answer.status_code == 200
    return answer.text


def cells_of(html):
    """What stands in each row of a table, its name first."""
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("<tr>")[1:])
    return [[unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in row] for row in rows]


def differences(html, wanted):
    """Lines on what a page's table has other than is wanted; hours without a click are as if not there."""
    rows = {name: cells for name, _, *cells in cells_of(html.split('class="numbers"')[1]) if cells[0] != "0"}
    lines = [f"{name}: {rows.get(name)} and {wanted.get(name)}" for name in rows.keys() ^ wanted.keys()]
    for name in rows.keys() & wanted.keys():
        row, (clicks, people, spent, average) = wanted[name], rows[name]
        same = (clicks, people) == (words.number(row["clicks"]), words.number(row["unique_users"]))
        # Seconds are added up in another order: half a second may be rounded either way.
        if not (same and spent in either(row["time_spent_seconds"]) and average in either(mean(row))):
            lines.append(f"{name}: {rows[name]} and {row}")
    return lines


def either(seconds):
    return {words.duration(seconds and seconds + around) for around in (-1e-6, 1e-6)}


def mean(row):
    return row["time_spent_seconds"] / row["measured_views"] if row["measured_views"] else None


@pytest.mark.parametrize("name", ["all", "url", "country", "url_country", "site"])
def test_each_day_has_the_clicks_people_and_time_that_were_sent(page, expected, choices, name):
    choice = choices[name]
    key = (name, "|".join(choice.values())) if choice else (name,)
    wanted = {words.day_of(day.date()): row for (day, *rest), row in expected.days.items() if tuple(rest) == key}
    assert wanted
    assert differences(shown(page, expected, "day", choice), wanted) == []


@pytest.mark.parametrize("name", ["all", "url", "country", "url_country", "site"])
def test_each_hour_has_the_clicks_people_and_time_that_were_sent(page, expected, choices, name):
    choice = choices[name]
    wanted = {}
    for (hour, url, country), row in expected.hours.items():
        of_row = {"url": url, "country": country, "site": site_of(url)}
        if choice.items() <= of_row.items():
            people = {"all": expected.people[hour], "url_country": row["unique_users"]}.get(name)
            known = wanted.setdefault(words.hour_of(hour), {**dict.fromkeys(SUMMED, 0), "unique_users": people})
            known.update({name: known[name] + row[name] for name in SUMMED})
    assert wanted
    assert differences(shown(page, expected, "hour", choice), wanted) == []


@pytest.mark.parametrize(("scope", "title"), [("url", "Urls"), ("country", "Countries"), ("site", "Sites")])
def test_lists_have_most_clicks_first_and_all_that_were_sent(page, expected, scope, title):
    sums = Counter()
    for (_, of, *name), row in expected.days.items():
        if of == scope:
            sums[name[0]] += row["clicks"]
    listed = cells_of(shown(page, expected, "day", {}).split(f"<h2>{title} ")[1])
    found = [clicks for _, clicks, *_ in listed]
    assert found == [words.number(clicks) for _, clicks in sums.most_common(MOST_GROUPS)]
