"""Hours materialized by hand carry what is downstream along; nothing is lost, nothing loops."""

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from clickstream_assets.automation import FOLLOWED, follow_hand_made_hours
from clickstream_assets.definitions import build
from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.partitions import hourly
from clickstream_assets.settings import Settings
from clickstream_assets_tests.automation.assets_of_paper import CHAIN, Paper, hours
from clickstream_assets_tests.conftest import NOW_MS

OPEN = NOW_MS // 3_600_000
OLD = hour_of_key(hourly.get_first_partition_key())


@pytest.fixture
def paper():
    with dg.DagsterInstance.ephemeral() as instance:
        made = Paper(instance)
        assert made.tick() == {}
        yield made


def all_of(assets, keys):
    return {name: set(keys) for name in assets}


@pytest.mark.parametrize("hour", [OLD, OPEN - 100, OPEN - 1, OPEN])
@pytest.mark.parametrize("at", range(len(CHAIN)))
def test_any_assets_hour_carries_what_is_downstream_along_in_one_run(paper, at, hour):
    (key,) = hours(hour)
    prepare(paper, [key])
    paper.run(CHAIN[at], hours=[key])
    assert paper.follow() == all_of(CHAIN[at + 1 :], [key])
    assert [paper.tick() for _ in range(3)] == [{}, {}, {}]


def prepare(paper, keys):
    """All assets hold the hours, their checks have passed, and nothing waits."""
    paper.run(hours=keys)
    assert paper.tick() == {}


def test_a_range_of_hours_is_followed_by_one_backfill(paper):
    keys = hours(OPEN - 150, 120)
    paper.run("raw_clicks", hours=keys)
    assert paper.tick() == all_of(["enriched_clicks"], keys)
    (request,) = paper.requests
    assert request.requires_backfill_daemon()
    assert request.tags["clickstream/why"] == "followed by hand"
    paper.run("enriched_clicks", hours=keys)
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}, {}, {}]


@pytest.mark.parametrize("count", [1, 5])
def test_a_run_through_all_assets_is_followed_by_nothing(paper, count):
    keys = hours(OPEN - 10, count)
    during = {}
    for name in CHAIN:
        paper.in_step[name] = lambda name=name: during.update({name: paper.tick()})
    paper.run(hours=keys, tags={"dagster/sensor_name": "kafka_offsets"})
    assert during == {name: {} for name in CHAIN}
    paper.run(*CHAIN, hours=keys)
    assert [paper.tick() for _ in range(5)] == [{}] * 5


def test_a_quiet_instance_asks_for_nothing_however_often_it_is_looked_at(paper):
    prepare(paper, hours(OPEN - 20, 10))
    assert [paper.tick() for _ in range(10)] == [{}] * 10


def test_an_update_while_what_follows_is_under_way_is_followed_again(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.run("enriched_clicks", hours=keys)
    seen = []

    def update_and_look():
        paper.run("enriched_clicks", hours=keys)
        seen.append(paper.tick())

    paper.in_step["url_country_metrics"] = update_and_look
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert seen == [{}], "waits for the run that is under way"
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_an_update_between_the_request_and_its_run_is_followed_again(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.run("enriched_clicks", hours=keys)
    assert paper.tick() == all_of(["url_country_metrics", "es_index"], keys)
    paper.run("enriched_clicks", hours=keys)
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_an_update_while_someone_materializes_downstream_by_hand_is_followed(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.in_step["url_country_metrics"] = lambda: paper.run("enriched_clicks", hours=keys)
    paper.run("url_country_metrics", hours=keys)
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_two_updates_between_two_ticks_are_followed_once(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.run("enriched_clicks", hours=keys)
    paper.run("enriched_clicks", hours=keys)
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_an_update_waits_for_the_sensors_run_and_is_left_to_it_where_that_rewrites_the_hour(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.in_step["raw_clicks"] = lambda: (paper.run("enriched_clicks", hours=keys), paper.tick())
    paper.run(hours=keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_an_update_behind_the_step_of_the_sensors_run_is_followed(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    seen = []
    paper.in_step["es_index"] = lambda: (paper.run("enriched_clicks", hours=keys), seen.append(paper.tick()))
    paper.run(hours=keys)
    assert seen == [{"url_country_metrics": set(keys)}], "metrics are free to go, documents are being written"
    paper.run("url_country_metrics", hours=keys)
    assert paper.follow() == all_of(["es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_a_failed_run_is_not_asked_for_again_and_goes_on_once_mended(paper):
    keys = hours(OPEN - 3)
    prepare(paper, keys)
    paper.run("raw_clicks", hours=keys)

    def fail():
        raise ValueError("no room")

    paper.in_step["url_country_metrics"], paper.may_fail = fail, True
    paper.follow()
    assert [paper.tick() for _ in range(3)] == [{}] * 3
    paper.run("url_country_metrics", hours=keys)
    assert paper.follow() == all_of(["es_index"], keys)
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_a_failed_check_holds_back_its_own_hour_and_lets_it_go_once_it_passes(paper):
    keys = hours(OPEN - 9, 5)
    prepare(paper, keys)
    paper.bad_hours = {keys[2]}
    paper.run("enriched_clicks", hours=keys)
    good = set(keys) - paper.bad_hours
    assert paper.tick() == all_of(["url_country_metrics", "es_index"], good)
    # Two stretches: an hour between them is left out.
    for stretch in (keys[:2], keys[3:]):
        paper.run("url_country_metrics", "es_index", hours=stretch)
    assert [paper.tick() for _ in range(3)] == [{}] * 3
    paper.bad_hours = set()
    paper.run("enriched_clicks", hours=[keys[2]])
    assert paper.follow() == all_of(["url_country_metrics", "es_index"], [keys[2]])
    assert [paper.tick() for _ in range(3)] == [{}] * 3


def test_a_materialization_that_was_only_reported_is_followed_too(paper):
    (key,) = hours(OPEN - 3)
    prepare(paper, [key])
    paper.instance.report_runless_asset_event(dg.AssetMaterialization("url_country_metrics", partition=key))
    assert paper.follow() == all_of(["es_index"], [key])


def test_an_hour_that_is_no_partition_is_none_of_our_business(paper):
    paper.instance.report_runless_asset_event(dg.AssetMaterialization("raw_clicks", partition="1999-01-01-00:00"))
    assert paper.tick() == {}


def test_the_projects_own_assets_follow_and_wait_for_their_own_blocking_checks():
    project = build(Settings())
    repository, graph = project.get_repository_def(), project.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys if graph.get(key).automation_condition} == {
        *FOLLOWED
    }
    parent, (key,) = dg.AssetKey("url_country_metrics"), hours(OPEN - 3)
    blocking = [check.name for check in graph.get(parent).check_keys if graph.get(check).blocking]
    with dg.DagsterInstance.ephemeral() as instance:
        cursor, asked = None, []

        def tick():
            nonlocal cursor
            context = dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository)
            answer = follow_hand_made_hours.evaluate_tick(context)
            cursor = answer.cursor
            asked.append([(request.asset_selection, request.partition_key) for request in answer.run_requests or []])

        tick()
        instance.report_runless_asset_event(dg.AssetMaterialization(parent, partition=key))
        tick()
        (target,) = instance.get_latest_storage_id_by_partition(
            parent, dg.DagsterEventType.ASSET_MATERIALIZATION, {key}
        ).values()
        for name in blocking:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    parent,
                    name,
                    passed=True,
                    partition=key,
                    target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                        storage_id=target, run_id="", timestamp=0.0
                    ),
                )
            )
        tick()
        tick()
    assert blocking
    assert asked == [[], [], [([dg.AssetKey("es_index")], key)], []]
