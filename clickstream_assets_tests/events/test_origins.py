"""How a visitor came to a page, by what was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream_assets.events.origins import MAX_CAMPAIGN_CHARACTERS, Origin, origin_of

PAGE = "https://shop.example/"


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://www.Search.example/?q=secret", "www.search.example"),
        ("http://news.example:8080/a", "news.example"),
        ("https://ada:pw@news.example", "news.example"),
        ("https://[2001:DB8::1]:80/x", "[2001:db8::1]"),
        ("android-app://com.example.reader/", "com.example.reader"),
        ("https://b\u00fccher.example/x", "b\u00fccher.example"),
        ("news.example/a", None),
        ("//news.example/a", None),
        ("https:///a", None),
        ("https://", None),
        ("https://with space.example/", None),
        ("https://nul\0.example/", None),
        ("about:blank", None),
        ("https://" + "a" * 253, "a" * 253),
        ("https://" + "a" * 254, None),
        (None, None),
    ],
)
def test_the_host_of_a_referrer(referrer, host):
    assert origin_of(referrer, PAGE) == Origin(host)


@pytest.mark.parametrize(
    ("query", "campaign"),
    [
        ("utm_source=mail&utm_medium=cpc&utm_campaign=spring+sale%21", ("mail", "cpc", "spring sale!")),
        ("a=1&amp;utm_source=mail", ("mail", None, None)),
        ("UTM_Source=Mail", ("Mail", None, None)),
        ("utm_source=&utm_source=first&utm_source=second", ("first", None, None)),
        ("utm_source", (None, None, None)),
        ("utm_source=%20%20&utm_medium=%00", (None, None, None)),
        ("utm_term=x&my_utm_source=y", (None, None, None)),
        ("utm_source=%ff", ("\ufffd", None, None)),
        ("utm_source=" + "x" * 200, ("x" * MAX_CAMPAIGN_CHARACTERS, None, None)),
        ("x=utm_source=mail", (None, None, None)),
    ],
)
def test_the_campaign_of_a_url(query, campaign):
    assert origin_of(None, f"{PAGE}?{query}") == Origin(None, *campaign)


def test_what_is_no_query_names_no_campaign():
    assert origin_of(None, "https://shop.example/utm_source=mail#?utm_source=mail") == Origin()


@given(st.text(max_size=600), st.text(max_size=600))
def test_whatever_is_sent_has_an_origin_that_can_be_stored(referrer, query):
    for text in filter(None, origin_of(referrer, f"{PAGE}?utm_source={query}&utm_medium={query}")):
        assert 0 < len(text) <= 253
        assert "\0" not in text
        text.encode()
