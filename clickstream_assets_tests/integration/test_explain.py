"""``clickstream explain`` on real servers: what it lists is what golden.py expects, and what Kafka holds."""

import json
from collections import defaultdict
from contextlib import nullcontext
from datetime import UTC, datetime

import dagster as dg
import pytest
from click.testing import CliRunner

from clickstream_assets.books.hour_states import HourStates
from clickstream_assets.books.row_keys import event_key, hour_of, metrics_key
from clickstream_assets.books.table_schemas import CLICKS, LEDGER, METRICS
from clickstream_assets.cli import explain as command
from clickstream_assets.cli.main import main
from clickstream_assets.events.click_event import decode
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.evidence.page_events import Subject, gather, look, views
from clickstream_assets.evidence.recomputation import add_up
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import SITE, hard_cases
from clickstream_assets_tests.integration.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    """A pipeline at rest behind the hard cases and demo traffic."""
    made = Pipeline(servers, "explain", tmp_path_factory.mktemp("explain") / "sent.jsonl")
    made.produce(hard_cases(NOW_MS))
    made.produce(list(demo_messages(11, datetime.fromtimestamp(NOW_MS / 1000, UTC), events=1500)))
    made.settle()
    return made


@pytest.fixture(scope="module")
def expected(pipeline):
    """golden.py's metrics, by target."""
    return {target_of(key): row for key, row in pipeline.expected()["metrics"].items()}


@pytest.fixture
def explain(pipeline, monkeypatch):
    """Runs the command on a target; returns its exit code and what it says, decoded with ``--json``."""
    monkeypatch.setattr(command, "settings", lambda: pipeline.settings)
    monkeypatch.setattr(command, "find_instance", lambda _: nullcontext(pipeline.instance))

    def run(target, *options):
        place = [key_of_hour(target.hour), target.url, target.country]
        result = CliRunner().invoke(main, ["explain", *place, *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, json.loads(result.output) if "--json" in options else result.output

    return run


def target_of(key):
    """golden.py's ``hour|url|country`` as a target."""
    hour, url_and_country = key.split("|", 1)
    url, country = url_and_country.rsplit("|", 1)
    return Subject(hour_of_key(f"{hour[:10]}-{hour[11:16]}"), url, country)


def some_of(expected):
    """Documents of every kind: much clicked, long, unmeasured, shared by many, over the hour's end, unknown country."""
    by_clicks = sorted(expected, key=lambda target: -expected[target]["clicks"])
    by_time = sorted(expected, key=lambda target: -expected[target]["time_spent_seconds"])
    unmeasured = [target for target in by_clicks if not expected[target]["measured_views"]]
    demo = [target for target in by_clicks if not target.url.startswith(SITE)]
    visits = [target for target in by_clicks if target.url == f"{SITE}/visit/0"]
    unknown = [target for target in by_clicks if target.country == "ZZ"]
    capped = [target for target in expected if target.url == f"{SITE}/engaged/an-hour"]
    kinds = (by_clicks, by_time, unmeasured, demo, visits, unknown, capped)
    assert all(kinds)
    return list(dict.fromkeys(kind[0] for kind in kinds))


def test_what_is_listed_adds_up_to_what_golden_expects(pipeline, explain, expected):
    for target in some_of(expected):
        code, said = explain(target, "--json", "--limit", "0")
        assert (code, said["same"], said["remarks"]) == (0, True, []), target
        counted = [event for event in said["events"] if event["counts"]]
        times = [event["spent_ms"] for event in counted if event["spent_ms"] is not None]
        want = expected[target]
        assert len(counted) == want["clicks"]
        assert len({event["user_key"] for event in counted}) == want["unique_users"]
        assert len(times) == want["measured_views"]
        assert sum(times) == round(want["time_spent_seconds"] * 1000)
        document = {name: values["document"] for name, values in said["values"].items()}
        assert golden.compare({target: want}, {target: document}) == []
        ended = [event for event in counted if event["end"]]
        assert all(event["end"]["time_ms"] - event["time_ms"] == event["spent_ms"] for event in ended)
        assert {event["ended_by"] for event in ended} <= {"next_click", "left", "sign_of_life"}


def test_every_document_there_is_can_be_explained(pipeline, expected):
    hbase = pipeline.resources["hbase"]
    rows = defaultdict(list)
    with hbase.client() as client:
        for key, cells in client.scan(pipeline.table(CLICKS.name), b"", b""):
            rows[hour_of(key)].append((key, cells))
    for target, want in expected.items():
        users = look(rows[target.hour], target).users
        found = views(gather(rows[target.hour] + rows[target.hour + 1], target, users), target)
        assert golden.compare({target: want}, {target: add_up(found)}) == []


def test_the_offsets_named_hold_these_messages_in_kafka_and_lie_in_the_ranges_and_runs_named(
    pipeline, explain, expected
):
    known = {run.run_id for run in pipeline.runs}
    with pipeline.topic() as topic:
        topic_id = topic.topic_id()
        for target in some_of(expected)[:4]:
            _, said = explain(target, "--json", "--limit", "0")
            for event in said["events"][:25]:
                place = event["kafka"]
                assert place["topic_id"] == topic_id
                ((message,),) = topic.read(place["partition"], place["offset"], place["offset"] + 1)
                sent = decode(message.value, message.timestamp_ms, pipeline.settings.first_hour_ms)
                user = f"anonymous_id:{sent.anonymous_id}" if sent.user_id is None else f"user_id:{sent.user_id}"
                assert (sent.time_ms, sent.url, user) == (event["time_ms"], target.url, event["user_key"])
                assert sent.event_type == event["event_type"]
                if sent.event_id is not None:
                    assert (
                        event["row_key"]
                        == event_key(target.hour, sent.event_id, sent.user_key, sent.event_type, sent.url).hex()
                    )
                holding = [
                    one
                    for one in said["ranges"]
                    if one["partition"] == place["partition"] and one["first"] <= place["offset"] < one["end"]
                ]
                assert len(holding) == 1
            assert sum(one["events"] for one in said["ranges"]) == len(said["events"])
            assert {one["run_id"] for one in said["ranges"]} <= known
            assert said["events_in_no_range"] == 0
            assert {run["status"] for run in said["runs"]} == {"SUCCESS"}
            assert {said["document"]["run_id"], said["metrics_row"]["run_id"]} <= {
                run["run_id"] for run in said["runs"]
            }
            versions = pipeline.resources["geoip"].rules().versions
            assert [(one["geoip_version"], one["user_agent_version"]) for one in said["enrichment"]] == [versions]


def test_tables_show_what_json_holds_and_say_what_they_leave_out(explain, expected):
    target = max(expected, key=lambda target: expected[target]["clicks"])
    _, said = explain(target, "--json", "--limit", "3")
    code, shown = explain(target, "--limit", "3")
    assert code == 0
    assert len(said["events"]) == 3
    assert said["events_not_shown"] > 0
    assert f"{said['events_not_shown']:,} more events are not shown" in shown
    assert "The same everywhere" in shown
    for event in said["events"]:
        assert event["row_key"] in shown
        assert f"{event['kafka']['partition']}/{event['kafka']['offset']}" in shown
    for run in said["runs"]:
        assert f"{run['run_id']}  {run['did']}" in shown


@pytest.fixture
def altered(pipeline):
    """Puts other values into a row's cells, and back again when the test is over."""
    hbase = pipeline.resources["hbase"]
    undo = []

    def put(table, key, **values):
        cells = {table.columns[name].key: value for name, value in values.items()}
        with hbase.client() as client:
            before = client.get(pipeline.table(table.name), [key], list(cells))[key]
            undo.append((pipeline.table(table.name), RowMutation(key, before)))
            client.mutate(pipeline.table(table.name), [RowMutation(key, cells)])

    yield put
    with hbase.client() as client:
        for table, mutation in reversed(undo):
            client.mutate(table, [mutation])


@pytest.fixture
def target(expected):
    """The document with the most time spent."""
    return max(expected, key=lambda target: expected[target]["time_spent_seconds"])


def differing(said):
    return {name for name, values in said["values"].items() if not values["same"]}


@pytest.mark.parametrize(
    ("cell", "value"),
    [("clicks", b"999"), ("clicks", b"none of your business"), ("time_spent_seconds", b"0.001"),
     ("users_sketch", b"no sketch at all")],
)  # fmt: skip
def test_a_metrics_row_that_was_altered_is_told(explain, altered, target, cell, value):
    altered(METRICS, metrics_key(target.hour, target.url, target.country), **{cell: value})
    code, said = explain(target, "--json")
    assert (code, said["same"], differing(said)) == (1, False, {cell})
    (difference,) = [words for words in said["remarks"] if words.startswith("differs")]
    assert difference.startswith(f"differs: {cell}: document ")
    assert any("materialize url_country_metrics" in words for words in said["remarks"])
    code, shown = explain(target)
    assert code == 1
    assert "Not the same everywhere" in shown


def test_another_hours_sketch_in_the_row_is_told(explain, altered, target, expected, pipeline):
    other = next(one for one in expected if one.hour != target.hour and expected[one]["unique_users"] == 1)
    hbase = pipeline.resources["hbase"]
    sketch = METRICS.columns["users_sketch"].key
    key = metrics_key(other.hour, other.url, other.country)
    with hbase.client() as client:
        stolen = client.get(pipeline.table(METRICS.name), [key], [sketch])[key][sketch]
    altered(METRICS, metrics_key(target.hour, target.url, target.country), users_sketch=stolen)
    code, said = explain(target, "--json")
    assert (code, differing(said)) == (1, {"users_sketch"})


def test_an_event_that_was_altered_gives_other_values_when_computed_again(explain, altered, target):
    _, said = explain(target, "--json", "--limit", "0")
    event = next(event for event in said["events"] if event["counts"])
    altered(CLICKS, bytes.fromhex(event["row_key"]), url=f"{SITE}/somewhere-else".encode())
    code, said = explain(target, "--json")
    assert code == 1
    clicks = said["values"]["clicks"]
    assert clicks["document"] == clicks["metrics_row"] == clicks["recomputed"] + 1 == clicks["from_events"] + 1


def test_a_document_changed_deleted_or_doubled_in_elasticsearch_is_told(pipeline, explain, target):
    _, said = explain(target, "--json")
    index, document = said["document"]["index"], said["document"]["id"]
    with pipeline.resources["elasticsearch"].client() as es:
        good = es.get(index=index, id=document)["_source"]
        try:
            es.index(index=index, id=document, document=good | {"clicks": good["clicks"] + 1}, refresh=True)
            code, said = explain(target, "--json")
            assert (code, differing(said)) == (1, {"clicks"})
            assert any("materialize es_index" in words for words in said["remarks"])

            es.delete(index=index, id=document, refresh=True)
            code, said = explain(target, "--json")
            assert (code, said["document"]) == (1, None)
            assert "There is no document, though there are events that count." in said["remarks"]
        finally:
            es.index(index=index, id=document, document=good, refresh=True)
        try:
            es.index(index=index, id="stray", document=good, refresh=True)
            code, said = explain(target, "--json")
            assert (code, differing(said)) == (1, set())
            assert any(f"a second document for this hour, url and country: {index}/stray" in w for w in said["remarks"])
        finally:
            es.delete(index=index, id="stray", refresh=True)
    assert explain(target, "--json")[0] == 0


def test_where_nothing_is_it_says_why(pipeline, explain, expected):
    some = max(expected, key=lambda one: expected[one]["clicks"])
    code, said = explain(Subject(some.hour, f"{SITE}/nobody-was-here", "DE"), "--json")
    assert (code, said["events"], said["document"]) == (0, [], None)
    assert "No event of this url is stored in this hour." in said["remarks"]

    code, said = explain(Subject(some.hour, some.url, "TV"), "--json")
    assert code == 0
    assert any(f"{some.country} ({expected[some]['clicks']})" in words for words in said["remarks"])

    ahead = Subject(NOW_MS // HOUR_MS + 1000, some.url, some.country)
    code, shown = explain(ahead)
    assert code == 0
    assert f"{key_of_hour(ahead.hour)} was never touched" in " ".join(shown.split())

    before = Subject(pipeline.settings.first_hour_ms // HOUR_MS - 1, some.url, some.country)
    assert any("before the first partition" in words for words in explain(before, "--json")[1]["remarks"])


def test_a_page_that_only_bots_saw_is_told(explain, expected, pipeline):
    hbase = pipeline.resources["hbase"]
    bot, url = CLICKS.columns["bot"].key, CLICKS.columns["url"].key
    country = CLICKS.columns["country"].key
    with hbase.client() as client:
        bots = [
            Subject(hour_of(key), cells[url].decode(), cells[country].decode())
            for key, cells in client.scan(pipeline.table(CLICKS.name), b"", b"", (bot, url, country))
            if cells[bot] == b"true"
        ]
    only = next(target for target in bots if target not in expected)
    code, said = explain(only, "--json")
    assert code == 0
    assert [event["left_out"] for event in said["events"]] == ["bot"] * len(said["events"])
    assert any("by bots, which are left out" in words for words in said["remarks"])


def test_a_stale_hour_is_told_with_what_holds_it_back_and_its_failed_checks(pipeline, explain, target):
    hbase, hour = pipeline.resources["hbase"], key_of_hour(target.hour)
    found = {"asset": "es_index", "check": "documents_match", "words": "3 documents too many"}
    pipeline.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(found["asset"]),
            check_name=found["check"],
            partition=hour,
            passed=False,
            description=found["words"],
        )
    )
    with hbase.client() as client:
        states = HourStates(client, pipeline.table(LEDGER.name))
        states.touch([target.hour])
        states.hold("raw_clicks", states.read([target.hour]), {target.hour: ["books_balance"]})
        try:
            code, said = explain(target, "--json")
            _, shown = explain(target)
        finally:
            states.hold("raw_clicks", states.read([target.hour]), {})
    assert (code, said["state"]["stale"]) == (0, True)
    assert found in said["failed_checks"]
    assert found["words"] in shown
    assert any("Not yet up to date: enriched_clicks, url_country_metrics, es_index" in w for w in said["remarks"])
    assert any("held back by checks of raw_clicks that failed (books_balance)" in w for w in said["remarks"])
    pipeline.settle()
    assert explain(target, "--json")[1]["state"]["stale"] is False
