"""Every asset says what it is: checks, owner, kinds, freshness, and for each column its meaning and its lineage."""

import dagster as dg
import pytest

from clickstream_assets.definitions import build, defs
from clickstream_assets.settings import Settings

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
TOPIC = "clickstream_topic"
FROM_OUTSIDE = {TOPIC}

every_asset = pytest.mark.parametrize("name", sorted(SPECS))


def columns(name: str) -> dict[str, dg.TableColumn]:
    return {column.name: column for column in SPECS[name].metadata["dagster/column_schema"].columns}


def lineage(name: str) -> dict[str, list[dg.TableColumnDep]]:
    return SPECS[name].metadata["dagster/column_lineage"].deps_by_column


def back_to_the_topic(name: str, column: str) -> set[str]:
    """Columns of the topic at the far end of a column's lineage, followed dependency by dependency."""
    if name == TOPIC:
        return {column}
    ends = [back_to_the_topic(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage(name)[column]]
    return set().union(*ends)


def test_the_assets_are_those_of_the_contract():
    of_hours = {"raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index"}
    assert set(SPECS) == {TOPIC, *of_hours, "daily_metrics", "es_daily_index", "es_dimensions_index"}


@every_asset
def test_has_an_owner_a_description_kinds_and_a_group(name):
    spec = SPECS[name]
    assert spec.owners
    assert len(spec.description) > 40
    assert spec.kinds
    assert spec.group_name == "clickstream"


@every_asset
def test_says_how_far_from_the_message_it_is_and_whether_it_can_tell_a_person(name):
    tags = SPECS[name].tags
    personal = {TOPIC, "raw_clicks", "dead_letters", "enriched_clicks"}
    assert (tags["domain"], tags["pii"]) == ("clickstream", str(name in personal).lower())
    assert tags["tier"]


@pytest.mark.parametrize("name", sorted(SPECS.keys() - FROM_OUTSIDE))
def test_has_a_code_version_and_leads_to_its_code(name):
    assert SPECS[name].code_version
    code = SPECS[name].metadata["dagster/code_references"].code_references
    module = "raw_clicks" if name == "dead_letters" else name
    assert [reference.file_path.endswith(f"/assets/{module}.py") for reference in code] == [True]
    there = build(Settings(repository_url="https://github.com/shop/clicks", repository_branch="live"))
    (spec,) = (spec for spec in there.resolve_all_asset_specs() if spec.key == SPECS[name].key)
    (link,) = spec.metadata["dagster/code_references"].code_references
    assert link.url.startswith(f"https://github.com/shop/clicks/tree/live/clickstream_assets/assets/{module}.py")


@every_asset
def test_has_checks_that_say_what_they_compare(name):
    graph = defs.resolve_asset_graph()
    found = [graph.get_check_spec(key) for key in graph.asset_check_keys if key.asset_key == SPECS[name].key]
    assert found
    assert all(check.description for check in found)


@every_asset
def test_has_a_freshness_policy(name):
    assert SPECS[name].freshness_policy is not None


@every_asset
def test_describes_each_column_and_its_type(name):
    assert columns(name)
    for column in columns(name).values():
        assert column.type, column.name
        assert len(column.description) > 8, column.name


@every_asset
def test_times_and_amounts_have_units(name):
    quantities = ("_ms", "_at", "_time", "timestamp", "_seconds", "_spent", "clicks", "_users", "_views")
    for column in columns(name).values():
        if column.name.endswith(quantities) and "string" not in column.type:
            assert column.tags["unit"], column.name


@every_asset
def test_has_lineage_for_each_of_its_columns(name):
    assert set(lineage(name)) == set(columns(name))
    for column, deps in lineage(name).items():
        # Producers write the topic: nothing of ours is upstream. All else comes from somewhere, the stamps of a run
        # included: they come with the record that they are on.
        assert bool(deps) == (name not in FROM_OUTSIDE), column


@every_asset
def test_lineage_names_columns_that_exist_in_assets_upstream(name):
    upstream = {dep.asset_key for dep in SPECS[name].deps}
    for column, deps in lineage(name).items():
        for dep in deps:
            assert dep.asset_key in upstream, column
            assert dep.column_name in columns(dep.asset_key.to_user_string()), column


@every_asset
def test_the_description_of_a_column_names_what_the_lineage_says(name):
    for column, deps in lineage(name).items():
        words = columns(name)[column].description
        for dep in deps:
            assert f"(/assets/{dep.asset_key.to_user_string()})" in words
            assert f"`{dep.column_name}`" in words
        for sent in back_to_the_topic(name, column) if name != TOPIC else ():
            assert f"`{sent}`" in words


def test_every_document_field_leads_back_to_fields_of_the_message():
    ends = {column: back_to_the_topic("es_index", column) for column in columns("es_index")}
    assert ends["url"] == {"url"}
    assert ends["country"] == {"ip"}
    assert ends["hour"] == {"timestamp", "sent_at", "received_at", "record_time"}
    group = ends["url"] | ends["country"] | ends["hour"]
    assert ends["_id"] == ends["run_id"] == ends["computed_at"] == group
    assert ends["clicks"] == group | {"event_type", "user_agent"}
    assert ends["unique_users"] == ends["users_sketch"] == ends["clicks"] | {"user_id", "anonymous_id"}
    timed = ends["unique_users"] | {"engagement_time_ms"}
    assert ends["measured_views"] == ends["time_spent_seconds"] == ends["average_time_spent"] == timed


def test_every_field_that_a_message_may_have_ends_up_somewhere():
    ends = {
        end for name in SPECS if name != TOPIC for column in columns(name) for end in back_to_the_topic(name, column)
    }
    assert ends == set(columns(TOPIC))
