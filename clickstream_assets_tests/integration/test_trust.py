"""Seeded faults: each is caught by the check meant for it, in its hour only, and healed by the documented step."""

from time import time

import pytest

from clickstream_assets.books.row_keys import key_ranges, metrics_key_range
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import FRENCH, GERMAN
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, page_view

MINUTE = 60_000
HOUR = NOW_MS // HOUR_MS - 4
"""The hour that is damaged; the one before and the one after hold events too."""
HOURS = (HOUR - 1, HOUR, HOUR + 1)


def view(hour: int, i: int) -> Message:
    return page_view(hour, i, f"https://trust.example/{i % 3}", (GERMAN, FRENCH)[i % 2])


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    """A pipeline at rest, with 40 events in each of three hours."""
    made = Pipeline(servers, "trust", tmp_path_factory.mktemp("trust") / "sent.jsonl")
    made.produce([view(hour, i) for hour in HOURS for i in range(40)])
    made.settle()
    assert made.failing_checks(*HOURS) == set()
    return made


def a_row(pipeline, hour=HOUR):
    """The key of one row of the hour in ``clickstream_data``."""
    with pipeline.resources["hbase"].client() as client:
        ranges = [pair for part in key_ranges([hour]) for pair in part]
        return next(
            key for start, stop in ranges for key, _ in client.scan(pipeline.table("clickstream_data"), start, stop)
        )


def change(pipeline, table, key, puts, deletes=()):
    with pipeline.resources["hbase"].client() as client:
        client.mutate(pipeline.table(table), [RowMutation(key, puts, deletes)])


def a_metric(pipeline):
    with pipeline.resources["hbase"].client() as client:
        return next(client.scan(pipeline.table("clickstream_metrics"), *metrics_key_range(HOUR, HOUR)))


def a_document(pipeline, es):
    query = {"term": {"hour": HOUR * HOUR_MS}}
    return es.search(index=pipeline.settings.alias, query=query, size=1)["hits"]["hits"][0]


def delete_a_row(pipeline):
    families = ("click_data", "geo_data", "user_agent_data", "request_data")
    change(pipeline, "clickstream_data", a_row(pipeline), {}, [name.encode() for name in families])


def lose_an_enrichment(pipeline):
    change(pipeline, "clickstream_data", a_row(pipeline), {}, [b"geo_data"])


def alter_a_metric(pipeline):
    key, cells = a_metric(pipeline)
    change(pipeline, "clickstream_metrics", key, {b"metrics:clicks": str(int(cells[b"metrics:clicks"]) + 1).encode()})


def delete_a_document(pipeline):
    with pipeline.resources["elasticsearch"].client() as es:
        hit = a_document(pipeline, es)
        es.delete(index=hit["_index"], id=hit["_id"], refresh=True)


def add_a_document(pipeline):
    with pipeline.resources["elasticsearch"].client() as es:
        hit = a_document(pipeline, es)
        document = hit["_source"] | {"url": "https://nobody.example/", "run_id": "nobody"}
        es.index(index=hit["_index"], id="stranger", document=document, refresh=True)


def change_a_field(pipeline):
    with pipeline.resources["elasticsearch"].client() as es:
        hit = a_document(pipeline, es)
        es.update(index=hit["_index"], id=hit["_id"], doc={"country": "AQ"}, refresh=True)


def leave_a_document_behind(pipeline):
    """As if a run had computed its metric anew, to the same sums, and nobody had indexed it."""
    with pipeline.resources["elasticsearch"].client() as es:
        hit = a_document(pipeline, es)
        es.update(index=hit["_index"], id=hit["_id"], doc={"run_id": "older"}, refresh=True)


def lose_a_ledger_row(pipeline):
    with pipeline.resources["hbase"].client() as client:
        table = pipeline.table("clickstream_ingest_ledger")
        prefix = f"hour|{key_of_hour(HOUR)}|"
        share = next(key for key, _ in client.scan(table, prefix.encode(), (prefix[:-1] + "}").encode()))
        place = share.decode().removeprefix(prefix)
        client.mutate(table, [RowMutation(f"range|{place}".encode(), {}, (b"entry",))])


REBUILT = "rebuilt"
FAULTS = {
    # the fault: the asset to materialize, or to rebuild what is before all of them, and the checks that see it
    delete_a_row: (REBUILT, {"books_balance", "clicks_add_up"}),
    lose_an_enrichment: ("enriched_clicks", {"every_row_enriched", "clicks_add_up"}),
    alter_a_metric: ("url_country_metrics", {"clicks_add_up", "documents_match"}),
    delete_a_document: ("es_index", {"documents_match"}),
    add_a_document: ("es_index", {"documents_match"}),
    change_a_field: ("es_index", {"documents_match"}),
    leave_a_document_behind: ("es_index", {"documents_match"}),
    lose_a_ledger_row: (REBUILT, {"books_balance", "offsets_complete"}),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught_in_its_hour_and_healed(pipeline, fault):
    asset, checks = FAULTS[fault]
    fault(pipeline)
    found = pipeline.failing_checks(*HOURS)
    held = {(name, hour) for name, hour in found if name == "held_back"}
    assert found - held == {(name, HOUR) for name in checks}
    assert {hour for _, hour in held} <= {HOUR}

    if asset == REBUILT:
        pipeline.rebuild(HOUR, HOUR + 1)
    else:
        assert pipeline.materialize(asset, HOUR).success
    assert pipeline.behind()[1] > 0, "the other assets are to follow"
    pipeline.settle()
    assert pipeline.failing_checks(*HOURS) == set()
    assert_golden(pipeline)


def test_a_held_hour_keeps_its_contents_while_others_go_on_and_is_released(pipeline):
    """A row too many: the books of the hour do not balance, and nothing that comes in may be built on it."""
    row = a_row(pipeline)
    stranger = row[:-1] + bytes([row[-1] ^ 1])
    cells = {b"click_data:event_type": b"page_view", b"click_data:timestamp": str(HOUR * HOUR_MS).encode()}
    change(pipeline, "clickstream_data", stranger, cells | {b"click_data:source": b"nowhere/0/0"})
    # Runs of the sensor look at what they have read; this is seen by who looks at the whole hour.
    assert ("books_balance", HOUR) in pipeline.failing_checks(*HOURS)
    before = pipeline.documents()
    late = [view(HOUR, 45), view(HOUR - 1, 45)]
    pipeline.produce([Message(message.value, NOW_MS) for message in late])
    pipeline.settle()

    found = pipeline.failing_checks(*HOURS)
    assert ("books_balance", HOUR) in found
    assert {hour for _, hour in found} == {HOUR}
    assert {name for name, _ in found} >= {"held_back"}
    held, free = pipeline.of_hour(HOUR), pipeline.of_hour(HOUR - 1)
    assert held == pipeline.of_hour(HOUR, before)
    assert sum(doc["clicks"] for doc in free.values()) == 41

    change(pipeline, "clickstream_data", stranger, {}, [b"click_data", b"geo_data", b"user_agent_data"])
    assert pipeline.materialize("raw_clicks", HOUR).success
    pipeline.settle()
    assert pipeline.failing_checks(*HOURS) == set()
    assert_golden(pipeline)


def test_a_missing_hour_is_noticed_and_made(pipeline):
    latest = int(time() * 1000 - 10 * MINUTE) // HOUR_MS - 1
    change(pipeline, "clickstream_ingest_ledger", f"state|{key_of_hour(latest)}".encode(), {}, [b"hour"])
    failed = {e.asset_key.to_user_string() for e in pipeline.latest_hour_checks() if not e.passed}
    assert failed == {"raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index"}
    assert pipeline.materialize("raw_clicks", latest).success
    pipeline.settle()
    assert all(evaluation.passed for evaluation in pipeline.latest_hour_checks())


def test_a_check_that_cannot_look_fails(pipeline, monkeypatch):
    from clickstream_assets.evidence import hour_counts

    def gone(*_arguments):
        raise ConnectionError("gone")

    monkeypatch.setattr(hour_counts, "count_rows", gone)
    assert ("books_balance", HOUR) in pipeline.failing_checks(HOUR)
    monkeypatch.undo()
    assert pipeline.failing_checks(HOUR) == set()
