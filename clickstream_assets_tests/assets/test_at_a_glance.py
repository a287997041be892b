"""What a materialization carries is small, bounded, and says nothing that it should not."""

import pytest
from dagster_shared.serdes import serialize_value

from clickstream_assets.assets.at_a_glance import of_clicks, of_ingestion, of_refusals
from clickstream_assets.evidence.overviews import HourOverview, UrlFigures, documents_url
from clickstream_assets.ingest.ingestion import IngestReport
from clickstream_assets_tests.evidence.test_pictures import drawn, texts

HOUR = 498_729
URL = "http://localhost:9200/clickstream-metrics/_search"
BUSY = HourOverview(
    clicks=10**9,
    day=(10**9,) * 24,
    countries=tuple((f"X{letter}", 10**8) for letter in "ABCDEFGH"),
    urls=tuple(UrlFigures(f"https://h/{at}/" + "ü" * 8_000, 10**8, 1799.999) for at in range(10)),
)


def test_the_busiest_hour_with_the_longest_urls_takes_a_few_kilobytes():
    metadata = of_clicks(HOUR, BUSY, URL)
    assert sum(len(serialize_value(value)) for value in metadata.values()) < 8_000
    for name in ("clicks_by_country", "clicks_by_hour"):
        drawn(metadata[name].value)
    assert [record.data["url"][-1] for record in metadata["top_urls"].records] == ["…"] * 10


def test_a_table_of_urls_has_shares_and_times_with_their_units():
    seen = HourOverview(
        4, (0,) * 23 + (4,), (("US", 4),), (UrlFigures("https://h/", 3, 12.34), UrlFigures("u", 1, None))
    )
    metadata = of_clicks(HOUR, seen, URL)
    first, second = (record.data for record in metadata["top_urls"].records)
    assert first == {
        "clicks": 3,
        "share": "75.0\N{NO-BREAK SPACE}%",
        "average time": "12.3\N{NO-BREAK SPACE}s",
        "url": "https://h/",
    }
    assert second["average time"] == "unknown"


def test_there_are_no_empty_pictures():
    assert set(of_clicks(HOUR, HourOverview(), URL)) == {"clicks", "documents"}
    after_a_busy_hour = HourOverview(day=(0,) * 22 + (7, 0))
    assert set(of_clicks(HOUR, after_a_busy_hour, URL)) == {"clicks", "clicks_by_hour", "documents"}


def test_refusals_are_drawn_most_frequent_first():
    picture = of_refusals(HOUR, {"too_large": 1, "invalid_json": 3})["refused_by_reason"].value
    assert texts(drawn(picture))[1:] == ["invalid_json 3 (75 %)", "too_large 1 (25 %)"]
    assert of_refusals(HOUR, {}) == {}


@pytest.mark.parametrize("server", ["https://es.example/base", "https://me:secret@es.example/base/?a=b"])
def test_a_link_to_the_documents_holds_no_sign_in(server):
    url = documents_url(server, "clickstream-metrics", HOUR)
    assert url == (
        "https://es.example/base/clickstream-metrics/_search?q=hour:%222026-11-23T09:00:00Z%22"
        "&sort=clicks:desc&size=100&pretty"
    )


def test_offset_ranges_are_a_table_with_what_was_committed():
    report = IngestReport(ranges={0: [(0, 5), (5, 9)], 3: [(7, 8)]}, committed={0: 9})
    metadata = of_ingestion(report)
    assert [tuple(record.data.values()) for record in metadata["offset_ranges"].records] == [
        (0, 0, 9, 9),
        (3, 7, 8, None),
    ]
    assert of_ingestion(IngestReport())["offset_ranges"].records == []
