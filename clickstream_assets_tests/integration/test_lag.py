"""How far ingestion is, as the sensor observes it on real servers."""

import itertools
import time

import dagster as dg
import pytest

from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.orchestration.planning import Memory
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, in_one_hour
from clickstream_assets_tests.integration.test_at_rest import event

_NUMBERS = itertools.count()


@pytest.fixture
def pipeline(servers, tmp_path):
    return Pipeline(servers, f"lag-{next(_NUMBERS)}", tmp_path / "sent.jsonl")


def look(pipeline, *, a_minute_later=False):
    """The sensor's answer, and its observation by name: figures, and the table of partitions."""
    if a_minute_later:
        memory = Memory.model_validate_json(pipeline.cursor)
        memory.observed_at, memory.fresh_at = memory.observed_at - 61, memory.fresh_at - 61
        pipeline.cursor = memory.model_dump_json()
    context = dg.build_sensor_context(instance=pipeline.instance, cursor=pipeline.cursor, resources=pipeline.resources)
    answer = pipeline.sensor.evaluate_tick(context)
    pipeline.cursor = answer.cursor or pipeline.cursor
    observed = [e for e in answer.asset_events if isinstance(e, dg.AssetObservation)]
    if not observed:
        return answer, {}, []
    (one,) = observed
    figures = {name: value.value for name, value in one.metadata.items() if name != "partitions"}
    return answer, figures, [record.data for record in one.metadata["partitions"].records]


def materialized(answer):
    return [e.metadata["new_offsets"].value for e in answer.asset_events if isinstance(e, dg.AssetMaterialization)]


def test_lag_and_watermark_are_observed_at_every_tick_and_once_a_minute_at_rest(pipeline):
    recorded = NOW_MS - 120_000
    pipeline.produce([event(f"e{i}", "ada", recorded - 5_000) for i in range(20)])
    answer, figures, partitions = look(pipeline)
    assert answer.run_requests
    assert materialized(answer) == [20]
    assert (figures["lag_events"], figures["end_offsets"]) == (20, 20)
    age = time.time() - (recorded - 5_000) / 1000
    assert age - 30 < figures["lag_seconds"] <= age
    assert len(partitions) == 8
    assert sum(p["lag_events"] for p in partitions) == 20
    assert all(p["committed"] is None for p in partitions), "nothing is committed yet"
    assert "watermark" not in figures, "nothing is stored yet"
    again = look(pipeline)
    assert again[1]["lag_seconds"] > figures["lag_seconds"]
    assert materialized(again[0]) == [], "once a minute is enough to be fresh"

    (request,) = answer.run_requests
    assert pipeline.run(run_config=request.run_config, tags=dict(request.tags)).success
    pipeline.settle()
    answer, figures, partitions = look(pipeline)
    assert answer.asset_events == [], "nothing waits, as seen at the tick before"
    with pipeline.topic() as topic, pipeline.resources["hbase"].books() as books:
        books.watermarks.advance(topic.topic_id(), {0: recorded, 3: recorded - 5_000})
    answer, figures, partitions = look(pipeline, a_minute_later=True)
    assert materialized(answer) == [], "producers were silent"
    assert (figures["lag_events"], figures["lag_seconds"]) == (0, 0.0)
    assert figures["watermark"] == (recorded - 5_000) / 1000, "that of the partition furthest behind"
    assert sum(p["committed"] or 0 for p in partitions) == 20
    assert partitions[3]["watermark"].startswith("20")


def test_the_latest_closed_hour_is_materialized_by_the_first_run_though_nothing_was_ever_sent(pipeline):
    before = int(time.time()) // 3600
    (request,) = look(pipeline)[0].run_requests
    after = int(time.time()) // 3600
    assert hour_of_key(request.tags["dagster/asset_partition_range_end"]) in (before - 1, after - 1)
    assert request.tags["clickstream/why"] == "stale hours"


def test_a_run_reads_what_has_come_since_it_was_asked_for_up_to_the_end_of_its_hours(pipeline):
    earlier, later = NOW_MS - 3 * 3_600_000, NOW_MS - 2 * 3_600_000

    def unread_behind_a_run():
        pipeline.settle()  # the hours that nothing was sent for
        turn = next(_NUMBERS)
        pipeline.produce([event(f"e{turn}-{i}", "ada", earlier) for i in range(20)])
        (request,) = look(pipeline)[0].run_requests
        pipeline.produce([event(f"same-hour-{turn}-{i}", "ada", earlier) for i in range(7)])
        pipeline.produce([event(f"next-hour-{turn}-{i}", "ada", later) for i in range(5)])
        assert pipeline.run(run_config=request.run_config, tags=dict(request.tags)).success
        return pipeline.behind()[0]

    assert in_one_hour(unread_behind_a_run)[1] == 5
    pipeline.settle()
    assert_golden(pipeline)


@pytest.mark.parametrize("job", [SENSOR_JOB, "__ASSET_JOB"])
def test_it_asks_for_nothing_while_a_run_writes_any_of_the_assets_and_observes_even_so(pipeline, job):
    selection = None if job == SENSOR_JOB else frozenset({dg.AssetKey("es_index")})
    run = pipeline.instance.create_run_for_job(
        pipeline.defs.resolve_job_def(job), asset_selection=selection, status=dg.DagsterRunStatus.STARTED
    )
    answer, figures, _ = look(pipeline)
    assert (answer.run_requests or []) == []
    assert answer.skip_message == f"run {run.run_id} is under way"
    assert figures["lag_events"] == 0
    assert look(pipeline)[0].asset_events == []
