"""An address says the whole view, and a wrong one is told in a sentence."""

from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.events.urls import InvalidUrl, normalized_url
from clickstream_assets.page.dimension_choice import DIMENSIONS, DimensionChoice
from clickstream_assets.page.invalid_address import InvalidAddress
from clickstream_assets.page.view import MOST_DAYS, Choice, Overview, Page
from clickstream_assets_tests.events.test_shown_text import hostile

TODAY = date(2026, 11, 29)
names = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
urls = st.builds("https://{}.example/{}".format, names, hostile)
countries = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)


@st.composite
def choices(draw):
    country = draw(st.just("") | countries)
    if draw(st.booleans()):
        try:
            return Choice(url=normalized_url(draw(urls)), country=country)
        except InvalidUrl:
            return Choice(url=OTHER, country=country)
    return Choice(country=country, site=draw(st.just("") | st.builds("https://{}.example:8443".format, names)))


@st.composite
def views(draw):
    by = draw(st.sampled_from(["hour", "day"]))
    first = draw(st.dates(date(2000, 1, 1), date(2098, 1, 1)))
    span = by, first, first + timedelta(days=draw(st.integers(0, MOST_DAYS[by] - 1)))
    dimension = DimensionChoice(draw(st.sampled_from(["", *DIMENSIONS])))
    if dimension.name and draw(st.booleans()):
        return Overview(*span, dimension=DimensionChoice(dimension.name, draw(hostile.filter(bool))))
    return Overview(*span, draw(choices()), dimension)


def parameters(address):
    return dict(parse_qsl(urlsplit(address).query, strict_parsing=True))


@given(views())
def test_what_an_address_says_is_the_view_it_was_made_of(view):
    assert Overview.of(parameters(view.address), TODAY) == view


@given(st.integers(300_000, 1_100_000), choices())
def test_so_is_that_of_an_hour(hour, choice):
    page = Page(hour, choice)
    assert (
        Page.of(
            parameters(page.address),
        )
        == Page.of(parameters(page.explanation))
        == page
    )


@given(
    st.dictionaries(
        st.sampled_from(["by", "from", "to", "url", "country", "site", "hour", "dimension", "value"]),
        st.text() | hostile,
    )
)
def test_any_text_is_a_view_or_a_sentence(given_parameters):
    for made in (lambda: Overview.of(given_parameters, TODAY), lambda: Page.of(given_parameters)):
        try:
            made()
        except InvalidAddress as error:
            assert str(error).endswith(".")
            assert len(str(error)) < 300


def test_without_a_word_it_is_yesterday_and_today_by_the_hour():
    assert Overview.of({}, TODAY) == Overview("hour", date(2026, 11, 28), TODAY)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"by": "week"}, "neither hour nor day"),
        ({"from": "yesterday"}, "write it like 2026-01-31"),
        ({"from": "2026-02-30"}, "write it like 2026-01-31"),
        ({"from": "2026-1-1"}, "write it like 2026-01-31"),
        ({"to": "1999-12-31"}, "write it like 2026-01-31"),
        ({"from": "2026-11-29", "to": "2026-11-28"}, "is before the first"),
        ({"from": "2026-10-01", "to": "2026-11-29"}, "or count by the day"),
        ({"by": "day", "from": "2020-01-01", "to": "2026-11-29"}, "400 at most"),
        ({"url": "javascript:alert(1)"}, "write it like https://shop.example/shoes"),
        ({"url": "https://shop.example/" + "a" * 9_000}, "is no web address"),
        ({"country": "Germany"}, "like DE"),
        ({"country": "д1"}, "like DE"),
        ({"site": "https://"}, "write it like https://shop.example"),
        ({"url": "https://a.example/", "site": "https://a.example"}, "leave the url or the site empty"),
    ],
)
def test_a_wrong_address_is_told_with_what_to_write(wrong, words):
    with pytest.raises(InvalidAddress, match=words):
        Overview.of(wrong, TODAY)


@pytest.mark.parametrize("hour", ["", "now", "2026-11-29", "2026-11-29-14:30", "2026-11-29T14:00", "1970-01-01-00:00"])
def test_an_hour_is_a_whole_one(hour):
    with pytest.raises(InvalidAddress, match="2026-01-31-12:00"):
        Page.of({"hour": hour})


def test_what_people_type_is_taken_as_metrics_count_it():
    typed = {"url": " Shop.Example/shoes?utm_source=mail#top ", "country": "de"}
    assert Choice.of(typed) == Choice("https://shop.example/shoes", "DE")
    assert Choice.of({"site": "http://Shop.example:80/shoes"}) == Choice(site="http://shop.example")


def test_bars_are_the_hours_or_the_days():
    hours = Overview("hour", TODAY, TODAY + timedelta(days=1)).moments
    assert (len(hours), hours[0], hours[-1]) == (
        48,
        datetime(2026, 11, 29, tzinfo=UTC),
        datetime(2026, 11, 30, 23, tzinfo=UTC),
    )
    assert len(Overview("day", TODAY, TODAY + timedelta(days=1)).moments) == 2


def test_a_url_takes_the_place_of_a_dimension_and_a_value_that_of_a_url():
    of_firefox = Overview("day", TODAY, TODAY, dimension=DimensionChoice("browser", "Firefox"))
    of_germany = Overview("day", TODAY, TODAY, Choice(country="DE"))
    assert of_firefox.only(country="DE") == of_germany
    assert of_germany.by_dimension("browser", "Firefox") == of_firefox
    both = Overview.of(parameters(of_firefox.address) | {"country": "de"}, TODAY)
    assert (both.choice, both.dimension, both.dropped) == (Choice(), of_firefox.dimension, Choice(country="DE"))
    assert both.over("day", TODAY, TODAY).address == of_firefox.address


def test_a_url_takes_the_place_of_a_site():
    view = Overview("day", TODAY, TODAY, Choice(site="https://a.example"))
    assert view.only(url="https://a.example/x").choice == Choice("https://a.example/x")
    assert view.only(country="DE").choice == Choice(country="DE", site="https://a.example")
