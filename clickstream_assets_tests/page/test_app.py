"""The page without servers: what it takes, what it answers, and that whatever an event says is text."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from elastic_transport import ConnectionError as NoConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.page import explaining
from clickstream_assets.page.app import Pages, application
from clickstream_assets.page.lineage_picture import INDICES, fields
from clickstream_assets.settings import Settings
from clickstream_assets.stores.sign_in import SignInRefused
from clickstream_assets_tests.events.test_shown_text import HOSTILE, hostile
from clickstream_assets_tests.fakes.elasticsearch import FakeElasticsearch

NOW = datetime(2026, 11, 29, 14, 2, 10, tzinfo=UTC)
HOUR = "/hour?hour=2026-11-29-14:00"
EXPLAIN = "/explain?hour=2026-11-29-14:00&url=https://shop.example/&country=DE"


def page(es=None, **configured):
    """A client of the page, on stores that hold what ``es`` does."""
    given_settings = Settings(**configured)
    pages = Pages(given_settings, lambda: es or FakeElasticsearch(), lambda: NOW)
    app = application(pages, given_settings.page_host_names)
    return TestClient(app, "http://localhost:3001", raise_server_exceptions=False)


def failing(error):
    def client():
        raise error

    return TestClient(application(Pages(Settings(), client, lambda: NOW), frozenset({"localhost"})), "http://localhost")


class Parts(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


HARMLESS = {
    "html", "head", "meta", "title", "link", "body", "a", "header", "nav", "main", "footer", "section", "article",
    "h1", "h2", "small", "p", "span", "strong", "em", "code", "bdi", "dl", "dt", "dd", "ul", "ol", "li", "details",
    "summary", "table", "thead", "tbody", "tr", "th", "td", "form", "label", "input", "select", "option", "button",
    "figure", "figcaption", "div", "svg", "defs", "pattern", "rect", "path", "circle", "line", "text", "g", "marker",
}  # fmt: skip
"""What our templates have; none of them runs anything."""


def assert_harmless(html):
    parts = Parts(html)
    assert {tag for tag, _ in parts.elements} <= HARMLESS
    for _, attributes in parts.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "xlink:href"):
            if name in attributes:
                at = urlsplit(attributes[name])
                assert (at.scheme, at.netloc) == ("", ""), attributes[name]
    assert not [c for c in parts.text if not c.isprintable() and c != "\n"]
    return parts


@pytest.mark.parametrize(
    "path", ["/", "/?by=day", HOUR, *(f"/lineage?of={of}&field={name}" for of in INDICES for name in fields(of))]
)
def test_on_empty_stores_every_page_is_there(path):
    answer = page().get(path)
    assert answer.status_code == 200
    assert_harmless(answer.text)


def test_what_does_not_exist_yet_is_said():
    assert "No numbers by the hour have been written yet" in page().get("/").text
    assert "States of hours have not been written yet" in page().get("/").text
    assert "No numbers by the day have been written yet" in page().get("/?by=day").text
    assert "No check has looked at this hour yet" in page().get(HOUR).text
    assert "There are no dimensions yet" in page().get("/").text
    whole = page(FakeElasticsearch(metrics=[], daily=[], hours=[], dimensions=[])).get("/").text
    assert "have been written yet" not in whole
    assert "There are no dimensions yet" not in whole


def test_bots_and_people_are_explained_on_every_page():
    for path in ("/", HOUR, "/lineage"):
        text = page().get(path).text
        assert "Bots are left out of every number" in text
        assert "never be added up" in " ".join(text.split())


@pytest.mark.parametrize(
    "path",
    [
        "/?from=yesterday", "/?by=week", "/?country=Germany", "/?from=2026-01-01", "/hour", "/hour?hour=14",
        "/explain?hour=2026-11-29-14:00", "/lineage?field=password", "/lineage?of=week", "/lineage?of=day&field=hour",
        "/?url=javascript:alert(1)",
        "/?dimension=shoes", "/?value=Firefox",
    ],
)  # fmt: skip
def test_a_wrong_address_is_a_sentence_and_a_way_on(path):
    answer = page().get(path)
    assert answer.status_code == 400
    parts = assert_harmless(answer.text)
    assert "write" in parts.text or "choose fewer days" in parts.text or "name both" in parts.text
    assert ("a", {"href": "/"}) in parts.elements
    assert "Traceback" not in answer.text


def test_no_such_page_is_a_page_too():
    assert page().get("/wp-login.php").status_code == 404
    assert "There is no such page" in page().get("/wp-login.php").text


@pytest.mark.parametrize(
    "error", [NoConnection("http://user:secret@es:9200"), SignInRefused("secret"), ConnectionRefusedError("secret")]
)
def test_without_elasticsearch_it_says_so_and_no_more(error, capsys):
    answer = failing(error).get("/")
    assert answer.status_code == 503
    assert "clickstream doctor" in answer.text
    assert "secret" not in answer.text
    assert "Elasticsearch" in capsys.readouterr().err
    assert failing(error).get("/ready").status_code == 503
    assert failing(error).get("/alive").status_code == 200


@pytest.mark.parametrize("partial", [{"timed_out": True}, {"_shards": {"total": 2, "failed": 1}}])
@pytest.mark.parametrize("path", ["/", HOUR])
def test_a_part_of_the_numbers_is_not_shown_as_all_of_them(partial, path, monkeypatch, capsys):
    whole = FakeElasticsearch(metrics=[], daily=[], hours=[])
    assert page(whole).get(path).status_code == 200
    found = whole._answer("clickstream-metrics")
    monkeypatch.setattr(whole, "_answer", lambda _: found | partial)
    answer = page(whole).get(path)
    assert answer.status_code == 503
    assert "nothing to show" in answer.text
    assert "only a part of it was searched" in capsys.readouterr().err


def test_a_fault_of_ours_is_a_page_without_a_trace():
    answer = TestClient(
        failing(ZeroDivisionError("secret")).app, "http://localhost", raise_server_exceptions=False
    ).get("/")
    assert answer.status_code == 500
    assert "it is in the page's log" in assert_harmless(answer.text).text
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_it_is_read_and_nothing_else(method):
    answer = page().request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_whoever_asks_by_another_name_is_not_answered():
    assert page().get("/", headers={"Host": "evil.example"}).status_code == 400
    assert page(page_hosts="stats.example.com").get("/", headers={"Host": "stats.example.com"}).status_code == 200
    assert page().head("/", headers={"Host": "127.0.0.1:3001"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nowhere", "/?by=week", "/page.css", "/icon.svg", "/alive"])
def test_every_answer_says_what_a_page_of_ours_may_do(path):
    headers = page().get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "style-src": "'self'", "img-src": "'self'", "form-action": "'self'",
        "frame-ancestors": "'none'", "base-uri": "'none'",
    }  # fmt: skip
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


def test_a_style_sheet_asks_for_nothing():
    assert not re.search(r"url\(|@import|@font-face", page().get("/page.css").text)


def stores_that_say(text):
    """Every text that an event or a check may bring along is this one."""
    document = {"url": text, "country": text, "clicks": 3, "unique_users": 2, "measured_views": 1}
    hour = {
        "hour": "2026-11-29T14:00:00Z", "state": "held", "reason": text, "failed_checks": [text], "checks_passed": 1,
        "checks_failed": 1, "refused_by_reason": {text: 1}, "run_id": text, "read": 4, "written_at": NOW.isoformat(),
    }  # fmt: skip
    day = {"day": "2026-11-29", "state": text, **document}
    return FakeElasticsearch(metrics=[document], hours=[hour], daily=[day])


@pytest.mark.parametrize("text", HOSTILE)
def test_what_an_event_says_is_shown_as_text(text):
    client = page(stores_that_say(text))
    for path in ("/", "/?by=day", HOUR, f"{HOUR}&url=https://a.example/{quote(text)}"):
        answer = client.get(path)
        assert answer.status_code in (200, 400)
        assert_harmless(answer.text)
    whole = " ".join(assert_harmless(client.get(HOUR).text).text.split())
    start = " ".join(text.split())[:12]
    assert start.split("\\")[0] in whole or not text.isprintable()


@settings(deadline=None, max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(hostile, st.sampled_from(["/", HOUR, "/lineage", "/explain"]))
def test_nothing_drawn_comes_alive(text, path):
    client = page(stores_that_say(text))
    assert_harmless(client.get(path).text)
    for name in ("url", "country", "site", "from", "hour", "field", "dimension", "value", text or "x"):
        answer = client.get(path, params={name: text})
        assert answer.status_code in (200, 400, 503)
        assert_harmless(answer.text)


def test_a_long_url_is_shortened_and_whole_in_its_title():
    long = "https://shop.example/" + "a" * 3_000
    elements = Parts(page(stores_that_say(long)).get(HOUR).text).elements
    titles = [attributes.get("title") for tag, attributes in elements if tag == "bdi"]
    assert long in titles


def test_a_row_leads_to_its_explanation():
    stores = FakeElasticsearch(metrics=[{"url": "https://shop.example/?a=b&c=d", "country": "DE", "clicks": 3}])
    links = [attributes["href"] for tag, attributes in Parts(page(stores).get(HOUR).text).elements if tag == "a"]
    (link,) = {link for link in links if link.startswith("/explain")}
    assert unquote(link) == "/explain?hour=2026-11-29-14:00&url=https://shop.example/?a=b&c=d&country=DE"


def test_without_hbase_a_number_is_not_explained_and_the_page_says_why():
    answer = page(hbase_port=9).get(EXPLAIN)
    assert answer.status_code == 503
    assert "(HBase) does not answer" in answer.text


def test_two_explanations_at_a_time_are_enough(monkeypatch):
    monkeypatch.setattr(explaining, "_explained", lambda *_: pytest.fail("a third one began"))
    held = [explaining._AT_A_TIME.acquire(blocking=False) for _ in range(2)]
    try:
        assert held == [True, True]
        assert "try again in some seconds" in page().get(EXPLAIN).text
    finally:
        for _ in held:
            explaining._AT_A_TIME.release()


def test_it_links_to_dagster_where_its_address_is_known():
    assert "Dagster" not in page().get("/").text
    assert 'href="https://dagster.example.com"' in page(dagster_url="https://dagster.example.com/").get("/").text


def test_all_its_links_to_dagster_lead_to_the_webserver_that_is_named_for_it():
    hour = {"hour": "2026-11-29T14:00:00Z", "read": 9, "written_at": "2026-11-29T15:01:00Z", "run_id": "5b1c"}
    addresses = {"dagster_url": "https://dagster.example.com", "page_dagster_url": "https://look.example.com/"}
    shown = page(FakeElasticsearch(hours=[hour]), **addresses).get(HOUR).text
    assert 'href="https://look.example.com"' in shown
    assert 'href="https://look.example.com/runs/5b1c"' in shown
    assert "dagster.example.com" not in shown


@pytest.mark.parametrize("path", ["/", HOUR, "/?by=day&country=DE"])
def test_urls_that_do_not_count_by_name_are_found_as_a_site_too(path):
    es = FakeElasticsearch()
    assert page(es).get(path, params=dict(parse_qsl(urlsplit(path).query), site=OTHER)).status_code == 200
    filters = [body["query"]["bool"]["filter"] for _, body in es.searches if "query" in body]
    assert sum({"term": {"url": OTHER}} in chosen for chosen in filters) >= 2
    assert "prefix" not in str(filters)


def test_what_is_asked_is_bounded():
    es = FakeElasticsearch()
    page(es).get("/?by=day&from=2026-01-01&to=2026-11-29")
    page(es).get(HOUR)
    assert len(es.searches) > 10
    for header, body in es.searches:
        assert header["ignore_unavailable"]
        assert body["size"] <= 744
        assert body["timeout"]
