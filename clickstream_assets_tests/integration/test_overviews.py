"""What the UI shows of an hour is what the servers hold of it."""

import json
import urllib.request
from collections import Counter, defaultdict

import dagster as dg

from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.evidence.overviews import HOURS_BEFORE, MOST_COUNTRIES, MOST_URLS, overviews, refused_by_reason
from clickstream_assets_tests.evidence.test_pictures import drawn, texts


def latest(pipeline, asset):
    """The metadata of the latest materialization of each hour."""
    records = pipeline.instance.fetch_materializations(dg.AssetKey(asset), limit=10_000).records
    by_key = {record.partition_key: record.asset_materialization.metadata for record in reversed(records)}
    return {hour_of_key(key): metadata for key, metadata in by_key.items()}


def clicks_by_hour(pipeline):
    """Added up from the documents, one by one: hour to url to clicks, and hour to country to clicks."""
    urls, countries = defaultdict(Counter), defaultdict(Counter)
    for key, document in pipeline.documents().items():
        hour = hour_of_key(f"{key[:10]}-{key[11:16]}")
        urls[hour][document["url"]] += document["clicks"]
        countries[hour][document["country"]] += document["clicks"]
    return urls, countries


def most(counter, number):
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:number])


def test_an_overview_adds_up_the_documents(hard):
    urls, countries = clicks_by_hour(hard)
    with hard.resources["elasticsearch"].client() as es:
        found = overviews(es, hard.settings.alias, [min(urls) - 1, *urls])
    assert found[min(urls) - 1].clicks == 0
    assert len(urls) > 3
    for hour in urls:
        assert found[hour].clicks == urls[hour].total()
        assert found[hour].day == tuple(
            urls[at].total() if at in urls else 0 for at in range(hour - HOURS_BEFORE, hour + 1)
        )
        assert found[hour].countries == most(countries[hour], MOST_COUNTRIES)
        assert tuple((top.url, top.clicks) for top in found[hour].urls) == most(urls[hour], MOST_URLS)


def test_an_hours_materialization_shows_its_clicks(hard):
    urls, countries = clicks_by_hour(hard)
    metadata = latest(hard, "es_index")
    for hour in urls:
        assert metadata[hour]["clicks"].value == urls[hour].total()
        labels = texts(drawn(metadata[hour]["clicks_by_country"].value))[1:]
        assert [tuple(label.split()[:2]) for label in labels[:MOST_COUNTRIES]] == [
            (country, f"{clicks:,}") for country, clicks in most(countries[hour], MOST_COUNTRIES)
        ]
        drawn(metadata[hour]["clicks_by_hour"].value)
        table = metadata[hour]["top_urls"].records
        assert [record.data["clicks"] for record in table] == [clicks for _, clicks in most(urls[hour], MOST_URLS)]


def test_the_link_of_an_hour_finds_its_documents(hard):
    urls, _ = clicks_by_hour(hard)
    metadata = latest(hard, "es_index")
    for hour in urls:
        with urllib.request.urlopen(metadata[hour]["documents"].value, timeout=30) as answer:
            total = json.load(answer)["hits"]["total"]["value"]
        assert total == metadata[hour]["dagster/partition_row_count"].value


def test_refusals_are_those_in_the_table(hard):
    first_hour = hard.settings.first_hour_ms // HOUR_MS
    wanted = defaultdict(Counter)
    with hard.resources["hbase"].books() as books:
        for _, cells in books.hbase.scan(books.tables.dead_letters, b"\0", b"\xff"):
            hour = max(int(cells[b"letter:record_time"]) // HOUR_MS, first_hour)
            wanted[hour][cells[b"letter:reason"].decode()] += 1
        found = refused_by_reason(books, books.ledger.parts(wanted), first_hour)
    assert len(set().union(*wanted.values())) > 8
    assert found == wanted
    metadata = latest(hard, "dead_letters")
    for hour, reasons in wanted.items():
        assert metadata[hour]["dagster/partition_row_count"].value == reasons.total()
        label = texts(drawn(metadata[hour]["refused_by_reason"].value))[1]
        assert label.split()[:2] == [str(part) for part in most(reasons, 1)[0]]


def test_the_offset_ranges_shown_are_those_that_were_read(hard):
    for run in hard.runs:
        events = run.get_asset_materialization_events()
        metadata = next(event.materialization.metadata for event in events if event.asset_key.path[-1] == "raw_clicks")
        rows = [record.data for record in metadata["offset_ranges"].records]
        assert sum(row["end (not included)"] - row["first offset"] for row in rows) == metadata["read"].value


def test_rows_of_raw_and_enriched_clicks_are_counted_by_hour(hard):
    raw, enriched = latest(hard, "raw_clicks"), latest(hard, "enriched_clicks")
    count = "dagster/partition_row_count"
    assert {hour: metadata[count].value for hour, metadata in raw.items()} == {
        hour: metadata[count].value for hour, metadata in enriched.items()
    }
    assert sum(metadata[count].value for metadata in raw.values()) == hard.reconcile().rows
    assert all(metadata["geoip_version"].value.startswith("GeoLite2") for metadata in enriched.values())
    assert key_of_hour(min(raw)) >= hard.settings.first_hour
