"""The url that metrics count by, with golden.py as the second opinion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream_assets.events.urls import DEFAULT_RULES, InvalidUrl, UrlRules, normalized_url
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.events.test_click_event import steady, urls


def by_golden(url):
    try:
        return golden._url(url)
    except golden.Refused:
        return None


def normalized(url, rules=DEFAULT_RULES):
    try:
        return normalized_url(url, rules)
    except InvalidUrl:
        return None


@pytest.mark.slow
@steady
@given(urls())
def test_a_url_is_normalized_as_golden_does_it_and_stays_so(url):
    normal = normalized(url)
    assert normal == by_golden(url)
    assert normal is None or normalized(normal) == normal


@steady
@given(st.text(st.sampled_from("htps:/@[]%.?#&=aZ0:1\\^{|~ ä"), max_size=24).map("http://".__add__))
def test_any_mixture_of_signs_is_read_as_golden_reads_it(url):
    assert normalized(url) == by_golden(url)


HOSTS = [
    ("http://good.example[::1]/a", None),
    ("http://[::1]good.example/a", None),
    ("http://[::1%25eth0]/", None),
    ("http://[1.2.3.4]/", None),
    ("http://[2003:C0::1]:8080/", "http://[2003:c0::1]:8080/"),
    (r"https://shop.example\Cart", None),
    ("https://shop%2eexample/", "https://shop%2eexample/"),
    ("https://shop%2/", None),
    ("https://a|b/", None),
    ("https://shop.example:065535/", "https://shop.example:65535/"),
    ("https://shop.example:65536/", None),
    ("https://shop.example:00443/", "https://shop.example/"),
    ("https://shop.example:0/", "https://shop.example:0/"),
    ("https://shop.example:/", "https://shop.example/"),
    ("https://shop.example:80x/", None),
    ("https://a:b@c@SHOP.example/", "https://shop.example/"),
    ("https://@/", None),
    ("http\u017f://shop.example/", None),
]


@pytest.mark.parametrize(("url", "normal"), HOSTS)
def test_a_host_is_whole_or_the_url_is_refused(url, normal):
    assert normalized(url) == normal


def test_a_port_of_thousands_of_digits_is_none():
    assert normalized(f"https://shop.example:{'9' * 8_000}/") is None
    assert normalized(f"https://shop.example:{'0' * 8_000}81/") == "https://shop.example:81/"


def test_each_parameter_of_the_contracts_list_is_dropped_in_any_case_and_behind_amp():
    for name in (*golden.DROPPED, *(f"{prefix}x" for prefix in golden.PREFIXES_DROPPED)):
        assert normalized(f"https://a.example/?k=1&{name.upper()}=2&amp;{name}=3&{name}") == "https://a.example/?k=1"


def test_a_list_of_ones_own_replaces_the_contracts():
    rules = UrlRules.of([" Ref ", "x_*", ""])
    assert normalized("https://a.example/?ref=1&X_y=2&utm_source=3", rules) == "https://a.example/?utm_source=3"
    assert (
        normalized("https://a.example/?ref=1&utm_source=3", UrlRules.of([])) == "https://a.example/?ref=1&utm_source=3"
    )


@pytest.mark.parametrize(("fragment", "kept"), [("#/cart", True), ("#!cart", True), ("#top", False), ("#", False)])
def test_a_fragment_is_a_page_only_where_hash_routes_are_asked_for(fragment, kept):
    url = f"https://a.example/?gclid=1{fragment}"
    assert normalized(url) == "https://a.example/"
    rules = UrlRules.of(["gclid"], hash_routes=True)
    assert normalized(url, rules) == "https://a.example/" + (fragment if kept else "")
