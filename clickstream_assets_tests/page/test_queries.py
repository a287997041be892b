"""What is read from a real Elasticsearch is what was written to it."""

from datetime import date, timedelta

import pytest
from elasticsearch import Elasticsearch

from clickstream_assets.page.dimension_choice import DIMENSIONS, DimensionChoice
from clickstream_assets.page.figures import ByDimension
from clickstream_assets.page.queries import PageQueries
from clickstream_assets.page.view import Choice, Overview, Page
from clickstream_assets_tests.page import stored_days as stored
from clickstream_assets_tests.page.searched_documents import stored as searched
from clickstream_assets_tests.page.stored_days import COUNTRIES, OPEN, TODAY, URLS, YESTERDAY, figures

SHOP = "https://shop.example"
HOME = f"{SHOP}/"
TWO_DAYS = Overview("hour", YESTERDAY.date(), TODAY.date())
THREE_DAYS = Overview("day", stored.FIRST.date(), TODAY.date())


@pytest.fixture(scope="module")
def es(servers):
    with Elasticsearch(servers.elasticsearch_url) as client:
        yield client


@pytest.fixture(scope="module")
def queries(servers, es):
    configured = servers.model_copy(update={"name_prefix": "page-queries-"})
    stored.store(es, configured)
    return PageQueries(es, configured)


def clicks(hour, choice):
    return sum(
        stored.clicks_of(hour, url, country)
        for url in URLS
        for country in COUNTRIES
        if choice.url in ("", url) and choice.country in ("", country) and choice.site in ("", stored.site_of(url))
    )


CHOICES = [
    Choice(), Choice(HOME), Choice(country="DE"), Choice(HOME, "US"), Choice(site=SHOP), Choice("", "DE", SHOP),
    Choice(stored.HOSTILE_URL, "ZZ"), Choice(stored.LONG_URL),
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
def test_hours_add_up_what_is_chosen_and_people_are_one_documents(queries, choice):
    seen = queries.overview(Overview("hour", YESTERDAY.date(), TODAY.date(), choice), TODAY.date())
    wanted = {hour: clicks(hour, choice) for hour in stored.hours() if hour >= YESTERDAY}
    assert {at: found.clicks for at, found in seen.series.items()} == {at: n for at, n in wanted.items() if n}
    one = not choice.parameters or (choice.url and choice.country)
    for at, found in seen.series.items():
        assert found.people == (figures(wanted[at])["unique_users"] if one else None)


@pytest.mark.parametrize("choice", CHOICES)
def test_days_are_those_of_the_scope(queries, choice):
    seen = queries.overview(Overview("day", stored.FIRST.date(), TODAY.date(), choice), TODAY.date())
    wanted = {day: 0 for day in (stored.FIRST, YESTERDAY, TODAY)}
    for hour in stored.hours():
        wanted[hour - timedelta(hours=hour.hour)] += clicks(hour, choice)
    assert {at: found.clicks for at, found in seen.series.items()} == wanted
    known = not (choice.site and choice.country)
    for at, found in seen.series.items():
        assert found.people == (figures(wanted[at])["unique_users"] if known else None)
    assert {day: found.clicks for day, found in seen.days.items()} == {
        YESTERDAY.date(): wanted[YESTERDAY], TODAY.date(): wanted[TODAY],
    }  # fmt: skip


def test_states_are_those_of_the_hours(queries):
    seen = queries.overview(TWO_DAYS, TODAY.date())
    assert {at: record.state for at, record in seen.hours.items()} == {
        hour: stored.state_of(hour) for hour in stored.hours() if hour >= YESTERDAY
    }
    assert seen.hours[stored.HELD].reason == stored.REASON
    assert seen.states[YESTERDAY.date()] == {"final": 22, "held": 1, "stale": 1}
    assert seen.missing == frozenset()


def test_what_is_chosen_is_broken_down(queries):
    def names(choice):
        view = Overview("day", TODAY.date(), TODAY.date(), choice)
        return {name: [g.name for g in found] for name, found in queries.overview(view, TODAY.date()).groups.items()}

    most = sorted(URLS, key=lambda url: -URLS[url])
    assert names(Choice()) == {
        "url": most, "country": ["DE", "US", "ZZ"], "site": [SHOP, "https://blog.example:8443"],
    }  # fmt: skip
    assert names(Choice(HOME)) == {"country": ["DE", "US", "ZZ"]}
    assert names(Choice(country="DE")) == {"url": most}
    assert names(Choice(site=SHOP)) == {"url": [url for url in most if stored.site_of(url) == SHOP]}
    assert names(Choice(HOME, "DE")) == {}


def test_the_people_of_a_part_are_those_of_its_busiest_day(queries):
    seen = queries.overview(THREE_DAYS, TODAY.date())
    days = [sum(clicks(hour, Choice(HOME)) for hour in stored.hours() if hour.date() == day) for day in THREE_DAYS.days]
    home = next(group for group in seen.groups["url"] if group.name == HOME)
    assert (home.figures.clicks, home.figures.people) == (sum(days), figures(max(days))["unique_users"])


@pytest.mark.parametrize(("name", "choice"), [("url", Choice()), ("url", Choice(country="DE")), ("site", Choice())])
def test_over_new_year_a_part_has_its_clicks_of_both_indices(servers, es, name, choice):
    """Of 41 parts, the one with most clicks in the new year had least in the old one."""
    configured = servers.model_copy(update={"name_prefix": f"page-new-year-{name}-{choice.country.lower()}-"})
    scope = "url_country" if choice.country else name
    site = "https://s{}.example" + ("" if name == "site" else "/")
    old, new = date(2026, 12, 31), date(2027, 1, 1)
    listed = {site.format(number): {old: 1_000 - number, new: 10} for number in range(40)}
    listed[site.format(40)] = {old: 60, new: 2_000}
    for day in (old, new):
        found = (
            {name: one, "day": day.isoformat(), "scope": scope, **choice.parameters, **figures(clicks[day])}
            for one, clicks in listed.items()
        )
        stored.fill(es, configured.daily_alias, day.isoformat()[:4], stored.DAY_FIELDS, enumerate(found))
    groups = PageQueries(es, configured).overview(Overview("day", old, new, choice), new).groups[name]
    assert [(group.name, group.figures.clicks) for group in groups] == [
        (one, sum(listed[one].values())) for one in sorted(listed, key=lambda one: -sum(listed[one].values()))[:12]
    ]
    assert groups[0].figures.clicks == 2_060


DIMENSION_VIEWS = [
    Overview(by, YESTERDAY.date(), TODAY.date(), dimension=DimensionChoice(name, value))
    for by in ("hour", "day")
    for name, value in (
        *((name, "") for name in DIMENSIONS),
        ("browser", stored.HOSTILE_VALUE),
        ("browser", "(other)"),
        ("utm_campaign", stored.LONG_VALUE),
        ("event_type", "page_leave"),
        ("bot", "Googlebot"),
        ("city", "Nowhere"),
    )
]


@pytest.mark.parametrize("view", DIMENSION_VIEWS)
def test_by_dimension_it_finds_what_its_likeness_in_other_tests_finds(queries, servers, view):
    likeness = PageQueries(searched(), servers.model_copy(update={"name_prefix": ""}))
    found, like = (asked.overview(view, TODAY.date()) for asked in (queries, likeness))
    assert found.dimensions == like.dimensions
    assert (found.series, found.days) == (like.series, like.days)
    assert found.dimensions.values
    assert found.dimensions.counted_at == stored.NOW - timedelta(minutes=3)


def test_freshness_is_that_of_the_newest_document(queries):
    fresh = queries.overview(TWO_DAYS, TODAY.date()).freshness
    assert fresh.hours_written == stored.NOW - timedelta(seconds=4)
    assert fresh.watermark == stored.NOW - timedelta(seconds=10)
    assert fresh.metrics_computed == stored.NOW - timedelta(minutes=1)
    assert fresh.daily_computed == stored.NOW - timedelta(minutes=20)
    assert fresh.lag == 16
    assert fresh.clicked == {hour for hour in stored.hours() if hour >= YESTERDAY and hour != stored.HELD}
    assert fresh.stale == 1


def test_an_hour_has_its_documents_and_the_days_before(queries):
    page = Page(int(OPEN.timestamp()) // 3_600)
    seen = queries.hour(page)
    whole = clicks(OPEN, Choice())
    assert (seen.record.state, seen.figures.clicks) == ("open", whole)
    assert seen.figures.people == figures(whole)["unique_users"]
    assert (seen.rows[0].url, seen.rows[0].country) == (HOME, "DE")
    assert seen.documents == len(seen.rows) == sum(stored.clicks_of(OPEN, u, c) > 0 for u in URLS for c in COUNTRIES)
    assert {group.name for group in seen.countries} == set(COUNTRIES)
    assert sorted(seen.before) == sorted(clicks(OPEN - timedelta(days=n), Choice()) for n in (1, 2))
    one = queries.hour(Page(page.hour, Choice(HOME, "DE")))
    assert one.figures.people == figures(stored.clicks_of(OPEN, HOME, "DE"))["unique_users"]


def test_where_there_is_no_index_all_is_empty(servers, es):
    queries = PageQueries(es, servers.model_copy(update={"name_prefix": "page-nothing-"}))
    seen = queries.overview(TWO_DAYS, TODAY.date())
    assert seen.missing == {"metrics", "daily", "hours", "dimensions"}
    assert seen.dimensions == ByDimension()
    assert (seen.series, seen.hours, seen.days, seen.freshness.lag) == ({}, {}, {}, None)
    assert queries.hour(Page(495_000)).rows == ()


def test_of_thirty_days_the_hours_with_clicks_are_read(queries):
    view = Overview("hour", stored.MONTH.date(), TODAY.date())
    assert queries.overview(view, TODAY.date()).series.keys() == set(stored.hours())
