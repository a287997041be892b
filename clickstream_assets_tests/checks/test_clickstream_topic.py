"""What is said of offsets that nobody has read, and that it stays what the UI shows."""

import asyncio

import dagster as dg
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from clickstream_assets.assets.clickstream_topic import freshness
from clickstream_assets.checks.clickstream_topic import NOTHING_LOST_UNREAD, evaluation, unread

ALL_THERE = unread({0: 5, 1: 0}, {0: 5, 1: 0}, {0: 9, 1: 0})
LOST = unread({0: 5, 1: 0}, {0: 7, 1: 3}, {0: 9, 1: 4})


def test_offsets_before_the_logs_beginning_are_lost():
    assert ALL_THERE.passed
    assert ALL_THERE.figures == {"lost": 0, "unread": 4}
    assert not LOST.passed
    assert LOST.figures == {"lost": 5, "unread": 8}
    assert "partition 0: 2 offsets; partition 1: 3 offsets" in LOST.words


def test_the_sensors_word_stays_however_often_the_topic_is_written_to():
    instance = dg.DagsterInstance.ephemeral()
    key = NOTHING_LOST_UNREAD
    for finding in (LOST, ALL_THERE, LOST):
        instance.report_runless_asset_event(freshness(3))
        instance.report_runless_asset_event(evaluation(key, finding))
        instance.report_runless_asset_event(freshness(1))
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert isinstance(record, AssetCheckExecutionRecord)
        assert record.status.value == ("SUCCEEDED" if finding.passed else "FAILED")
        assert asyncio.run(record.targets_latest_materialization(LoadingContextForTest(instance)))
