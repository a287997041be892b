"""The analysts' page on a whole pipeline: a number down to its clicks, and nobody's id."""

from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.evidence.page_events import Subject
from clickstream_assets.page.app import Pages, application
from clickstream_assets.page.explaining import MOST_EVENTS
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import SITE
from clickstream_assets_tests.integration.test_explain import target_of
from clickstream_assets_tests.page.test_app import assert_harmless

NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
PERSONAL = {"user_id", "anonymous_id", "ip", "user_agent", "referrer"}


@pytest.fixture(scope="module")
def page(hard):
    client = hard.resources["elasticsearch"].client
    return TestClient(
        application(Pages(hard.settings, client, lambda: NOW), frozenset({"localhost"})), "http://localhost"
    )


def explained(page, target):
    place = {"hour": key_of_hour(target.hour), "url": target.url, "country": target.country}
    return page.get("/explain", params=place)


def test_a_number_is_explained_down_to_its_clicks(page, hard):
    expected = {target_of(key): row for key, row in hard.expected()["metrics"].items()}
    most = sorted(expected, key=lambda target: -expected[target]["clicks"])[:3]
    assert all(target.url.startswith(SITE) for target in most)
    for target in most:
        answer = explained(page, target)
        assert answer.status_code == 200
        text = assert_harmless(answer.text).text
        assert "The same everywhere" in text
        assert text.count("offset ") >= min(expected[target]["clicks"], MOST_EVENTS)
        assert "read its events" in text


def test_no_page_tells_who_somebody_is(page, hard):
    expected = {target_of(key) for key in hard.expected()["metrics"]}
    ids = set()
    with hard.resources["hbase"].books() as books:
        for _, cells in books.hbase.scan(books.tables.clicks, b"", b""):
            row = CLICKS.decode(cells)
            ids |= {str(row[name]) for name in PERSONAL & row.keys()}
    long_ids = {text for text in ids if len(text) > 8}
    assert len(long_ids) > 10
    for target in sorted(expected, key=lambda target: (target.hour, target.url))[:40]:
        shown = explained(page, target).text
        assert [text for text in long_ids if text in shown and text not in target.url] == []


def test_where_there_is_no_document_it_says_why(page, hard):
    target = next(target_of(key) for key in hard.expected()["metrics"])
    answer = explained(page, Subject(target.hour, "https://no.example/", "DE"))
    assert answer.status_code == 200
    assert "There is no document, and none comes out" in answer.text


def test_hours_of_the_pipeline_are_shown(page, hard):
    target = next(target_of(key) for key in hard.expected()["metrics"])
    text = assert_harmless(page.get(f"/hour?hour={key_of_hour(target.hour)}").text).text
    assert target.url.partition("?")[0][:40] in text
