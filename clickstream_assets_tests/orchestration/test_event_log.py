"""Dagster's event log with kept connections: what one process writes another reads, and it costs little."""

import shutil
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

import clickstream_assets
from clickstream_assets.orchestration.event_log import KeptSqliteEventLog


@pytest.fixture
def instances(tmp_path, monkeypatch):
    """Two instances on the folder that ``clickstream run`` would make, as two processes have them."""
    shutil.copy(Path(clickstream_assets.__file__).with_name("dagster.yaml"), tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as one, dg.DagsterInstance.from_config(str(tmp_path)) as other:
        yield one, other


@dg.asset
def thing() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3})


@pytest.mark.slow
def test_what_one_writes_the_other_reads(instances):
    one, other = instances
    assert isinstance(one.event_log_storage, KeptSqliteEventLog)
    assert other.get_latest_materialization_event(thing.key) is None
    result = dg.materialize([thing], instance=one)
    found = other.get_latest_materialization_event(thing.key)
    assert found.run_id == result.run_id
    assert found.asset_materialization.metadata["rows"].value == 3


@pytest.mark.slow
def test_connections_are_kept_and_closed_in_the_end(instances, monkeypatch):
    one, _ = instances
    opened = []
    connect = sqlite3.connect

    def counted(*arguments, **others):
        if "event_log.db" in str(arguments[0]):
            opened.append(arguments)
        return connect(*arguments, **others)

    monkeypatch.setattr(sqlite3.dbapi2, "connect", counted)
    monkeypatch.setattr(sqlite3, "connect", counted)
    one.event_log_storage.dispose()
    for number in range(50):
        one.report_runless_asset_event(dg.AssetMaterialization("thing", metadata={"rows": number}))
    assert len(opened) <= 2
    log = Path(one.event_log_storage.get_db_path())
    assert log.with_name("event_log.db-wal").exists()
    assert one.event_log_storage.has_table("event_logs")
    assert not one.event_log_storage.has_table("no_such_table")
