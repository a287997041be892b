"""Lists by dimension, one value alone, and the bots that are left out: what is shown is what was stored."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from clickstream_assets.page import words
from clickstream_assets.page.app import Pages, application
from clickstream_assets.page.dimension_choice import DIMENSIONS
from clickstream_assets.settings import Settings
from clickstream_assets_tests.events.test_shown_text import HOSTILE
from clickstream_assets_tests.page import stored_days as days
from clickstream_assets_tests.page.searched_documents import stored
from clickstream_assets_tests.page.test_app import Parts, assert_harmless

TWO_DAYS = (days.YESTERDAY, days.TODAY)
BY_DAY = {"by": "day", "from": "2026-11-27", "to": "2026-11-29"}
OF_FIREFOX = {"dimension": "browser", "value": "Firefox"}


@pytest.fixture
def es():
    return stored()


def html(es, status=200, path="/", **parameters):
    pages = Pages(Settings(), lambda: es, lambda: days.NOW)
    client = TestClient(application(pages, frozenset({"localhost"})), "http://localhost")
    answer = client.get(path, params=parameters)
    assert answer.status_code == status
    assert_harmless(answer.text)
    return answer.text


def said(text):
    return " ".join(Parts(text).text.split())


def section(text, begin='id="by-dimension"', end="</section>"):
    return text[text.index(begin) :].split(end)[0]


def row_of(text, name):
    """The cells beside a value in a list."""
    (row,) = (row for row in text.split("<tr>")[1:] if Parts(row.split("</th>")[0]).text.strip() == name)
    return [Parts(cell.split("</td>")[0]).text for cell in row.split('<td class="n">')[1:]]


def counted(dimension, value, day=None):
    hours = [hour for hour in days.hours() if hour.date() == day.date()] if day else list(days.hours())
    clicks, events = zip(*(days.value_of(hour, dimension, value) for hour in hours), strict=True)
    return sum(clicks), sum(events)


def labels(text, chart):
    """What the bars of a chart say."""
    return [
        attributes["aria-label"]
        for tag, attributes in Parts(section(text, f"<strong>{chart}</strong>", "</figure>")).elements
        if tag == "a"
    ]


@pytest.mark.parametrize("dimension", [name for name in DIMENSIONS if name not in ("bot", "event_type")])
def test_a_list_has_the_clicks_of_all_days_and_the_people_of_the_busiest(es, dimension):
    listed = section(html(es, dimension=dimension))
    assert DIMENSIONS[dimension].title in said(listed)
    for value in days.DIMENSIONS[dimension]:
        if value in (days.HOSTILE_VALUE, days.LONG_VALUE):
            continue
        of_days = [counted(dimension, value, day)[0] for day in TWO_DAYS]
        people = "—" if value == "(other)" else f"{max(map(days.people_of, of_days)):,}"
        name = {"(none)": "not said", "(other)": "all others"}.get(value, value)
        assert row_of(listed, name) == [f"{sum(of_days):,}", people]


def test_kinds_of_events_are_counted_in_events_most_first(es):
    listed = section(html(es, dimension="event_type", **BY_DAY))
    assert row_of(listed, "page_leave")[0] == f"{counted('event_type', 'page_leave')[1]:,}"
    assert listed.index("page_view</bdi>") < listed.index("page_leave</bdi>") < listed.index("click</bdi>")
    assert "People, busiest day" in listed


def test_on_one_day_people_are_that_days(es):
    listed = section(html(es, dimension="browser", **{"from": "2026-11-28", "to": "2026-11-28"}))
    clicks = counted("browser", "Firefox", days.YESTERDAY)[0]
    assert row_of(listed, "Firefox") == [f"{clicks:,}", f"{days.people_of(clicks):,}"]
    assert "busiest day" not in listed


def test_without_a_choice_browsers_are_listed_and_all_others_are_offered(es):
    text = section(html(es))
    links = [attributes for tag, attributes in Parts(text).elements if tag == "a"]
    offered = [parse_qs(urlsplit(link["href"]).query)["dimension"] for link in links if "#by" in link["href"]]
    assert offered == [[name] for name in DIMENSIONS]
    assert next(link for link in links if "aria-current" in link)["href"].endswith("browser#by-dimension")
    firefox = next(link["href"] for link in links if "Firefox" in link["href"])
    assert firefox == "/?by=hour&from=2026-11-28&to=2026-11-29&dimension=browser&value=Firefox"


def test_values_beyond_the_list_are_added_up(es, monkeypatch):
    monkeypatch.setattr("clickstream_assets.page.dimension_searches.MOST_VALUES", 2)
    whole = sum(counted("browser", value)[0] for value in days.DIMENSIONS["browser"])
    named = sum(counted("browser", value)[0] for value in ("Chrome", "Firefox"))
    text = said(section(html(es, dimension="browser", **BY_DAY)))
    assert f"Values that are not listed have {whole - named:,} clicks together" in text


def test_bars_of_a_value_have_its_numbers_and_the_states_of_their_hours(es):
    text = html(es, **OF_FIREFOX)
    clicks, people = labels(text, "Clicks"), labels(text, "People")
    for hour in days.hours():
        if hour >= days.YESTERDAY:
            number = days.value_of(hour, "browser", "Firefox")[0]
            (told,) = (label for label in clicks if label.startswith(words.hour_of(hour)))
            assert f": {words.count(number, 'click')}. " in told
            assert f"{words.of_people(days.people_of(number))}. " in " ".join(people)
            assert days.state_of(hour) in told
    assert 'fill="url(#hatch)"' in section(text, "<strong>Clicks</strong>", "</figure>")
    assert days.REASON in " ".join(clicks)


def test_bars_of_a_value_by_the_day_lead_to_its_hours(es):
    text = html(es, **OF_FIREFOX, **BY_DAY)
    number = counted("browser", "Firefox", days.YESTERDAY)[0]
    assert f"{number:,} clicks. hours: 22 final, 1 stale, 1 held" in labels(text, "Clicks")[1]
    assert f"{days.people_of(number):,} people" in labels(text, "People")[1]
    assert "/?by=hour&from=2026-11-28&to=2026-11-28&dimension=browser&value=Firefox" in text.replace("&amp;", "&")
    assert "days have no total" in said(text)


def test_tiles_are_of_the_value_too(es):
    clicks = counted("browser", "Firefox", days.YESTERDAY)[0]
    assert f"{days.people_of(clicks):,} people {clicks:,} clicks · time spent not known by browser" in said(
        html(es, **OF_FIREFOX)
    )


def test_time_spent_by_dimension_is_said_to_be_unknown_and_never_zero(es):
    text = html(es, **OF_FIREFOX)
    assert "Time spent is not known by browser" in said(text)
    assert "<strong>Time spent</strong>" not in text
    assert "0 s" not in said(text)
    assert "Per view" not in text


@pytest.mark.parametrize(
    "other", [{"country": "DE"}, {"url": "https://shop.example/"}, {"site": "https://shop.example"}]
)
def test_a_url_a_country_or_a_site_beside_a_value_is_left_out_and_that_is_said(es, other):
    both, alone = html(es, **OF_FIREFOX, **other), html(es, **OF_FIREFOX)
    ((name, value),) = other.items()
    assert f"{name} {value} in the address is left out" in said(both)
    assert labels(both, "Clicks") == labels(alone, "Clicks")
    assert "is left out" not in said(alone)
    links = [attributes["href"] for tag, attributes in Parts(both).elements if tag == "a"]
    assert any(parse_qs(urlsplit(link).query).get(name) == [value] and "dimension" not in link for link in links)


def test_of_a_country_alone_there_is_no_list_by_dimension_but_bots(es):
    text = html(es, country="DE", dimension="os")
    assert "nothing is known of one url, country or site" in said(section(text))
    assert "Windows" not in text
    assert "Bots left out of every url and country" in said(text)
    assert "events of bots, on every url and from every country" in said(text)


@pytest.mark.parametrize("parameters", [{}, BY_DAY, OF_FIREFOX, {"dimension": "bot"}, {"country": "DE"}])
def test_links_within_the_page_lead_somewhere_and_bars_follow_the_form(es, parameters):
    text = html(es, **parameters)
    elements = Parts(text).elements
    within = {attributes["href"][1:] for tag, attributes in elements if attributes.get("href", "").startswith("#")}
    assert within - {attributes.get("id") for _, attributes in elements} == set()
    if "country" not in parameters:  # of which people are not known by the hour, with a link to those by the day
        assert 'class="place"' in text.split("</form>")[1].split("</a>")[0]


def test_a_filter_is_removed_by_one_link_and_kept_by_the_form(es):
    parts = Parts(html(es, **OF_FIREFOX))
    (link,) = {a["href"] for tag, a in parts.elements if tag == "a" and "not this value" in a.get("aria-label", "")}
    assert link == "/?by=hour&from=2026-11-28&to=2026-11-29&dimension=browser"
    fields = {a["name"]: a.get("value") for tag, a in parts.elements if tag == "input"}
    assert fields == {"dimension": "browser", "value": "Firefox", "from": "2026-11-28", "to": "2026-11-29"}


def test_bots_are_named_with_their_events_without_being_asked_for(es):
    text = html(es)
    events = {bot: sum(counted("bot", bot, day)[1] for day in TWO_DAYS) for bot in days.BOTS}
    assert f"Left out: {sum(events.values())} events of bots; they are named below" in said(text)
    bots = section(text, 'id="bots"')
    assert [row_of(bots, bot) for bot in events] == [[str(number)] for number in events.values()]


def test_a_bot_alone_has_events_and_no_people(es):
    text = html(es, dimension="bot", value="Googlebot")
    assert labels(text, "Events")[0].startswith(f"{words.hour_of(days.YESTERDAY)}: 3 events. ")
    assert "<strong>People</strong>" not in text
    assert "Bots are not people" in said(text)
    assert "72 events left out of every other number" in said(text)


def test_all_others_together_have_no_people_and_the_page_says_why(es):
    text = html(es, dimension="browser", value="(other)")
    assert "<strong>People</strong>" not in text
    assert "would count twice" in said(text)
    assert "Browser: all others" in said(text)


def test_an_alias_that_is_missing_is_said_and_all_else_is_there(es):
    del es.documents["clickstream-dimensions"]
    text = html(es)
    assert "There are no dimensions yet" in said(text)
    assert f"{sum(days.clicks_of(days.OPEN, u, c) for u in days.URLS for c in days.COUNTRIES)} clicks" in text
    assert "events of bots" not in said(text.split("<footer>")[0])
    alone = html(es, **OF_FIREFOX)
    assert "There are no dimensions yet, so nothing is known of this value" in said(alone)
    assert "— clicks" in said(alone)
    assert {label.split(": ")[1].split(".")[0] for label in labels(alone, "Clicks")} == {"not known"}


def test_what_is_not_counted_by_dimension_is_unknown_and_no_zero(es):
    kept = [one for one in es.documents["clickstream-dimensions"] if one["day"] != "2026-11-28"]
    es.documents["clickstream-dimensions"] = kept
    text = html(es, **OF_FIREFOX)
    told = Counter("not known" in label for label in labels(text, "Clicks"))
    assert told == {True: 24, False: 15}
    assert "This day has not been counted by dimension" in said(text)
    assert "Sat 28 Nov 2026 has not been counted by dimension, so it is missing here" in said(text)
    assert "at least" in said(text)
    assert "Sat 28 Nov 2026: not known" in labels(html(es, **OF_FIREFOX, **BY_DAY), "Clicks")[1]


def test_a_value_that_nothing_has_is_zero_where_hours_are_counted(es):
    text = html(es, dimension="os", value="Plan 9")
    assert "Nothing was counted of this value by name in these days" in said(text)
    assert all(": 0 clicks." in label for label in labels(text, "Clicks"))


def test_a_value_that_may_be_among_all_others_is_unknown(es):
    es.documents["clickstream-dimensions"] = [
        one
        for one in es.documents["clickstream-dimensions"]
        if (one["start"], one["value"]) != (days.YESTERDAY.isoformat(), "Firefox")
    ]
    text = html(es, **OF_FIREFOX)
    assert ": not known. " in labels(text, "Clicks")[0]
    assert ": not known. " not in "".join(labels(text, "Clicks")[1:])
    assert "this value may be among all others: only the 1,000 most clicked of an hour" in said(text)
    assert "at least 10," in said(text)
    assert "Nothing was counted of this value by name." in said(text)
    assert "may be among" not in said(html(es, dimension="browser", value="Chrome"))
    assert "not one of the 1,000 most clicked" in said(section(text))
    assert "not one of the 1,000 most clicked" not in said(section(html(es, dimension="os")))


@pytest.mark.parametrize("value", [*HOSTILE, days.HOSTILE_VALUE, days.LONG_VALUE, "  ", "(none)"])
def test_what_a_value_says_is_text_and_found_by_its_link(es, value):
    start = {"dimension": "city", "clicks": 7, "events": 7, "unique_users": 4, "state": "final", "value": value}
    es.documents |= {"clickstream-metrics": [], "clickstream-daily": []}
    es.documents["clickstream-dimensions"] = [
        {**start, "span": "hour", "start": days.YESTERDAY.isoformat(), "day": "2026-11-28"},
        {**start, "span": "day", "start": days.YESTERDAY.isoformat(), "day": "2026-11-28"},
        {**start, "span": "day", "start": days.YESTERDAY.isoformat(), "day": "2026-11-28", "dimension": "bot"},
    ]
    listed = html(es, dimension="city")
    links = [a["href"] for tag, a in Parts(section(listed)).elements if tag == "a"]
    link = next(link for link in links if "value=" in link)
    assert parse_qs(urlsplit(link).query, strict_parsing=True)["value"] == [value]
    found = html(es, dimension="city", value=value)
    assert ": 7 clicks. " in labels(found, "Clicks")[0]
    for _, attributes in Parts(found).elements:
        assert len(attributes.get("aria-label") or "") < 300


def test_a_long_value_is_shortened_and_whole_in_its_title(es):
    text = html(es, dimension="utm_campaign", value=days.LONG_VALUE)
    titles = [attributes.get("title") for tag, attributes in Parts(text).elements if tag == "bdi"]
    assert titles.count(days.LONG_VALUE) == 2
    assert days.LONG_VALUE not in said(text)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dimension": "shoe_size"}, "dimension=shoe_size is no dimension: write one of browser, os,"),
        ({"dimension": "browser' OR 1" + "x" * 9_000}, "is no dimension"),
        ({"value": "Firefox"}, "is of no dimension: write dimension=browser"),
        ({"dimension": "browser", "value": "x" * 9_000}, "is too long: write one of 8,192 characters at most"),
    ],
)
def test_a_wrong_address_is_told_with_what_to_write(es, wrong, sentence):
    text = said(html(es, 400, **wrong))
    assert sentence in text
    assert len(text) < 900
    assert es.searches == []


@pytest.mark.parametrize("parameters", [{}, BY_DAY, OF_FIREFOX, {**OF_FIREFOX, **BY_DAY}, {"country": "DE"}])
def test_a_look_is_one_request_of_few_searches(es, parameters, monkeypatch):
    requests = []
    search = es.msearch
    monkeypatch.setattr(es, "msearch", lambda searches: requests.append(searches) or search(searches))
    html(es, **parameters)
    assert len(requests) == 1
    assert len(es.searches) <= 16
    assert all(body["size"] <= 744 and body["timeout"] for _, body in es.searches)
