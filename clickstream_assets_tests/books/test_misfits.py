"""What is odd about stores that are there already, in words, and what of it stops."""

import pytest

from clickstream_assets.books.misfits import LARGEST_EVENT, family_misfits, indices_misfits, topic_misfits
from clickstream_assets.books.table_schemas import CLICKS, families
from clickstream_assets.index.aliases import all_indices, daily_indices, dimensions_indices, metrics_indices
from clickstream_assets.index.document_fields import ADDED, INDEX_MAPPING
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.new_tables import NewTable
from clickstream_assets.stores.kafka.topic_admin import TopicAsItIs

# As a broker tells of a topic made by its defaults.
SETTINGS = {
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "message.timestamp.before.max.ms": "9223372036854775807",
}


def topic(partitions=8, members=(), **settings):
    changed = SETTINGS | {name.replace("_", "."): value for name, value in settings.items()}
    return list(topic_misfits(TopicAsItIs(partitions, changed, members), "clicks", "readers", "kafka:9092"))


def test_a_topic_as_brokers_make_it_is_fit_and_so_is_one_that_is_not_there_or_cannot_be_asked_about():
    assert topic() == []
    assert topic(retention_ms="-1") == []
    for unknown in (TopicAsItIs(0, {}, ()), TopicAsItIs(8, {}, ())):
        assert list(topic_misfits(unknown, "clicks", "readers", "kafka:9092")) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"partitions": 1}, "one partition"),
        ({"max_message_bytes": str(LARGEST_EVENT - 1)}, "max.message.bytes=1048575"),
        ({"message_timestamp_type": "LogAppendTime"}, "message.timestamp.type=LogAppendTime"),
        ({"cleanup_policy": "compact,delete"}, "cleanup.policy=compact,delete"),
        ({"retention_ms": "86399999"}, "retention.ms=86399999"),
        ({"message_timestamp_before_max_ms": "3600000"}, "message.timestamp.before.max.ms=3600000"),
    ],
)
def test_an_odd_topic_is_told_by_name_and_place_and_stops_nothing(odd, words):
    (misfit,) = topic(**odd)
    assert not misfit.stops
    assert all(word in misfit.words for word in (words, "clicks", "kafka:9092"))
    assert misfit.words.count(". ") == 0
    assert misfit.words.endswith(".")


def test_members_of_the_consumer_group_stop_and_are_named_the_first_few_of_many():
    (misfit,) = topic(members=[f"app-{i} on 10.0.0.{i}" for i in range(8)])
    assert misfit.stops
    assert "group readers on Kafka at kafka:9092 is in use by app-0 on 10.0.0.0, app-1" in misfit.words
    assert "app-4 on 10.0.0.4 and 3 more" in misfit.words


TABLE = NewTable("clickstream_data", families(CLICKS, 30))
FOR_EVER = 2_147_483_647


def table(**ttls):
    """Misfits of a table with families by name, each with a TTL as Thrift tells it."""
    return list(
        family_misfits(TABLE, {name: {"time_to_live": ttl} for name, ttl in ttls.items()}, "HBase at hbase:9090")
    )


AS_MADE = {"click_data": FOR_EVER, "geo_data": -1, "user_agent_data": FOR_EVER, "request_data": 30 * 86_400}


def test_a_table_with_its_families_is_fit():
    assert table(**AS_MADE) == []


def test_missing_families_stop_with_the_statement_that_adds_them():
    (misfit,) = table(click_data=FOR_EVER, geo_data=FOR_EVER, clicks=FOR_EVER)
    assert misfit.stops
    assert "table clickstream_data in HBase at hbase:9090 lacks the column families user_agent_data, request_data" in (
        misfit.words
    )
    options = "VERSIONS => '1', BLOOMFILTER => 'ROW', BLOCKCACHE => 'true'"
    assert (
        f"`alter 'clickstream_data', {{NAME => 'user_agent_data', {options}}}, "
        f"{{NAME => 'request_data', {options}, TTL => '2592000'}}`" in misfit.words
    )


def test_other_families_and_another_ttl_are_told_and_stop_nothing():
    strange, long, short = table(**AS_MADE | {"notes": FOR_EVER, "request_data": FOR_EVER, "click_data": 86_400})
    assert not any(misfit.stops for misfit in (strange, long, short))
    assert "notes" in strange.words
    assert {
        "request_data for ever where it should be for 30 days",
        "click_data for 1 days where it should be for ever",
    } == {misfit.words.split(" keeps ")[1].split(":")[0] for misfit in (long, short)}


ALIAS = "clickstream-metrics"


def index(properties=None, behind=True, dynamic="strict"):
    mappings = {"dynamic": dynamic, "properties": INDEX_MAPPING["properties"] if properties is None else properties}
    return {"aliases": {ALIAS: {}} if behind else {}, "mappings": {k: v for k, v in mappings.items() if v is not None}}


def indices(**found):
    named = {name.replace("_", "-"): one for name, one in found.items()}
    return list(indices_misfits(named, metrics_indices(ALIAS), "http://es:9200"))


def test_indices_as_declared_are_fit_and_so_are_others_that_have_nothing_to_do_with_it():
    assert indices() == []
    assert indices(clickstream_metrics_2026_01=index(), clickstream_metrics_backup=index({}, behind=False)) == []


def test_an_index_named_like_the_alias_stops():
    (misfit,) = indices(clickstream_metrics=index(behind=False))
    assert misfit.stops
    assert "http://es:9200 has an index named clickstream-metrics" in misfit.words


def test_an_index_mapped_otherwise_stops_and_those_that_differ_alike_are_told_at_once():
    text = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    guessed = INDEX_MAPPING["properties"] | {"url": text, "hour": {"type": "keyword"}}
    del guessed["users_sketch"]
    (misfit,) = indices(clickstream_metrics_2026_01=index(guessed), other=index(guessed))
    assert misfit.stops
    assert "maps clickstream-metrics-2026-01, other behind the alias clickstream-metrics otherwise" in misfit.words
    for words in ("hour as keyword instead of date", "url as text (fields", "instead of keyword", "no users_sketch"):
        assert words in misfit.words


def test_an_index_of_an_earlier_edition_is_fit_for_what_is_written_to_it_gets_the_new_fields():
    before = {name: field for name, field in INDEX_MAPPING["properties"].items() if name not in ADDED}
    found = {"clickstream-metrics-2026-01": index(before)}
    assert list(indices_misfits(found, metrics_indices(ALIAS), "http://es:9200")) == []
    otherwise = {"clickstream-metrics-2026-01": index(before | {"state": {"type": "text"}})}
    (misfit,) = indices_misfits(otherwise, metrics_indices(ALIAS), "http://es:9200")
    assert misfit.stops


def test_a_months_index_outside_of_the_alias_stops():
    (misfit,) = indices(clickstream_metrics_2026_01=index(behind=False))
    assert misfit.stops
    assert "clickstream-metrics-2026-01 in Elasticsearch at http://es:9200 is not behind the alias" in misfit.words


@pytest.mark.parametrize("dynamic", [None, "true", True, "false"])
def test_an_index_that_takes_undeclared_fields_is_told_and_stops_nothing(dynamic):
    (misfit,) = indices(clickstream_metrics_2026_01=index(dynamic=dynamic))
    assert not misfit.stops
    assert "instead of strict" in misfit.words


ALIASES = all_indices(Settings(first_hour="2026-01-01-00:00"))


@pytest.mark.parametrize("wanted", ALIASES, ids=lambda wanted: wanted.alias)
def test_each_alias_is_looked_at_and_names_the_asset_that_makes_its_documents(wanted):
    name = f"{wanted.alias}-2026" + ("-01" if wanted.alias == ALIAS else "")
    fit = {name: {"aliases": {wanted.alias: {}}, "mappings": wanted.mapping}}
    assert [list(indices_misfits(fit, other, "http://es:9200")) for other in ALIASES] == [[]] * len(ALIASES)

    (taken,) = indices_misfits({wanted.alias: {"aliases": {}, "mappings": {}}}, wanted, "http://es:9200")
    assert taken.stops
    assert f"has an index named {wanted.alias}, which is to be the name of an alias" in taken.words

    (apart,) = indices_misfits({name: {"aliases": {}, "mappings": wanted.mapping}}, wanted, "http://es:9200")
    assert apart.stops
    assert f"materialize `{wanted.asset}` again" in apart.words

    guessed = {name: {"aliases": {wanted.alias: {}}, "mappings": {"properties": {}}}}
    (otherwise,) = indices_misfits(guessed, wanted, "http://es:9200")
    assert otherwise.stops
    assert f"materializing `{wanted.asset}` makes it anew" in otherwise.words


def test_what_is_wrong_behind_one_alias_is_nothing_to_the_others():
    daily, dimensions = daily_indices("clickstream-daily"), dimensions_indices("clickstream-dimensions")
    found = {"clickstream-daily": {"aliases": {}, "mappings": {}}}
    assert len(list(indices_misfits(found, daily, "http://es:9200"))) == 1
    for other in (dimensions, metrics_indices(ALIAS)):
        assert list(indices_misfits(found, other, "http://es:9200")) == []
