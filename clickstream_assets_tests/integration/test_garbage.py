"""Processes that make rows by the million leave Python's collector of garbage aside."""

import gc

import dagster as dg
import pyarrow as pa
import pytest

from clickstream_assets.definitions import resources
from clickstream_assets.stores.process import NEW_OBJECTS, prepare_process


@pytest.fixture
def thresholds():
    """Those of this process are as they were, afterwards."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_run(servers, thresholds):
    prepare_process.cache_clear()  # a process is prepared once
    gc.set_threshold(700)
    with dg.build_resources({"hbase": resources(servers).hbase}):
        assert gc.get_threshold()[0] == NEW_OBJECTS


def test_a_spark_task(servers):
    def look(batches):
        list(batches)
        yield pa.record_batch({"threshold": [gc.get_threshold()[0]], "frozen": [gc.get_freeze_count()]})

    session = resources(servers).spark.session
    (row,) = session.range(0, 1, 1, 1).mapInArrow(look, "threshold long, frozen long").toArrow().to_pylist()
    assert row["threshold"] == NEW_OBJECTS
    assert row["frozen"] > NEW_OBJECTS  # all that the daemon imported
