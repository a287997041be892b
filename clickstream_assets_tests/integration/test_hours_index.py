"""What a dashboard reads of hours: their state, their checks, their counts, joined with metrics by hour."""

import base64
import json
from collections import Counter, defaultdict
from functools import lru_cache

import dagster as dg
import pytest
from crawleruseragents import is_crawler
from ua_parser import parse as parse_ua

from clickstream_assets.books.row_keys import metrics_key_range
from clickstream_assets.definitions import resources
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.index.document_fields import ADDED, INDEX_MAPPING
from clickstream_assets.index.documents import ensure_template, undeclared
from clickstream_assets.index.hour_fields import HOURS_MAPPING, HOURS_VERSION
from clickstream_assets.partitions import hours_in
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import FRENCH, GERMAN
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, in_one_hour, page_view

HOUR = NOW_MS // HOUR_MS - 4
VIEWS = 30
COUNTED = ("read", "kept", "duplicates", "refused", "late", "bots", "clicks")


def told(pipeline) -> dict[int, dict]:
    """Each hour's document."""
    alias = pipeline.settings.hours_alias
    with pipeline.resources["elasticsearch"].client() as es:
        es.indices.refresh(index=alias)
        hits = es.search(index=alias, size=10_000)["hits"]["hits"]
    assert all(hit["_index"] == f"{alias}-{hit['_id'][:4]}" for hit in hits)
    return {hour_of_key(hit["_id"]): hit["_source"] for hit in hits}


def aggregated(pipeline, alias, **aggs):
    with pipeline.resources["elasticsearch"].client() as es:
        es.indices.refresh(index=alias)
        return es.search(index=alias, size=0, aggs=aggs)["aggregations"]


@lru_cache(None)
def is_bot(agent):
    device = parse_ua(agent).device
    return bool(device and device.family == "Spider") or is_crawler(agent)


def counted_by_hour(pipeline) -> dict[int, Counter]:
    """What was sent, message by message, by golden.py's reading of each."""
    first_ms = pipeline.settings.first_hour_ms
    hours: defaultdict[int, Counter] = defaultdict(Counter)
    seen = set()
    for line in pipeline.record_path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        value, recorded = record.get("value"), record["kafka_timestamp_ms"]
        if "value_base64" in record:
            value = base64.b64decode(record["value_base64"])
        elif value is not None:
            value = value.encode("utf-8", "surrogatepass")
        of_record = hours[max(recorded, first_ms) // HOUR_MS]
        try:
            event = golden.parse(value, recorded, first_ms)
        except golden.Refused as reason:
            of_record.update(["read", "refused", f"refused: {reason}"])
            continue
        hour = event["ms"] // HOUR_MS
        same = (hour, *(event[name] for name in ("id", "user", "type", "url")))
        if event["id"] is not None and same in seen:
            of_record.update(["read", "duplicates"])
            continue
        seen.add(same)
        bot = is_bot(event["ua"])
        hours[hour].update(["read", "kept"])
        hours[hour]["late"] += recorded >= (hour + 1) * HOUR_MS + 600_000
        hours[hour]["bots"] += bot
        hours[hour]["clicks"] += not bot and event["type"] in golden.CLICK_TYPES
    return hours


def test_every_hour_of_the_hard_cases_has_the_counts_of_its_messages(hard):
    def at_rest():
        hard.settle()
        return told(hard)

    this_hour, documents = in_one_hour(at_rest)
    expected = counted_by_hour(hard)
    assert {hour for hour, counts in expected.items() if counts} <= documents.keys()
    for hour, document in documents.items():
        counts = expected[hour]
        found = {name: document.get(name) or 0 for name in COUNTED}
        assert found == {name: counts[name] for name in COUNTED}, key_of_hour(hour)
        reasons = {f"refused: {reason}": n for reason, n in document["refused_by_reason"].items()}
        assert reasons == {name: n for name, n in counts.items() if name.startswith("refused: ")}, key_of_hour(hour)
        assert document["state"] == ("open" if hour >= this_hour else "final"), document
        assert (document["lag"], document["contract_version"]) == (0, 2)
        assert document["checks_passed"] > 10
        assert document["checks_failed"] == len(document["failed_checks"])


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    """Two closed hours of views, some in the open one, and a message that is refused."""
    made = Pipeline(servers, "hours", tmp_path_factory.mktemp("hours") / "sent.jsonl")
    views = [
        page_view(hour, i, f"https://hours.example/{i % 3}", (GERMAN, FRENCH)[i % 2])
        for hour in (HOUR, HOUR + 1)
        for i in range(VIEWS)
    ]
    made.produce([*views, page_view(NOW_MS // HOUR_MS, 0, "https://hours.example/", GERMAN)])
    made.produce([Message(b"no json", HOUR * HOUR_MS)])
    made.settle()
    return made


def test_a_dashboard_counts_states_and_joins_hours_with_metrics(pipeline):
    alias = pipeline.settings.hours_alias
    states = aggregated(
        pipeline,
        alias,
        states={"terms": {"field": "state"}, "aggs": {"kept": {"sum": {"field": "kept"}}}},
        hours={
            "date_histogram": {"field": "hour", "fixed_interval": "1h", "min_doc_count": 1},
            "aggs": {name: {"sum": {"field": name}} for name in ("clicks", "refused")},
        },
    )
    by_state = {bucket["key"]: bucket["kept"]["value"] for bucket in states["states"]["buckets"]}
    assert by_state["final"] + by_state.get("open", 0) == 2 * VIEWS + 1
    of_hours = {bucket["key"] // HOUR_MS: bucket for bucket in states["hours"]["buckets"]}
    assert of_hours[HOUR]["refused"]["value"] == 1
    metrics = aggregated(
        pipeline,
        pipeline.settings.alias,
        hours={
            "terms": {"field": "hour", "size": 100},
            "aggs": {"clicks": {"sum": {"field": "clicks"}}, "states": {"terms": {"field": "state"}}},
        },
    )["hours"]["buckets"]
    assert {bucket["key"] // HOUR_MS for bucket in metrics} == {HOUR, HOUR + 1, NOW_MS // HOUR_MS}
    documents = told(pipeline)
    for bucket in metrics:
        hour = bucket["key"] // HOUR_MS
        assert bucket["clicks"]["value"] == of_hours[hour]["clicks"]["value"] == documents[hour]["clicks"]
        assert [state["key"] for state in bucket["states"]["buckets"]] == [documents[hour]["state"]]
    with pipeline.resources["elasticsearch"].client() as es:
        (template,) = es.indices.get_index_template(name=alias)["index_templates"]
        assert template["index_template"]["version"] == HOURS_VERSION
        assert undeclared(es, alias, HOURS_MAPPING) == []


def tick_while_a_run_is_in_the_way(pipeline):
    """A look that may ask for no run."""
    job = pipeline.defs.resolve_implicit_global_asset_job_def()
    one = frozenset({dg.AssetKey("es_index")})
    status = dg.DagsterRunStatus.STARTED
    run = pipeline.instance.create_run_for_job(job, status=status, asset_selection=one)
    assert pipeline.tick() is None
    pipeline.instance.delete_run(run.run_id)


def test_an_hour_that_is_behind_while_no_run_comes_is_told_as_stale_and_then_as_final(pipeline):
    run_id = told(pipeline)[HOUR]["run_id"]
    with pipeline.resources["hbase"].books() as books:
        books.hours.touch([HOUR])
    tick_while_a_run_is_in_the_way(pipeline)
    documents = told(pipeline)
    assert documents[HOUR]["state"] == "stale"
    assert documents[HOUR]["reason"] == "documents lack what came last: enriched_clicks still to come"
    assert documents[HOUR]["run_id"] == run_id
    assert documents[HOUR + 1]["state"] == "final"
    pipeline.settle()
    documents = told(pipeline)
    assert documents[HOUR]["state"] == "final"
    assert "reason" not in documents[HOUR]
    last = [run.run_id for run in pipeline.runs if HOUR in hours_in(run.dagster_run.tags)][-1]
    assert documents[HOUR]["run_id"] == last != run_id


def test_an_hour_that_a_check_holds_says_which_and_why_and_is_released_with_it(pipeline):
    table = pipeline.table("clickstream_metrics")
    with pipeline.resources["hbase"].client() as client:
        key, cells = next(client.scan(table, *metrics_key_range(HOUR, HOUR)))
        wrong = b"%d" % (int(cells[b"metrics:clicks"]) + 1)
        client.mutate(table, [RowMutation(key, {b"metrics:clicks": wrong})])
    assert ("clicks_add_up", HOUR) in pipeline.failing_checks(HOUR)
    assert pipeline.tick() is None
    held = told(pipeline)[HOUR]
    assert held["state"] == "held"
    assert held["reason"] == "documents stay as they are: url_country_metrics.clicks_add_up failed"
    assert f"url_country_metrics.clicks_add_up: {VIEWS + 1} clicks in the metrics, {VIEWS} in the" in "".join(
        held["failed_checks"]
    )
    assert held["checks_failed"] == len(held["failed_checks"]) >= 2
    assert told(pipeline)[HOUR + 1]["state"] == "final"

    assert pipeline.materialize("url_country_metrics", HOUR).success
    pipeline.settle()
    assert pipeline.failing_checks(HOUR) == set()
    pipeline.settle()
    healed = told(pipeline)[HOUR]
    assert (healed["state"], healed["checks_failed"], healed["failed_checks"]) == ("final", 0, [])
    assert_golden(pipeline)


def test_the_documents_of_an_hour_that_has_ended_say_so_though_nothing_else_changes(pipeline):
    """As if they had been written while it was open: by the state's row and in Elasticsearch."""
    key, alias = f"state|{key_of_hour(HOUR)}".encode(), pipeline.settings.alias
    with pipeline.resources["hbase"].books() as books, pipeline.resources["elasticsearch"].client() as es:
        of_hour = {"term": {"hour": HOUR * HOUR_MS}}

        def reason_and_runs():
            pipeline.settle()
            books.hbase.mutate(books.tables.ledger, [RowMutation(key, {}, (b"hour:closed",))])
            for hit in es.search(index=alias, query=of_hour, size=1_000)["hits"]["hits"]:
                es.update(index=hit["_index"], id=hit["_id"], doc={"state": "open"}, refresh=True)
            tick_while_a_run_is_in_the_way(pipeline)
            return told(pipeline)[HOUR]["reason"], pipeline.settle()

        _, found = in_one_hour(reason_and_runs)
        assert found == ("the hour has just ended: documents still say that it is open", 1)
        states = aggregated(pipeline, alias, states={"terms": {"field": "state"}})["states"]["buckets"]
        assert {bucket["key"]: bucket["doc_count"] for bucket in states}["final"] >= 2 * 6
        assert es.count(index=alias, query={"bool": {"filter": [of_hour, {"term": {"state": "open"}}]}})["count"] == 0
    assert told(pipeline)[HOUR]["state"] == "final"
    assert_golden(pipeline)


def test_an_index_of_an_earlier_edition_gets_the_new_fields_and_stops_nothing(servers):
    stores = resources(servers.model_copy(update={"name_prefix": "earlier-"}))
    alias = stores.elasticsearch.alias
    before = {name: field for name, field in INDEX_MAPPING["properties"].items() if name not in ADDED}
    with stores.elasticsearch.client() as es:
        index = f"{alias}-2026-01"
        es.indices.create(index=index, mappings={**INDEX_MAPPING, "properties": before}, aliases={alias: {}})
        assert stores.elasticsearch.misfits() == []
        ensure_template(es, alias)
        assert undeclared(es, alias, INDEX_MAPPING) == []
