"""Stores made by other code or by hand: what cannot work stops before anything is written, the rest is told."""

import re
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic

import dagster as dg
import happybase
import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, KafkaConsumer

from clickstream_assets.books.table_schemas import CLICKS, LEDGER, TABLES
from clickstream_assets.cli.doctor import doctor
from clickstream_assets.cli.setup import setup
from clickstream_assets.enrich.enriching import enrich
from clickstream_assets.enrich.enrichment import EnrichmentUnfit
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.index.aliases import all_indices
from clickstream_assets.settings import settings
from clickstream_assets.stores import preflight
from clickstream_assets.stores.preflight import StoresUnfit
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_days_golden, assert_golden, page_view

HOUR = NOW_MS // 3_600_000 - 2
GERMAN = "84.160.1.1"


@pytest.fixture
def pipeline(servers, tmp_path, request, monkeypatch):
    """A pipeline with one event to read, under the name of the test; nothing is remembered of its stores."""
    monkeypatch.setattr(preflight, "_fit_until", {})
    name = re.sub("[^a-z]+", "-", request.node.name)[-35:].strip("-")
    made = Pipeline(servers, name, tmp_path / "sent.jsonl")
    made.produce([page_view(HOUR, 1, "https://stores.example/", GERMAN)])
    preflight._fit_until.clear()
    return made


@pytest.fixture
def es(pipeline):
    with pipeline.resources["elasticsearch"].client() as client:
        yield client


@contextmanager
def hbase_of(servers):
    with closing(happybase.Connection(servers.hbase_host, servers.hbase_port, timeout=60_000)) as connection:
        yield connection


def written(pipeline):
    """Rows, dead letters, metrics and ledger entries together, of tables that can be asked."""
    with pipeline.resources["hbase"].client() as client:
        there = client.tables()
        names = [name for t in TABLES if t is not LEDGER and (name := pipeline.table(t.name)) in there]
        entries = client.scan(pipeline.table(LEDGER.name), b"", b"", [b"entry"])
        return sum(client.count(name, b"", b"") for name in names) + sum(1 for _ in entries)


def committed(pipeline):
    with pipeline.topic() as topic:
        return {at for at in topic.committed(topic.partitions()).values() if at is not None}


def refused(pipeline):
    """What a run that the sensor asks for says, that writes nothing."""
    with pytest.raises(StoresUnfit) as failure:
        pipeline.tick()
    assert written(pipeline) == 0
    assert committed(pipeline) == set()
    pipeline.instance = dg.DagsterInstance.ephemeral()  # behind a failed run the sensor would pause
    return str(failure.value)


def command(pipeline, monkeypatch, which):
    """Exit code and output of a command on the pipeline's stores."""
    for name, value in pipeline.environment().items():
        if name.startswith("CLICKSTREAM_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLICKSTREAM_GEOIP_DATABASE", str(pipeline.settings.geoip_database))
    settings.cache_clear()
    result = CliRunner().invoke(which)
    settings.cache_clear()
    return result.exit_code, result.output


def warnings_of(pipeline, run):
    logs = pipeline.instance.all_logs(run.run_id)
    return [entry.user_message for entry in logs if entry.level == 30]


def test_an_index_mapped_otherwise_stops_before_anything_is_written_until_it_is_gone(pipeline, es, monkeypatch):
    alias = pipeline.settings.alias
    index = f"{alias}-{rfc3339_of_hour(HOUR)[:7]}"
    guessed = {"hour": {"type": "keyword"}, "url": {"type": "text"}, "country": {"type": "keyword"}}
    es.indices.create(index=index, mappings={"properties": guessed}, aliases={alias: {}})
    differences = ("url as text instead of keyword", "hour as keyword instead of date", "no clicks")
    words = (index, alias, *differences, "delete it")
    for said in (refused(pipeline), command(pipeline, monkeypatch, setup), command(pipeline, monkeypatch, doctor)):
        assert all(word in str(said) for word in words), said
    assert es.count(index=index)["count"] == 0
    with pytest.raises(StoresUnfit, match="url as text"):
        pipeline.materialize("es_index", HOUR)

    es.indices.delete(index=index)
    pipeline.settle()
    assert_golden(pipeline)


def test_an_index_named_like_the_alias_stops_until_it_is_gone(pipeline, es):
    alias = pipeline.settings.alias
    es.indices.create(index=alias)
    assert f"an index named {alias}" in refused(pipeline)
    es.indices.delete(index=alias)
    pipeline.settle()
    assert_golden(pipeline)


def test_indices_of_days_that_do_not_fit_fail_runs_over_days_alone_until_they_are_gone(pipeline, es, monkeypatch):
    of_days = (pipeline.settings.daily_alias, pipeline.settings.dimensions_alias)
    for alias in of_days:
        es.indices.create(index=alias)
    for which in (setup, doctor):
        code, output = command(pipeline, monkeypatch, which)
        assert code == 1
        assert all(f"an index named {alias}," in output for alias in of_days), output
    pipeline.settle()
    assert_golden(pipeline)
    for alias in of_days:
        with pytest.raises(StoresUnfit, match=f"an index named {alias}, .* delete it"):
            pipeline.settle_days()
        assert es.count(index=alias)["count"] == 0
        es.indices.delete(index=alias)
        pipeline.instance = dg.DagsterInstance.ephemeral()  # behind a failed run the sensor would pause
    assert_days_golden(pipeline)


def test_setup_puts_the_index_template_of_each_alias(pipeline, es, monkeypatch):
    code, output = command(pipeline, monkeypatch, setup)
    assert code == 0, output
    for wanted in all_indices(pipeline.settings):
        assert wanted.alias in output
        (template,) = es.indices.get_index_template(name=wanted.alias)["index_templates"]
        assert template["index_template"]["template"]["aliases"] == {wanted.alias: {}}


def test_where_hours_cannot_be_told_of_the_run_goes_on_and_its_log_says_why(pipeline, es, monkeypatch):
    alias = pipeline.settings.hours_alias
    es.indices.create(index=alias)
    code, output = command(pipeline, monkeypatch, doctor)
    assert code == 1
    assert f"an index named {alias}," in output
    pipeline.settle()
    warned = [words for run in pipeline.runs for words in warnings_of(pipeline, run)]
    assert any(f"not told of in {alias}: Elasticsearch at " in words for words in warned), warned
    assert_golden(pipeline)


@pytest.mark.parametrize("name", ["clickstream_data", "clickstream_ingest_ledger", "clickstream_blocks"])
def test_a_table_that_lacks_a_family_stops_until_it_is_made_anew(pipeline, servers, monkeypatch, name):
    table = pipeline.table(name)
    with hbase_of(servers) as connection:
        connection.delete_table(table, disable=True)
        connection.create_table(table, {"entry": {}, "click_data": {}, "strange": {}})
        said = refused(pipeline)
        assert f"The table {table} in HBase at {servers.hbase_host}:{servers.hbase_port} lacks the column famil" in said
        assert f"alter '{table}', {{NAME => '" in said
        for which in (setup, doctor):
            code, output = command(pipeline, monkeypatch, which)
            assert code == 1
            assert said in output
        connection.delete_table(table, disable=True)
    pipeline.settle()
    assert_golden(pipeline)


def member_of(configured):
    """A member of the consumer group. Now and then the library never comes to join: another one is tried then."""
    for _ in range(5):
        other = KafkaConsumer(
            configured.topic,
            bootstrap_servers=configured.kafka_bootstrap_servers.split(","),
            group_id=configured.consumer_group,
            client_id="somebody-else",
            enable_auto_commit=False,
        )
        deadline = monotonic() + 20
        while monotonic() < deadline:
            other.poll(timeout_ms=200)
            if other.assignment():
                return other
        other.close()
    raise AssertionError("no consumer joined the group")


def test_a_consumer_group_in_use_by_somebody_else_stops_until_they_leave(pipeline, monkeypatch):
    configured = pipeline.settings
    with closing(member_of(configured)):
        said = refused(pipeline)
        assert f"The consumer group {configured.consumer_group}" in said
        assert "in use by somebody-else on 127.0.0.1" in said
        assert said in command(pipeline, monkeypatch, setup)[1]
        assert said in command(pipeline, monkeypatch, doctor)[1]
    pipeline.settle()
    assert_golden(pipeline)


def test_what_is_merely_odd_is_told_and_work_goes_on(servers, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_fit_until", {})
    monkeypatch.setattr(preflight, "_told", set())
    pipeline = Pipeline(servers, "merely-odd", tmp_path / "sent.jsonl")
    topic, letters = pipeline.settings.topic, pipeline.table("clickstream_dead_letters")
    with closing(KafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap_servers.split(","))) as admin:
        odd = {"max.message.bytes": "10000", "retention.ms": "80000000"}
        admin.create_topics({topic: {"num_partitions": 1, "configs": odd}}, wait_for_metadata=True)
    with hbase_of(servers) as connection:
        connection.delete_table(letters, disable=True)
        connection.create_table(letters, {"letter": {"time_to_live": 86_400}, "notes": {}})
    pipeline.produce([page_view(HOUR, 1, "https://stores.example/", GERMAN)])

    words = ("one partition", "max.message.bytes=10000", "retention.ms=80000000", "letter for 1 days", "notes")
    code, output = command(pipeline, monkeypatch, setup)
    assert code == 0, output
    assert all(f"Warning: {what}" in output for what in ("The topic", "The table", "The GeoIP database")), output
    assert all(word in output for word in (*words, "over a year ago")), output
    _, output = command(pipeline, monkeypatch, doctor)
    assert all(f"ok   {store}: " in output for store in ("Kafka", "HBase", "Elasticsearch", "GeoIP")), output
    warned = [line for line in output.splitlines() if line.startswith("warn")]
    assert all(any(word in line for line in warned) for word in (*words, "over a year ago")), output

    preflight._fit_until.clear()
    preflight._told.clear()
    told = warnings_of(pipeline, pipeline.materialize("raw_clicks", HOUR))
    assert all(sum(word in line for line in told) == 1 for word in words), told
    pipeline.settle()
    assert_golden(pipeline)
    later = [line for run in pipeline.runs for line in warnings_of(pipeline, run)]
    assert not any(word in line for line in later for word in words), later


def test_a_run_asks_once_what_its_stores_are_like(pipeline, monkeypatch):
    monkeypatch.setattr(preflight, "_GOOD_FOR_SECONDS", 3_600)
    asked = []
    for name in ("kafka", "hbase", "elasticsearch"):
        kind = type(pipeline.resources[name])
        look = kind.misfits
        monkeypatch.setattr(kind, "misfits", lambda self, name=name, look=look: asked.append(name) or look(self))
    pipeline.settle()
    assert sorted(asked) == ["elasticsearch", "hbase", "kafka"]


def test_while_elasticsearch_is_away_events_are_stored_all_the_same(servers, tmp_path):
    nowhere = servers.model_copy(update={"elasticsearch_url": "http://127.0.0.1:9"})
    pipeline = Pipeline(nowhere, "es-away", tmp_path / "sent.jsonl")
    pipeline.produce([page_view(HOUR, 1, "https://stores.example/", GERMAN)])
    assert pipeline.materialize("raw_clicks", HOUR).success
    with pipeline.resources["hbase"].client() as client:
        assert client.count(pipeline.table(CLICKS.name), b"", b"") == 1


def test_warm_spark_workers_open_a_geoip_database_that_was_replaced(servers, tmp_path, monkeypatch):
    path = write_database(tmp_path / "Country.mmdb", {"84.160.0.0/16": {"country": {"iso_code": "DE"}}}, built=7)
    own = Pipeline(servers.model_copy(update={"geoip_database": path}), "replaced-geoip", tmp_path / "sent.jsonl")
    own.produce(
        [page_view(HOUR, 1, "https://stores.example/", GERMAN), page_view(HOUR, 2, "https://a.example/", "::2")]
    )
    own.settle()
    assert {document["country"] for document in own.documents().values()} == {"DE", "ZZ"}

    write_database(path, {"84.160.0.0/16": {"country": {"iso_code": "FR"}}}, ip_version=4, built=8)
    enriched = own.materialize("enriched_clicks", HOUR)
    (event,) = enriched.asset_materializations_for_node("enriched_clicks")[-1:]
    assert (event.metadata["geoip_version"].value, event.metadata["rows_enriched"].value) == ("GeoLite2-City 8", 2)
    assert own.materialize("url_country_metrics", HOUR).success
    assert own.materialize("es_index", HOUR).success
    assert {document["country"] for document in own.documents().values()} == {"FR", "ZZ"}

    geoip, spark = own.resources["geoip"], own.resources["spark"].session
    rules = geoip.rules()
    newer = replace(rules, versions=("GeoLite2-City 9", rules.versions[1]))
    with own.resources["hbase"].books() as books:
        assert enrich(spark, books, [HOUR], rules, ()).rows == 0
        for whole in ((), [HOUR]):
            with pytest.raises(
                EnrichmentUnfit, match=r"^The Spark worker .* has GeoLite2-City 8 in .*Country\.mmdb, .* 9: "
            ):
                enrich(spark, books, [HOUR], newer, whole)
    monkeypatch.setattr(type(geoip), "rules", lambda self: newer)
    with pytest.raises(dg.Failure, match="wants GeoLite2-City 9"):
        own.materialize("enriched_clicks", HOUR)
