"""Which urls count by name."""

import pytest

from clickstream_assets.events.url_limits import ALL_URLS, OTHER, CountedUrls, UrlLimits, digest_of, host_of
from clickstream_assets.events.urls import normalized_url

LIMITS = UrlLimits.of(["Shop.example", " *.shop.example ", "", "[::1]"])


@pytest.mark.parametrize(
    ("url", "counts"),
    [
        ("https://shop.example", True),
        ("https://SHOP.example:8443/a?b=//evil.example", True),
        ("https://me@shop.example/", True),
        ("http://m.shop.example/", True),
        ("http://a.b.shop.example/", True),
        ("http://[::1]:8080/", True),
        ("https://shop.example@evil.example/", False),
        ("https://evil.example/shop.example", False),
        ("https://evil.example?shop.example", False),
        ("https://evilshop.example/", False),
        ("https://shop.example.evil.example/", False),
        ("https://shop.example./", False),
        ("http://[::2]/", False),
    ],
)
def test_a_url_counts_by_its_host(url, counts):
    assert LIMITS.takes_host_of(normalized_url(url)) is counts
    assert CountedUrls(LIMITS).name_of(normalized_url(url)) == (normalized_url(url) if counts else OTHER)


def test_without_limits_all_urls_count():
    assert UrlLimits.of([""]) == UrlLimits()
    assert (UrlLimits().words, ALL_URLS.are_all) == ("", True)
    assert ALL_URLS.name_of("https://evil.example/") == "https://evil.example/"


def test_of_urls_that_are_clicked_as_often_the_one_of_the_lower_digest_is_first():
    urls = [f"https://h.example/{n}" for n in range(9)]
    clicks = [(digest_of(url), 7 if url == urls[4] else 1) for url in urls]
    counted = CountedUrls(UrlLimits(most=3)).bounded(clicks)
    first, second = sorted(digest_of(url) for url in urls if url != urls[4])[:2]
    assert counted.kept == {digest_of(urls[4]), first, second}
    assert CountedUrls(UrlLimits(most=3)).bounded(clicks[:3]).kept is None


@pytest.mark.parametrize("host", ["https://shop.example", "shop.example/a", "shop example", "*", "a.*.example", "h:80"])
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match="is no host: write shop"):
        UrlLimits.of([host])


def test_the_host_is_without_its_port():
    assert [host_of(f"http://{place}/a:b]") for place in ("a.example:81", "[::1]:81", "[::1]", "a")] == [
        "a.example", "[::1]", "[::1]", "a",
    ]  # fmt: skip
