"""Tables as the pipeline makes them on real servers."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import happybase
import psutil
import pytest

from clickstream_assets.books.table_schemas import TABLES
from clickstream_assets.definitions import resources
from clickstream_assets.stores import preflight
from clickstream_assets.stores.hbase import new_tables as hbase_admin
from clickstream_assets.stores.hbase.new_tables import NewTable, TablesNotMade, create_tables
from clickstream_assets.stores.java import java_binary

SALTS = [b"", b"\x20", b"\x40", b"\x60", b"\x80", b"\xa0", b"\xc0", b"\xe0"]


@pytest.fixture
def connection(servers):
    with closing(happybase.Connection(servers.hbase_host, servers.hbase_port, timeout=60_000)) as connection:
        yield connection


def hbase_of(servers, prefix, **changes):
    return resources(servers.model_copy(update={"name_prefix": prefix, **changes})).hbase


def starts(connection, table):
    return sorted(region["start_key"] for region in connection.table(table).regions())


def create(servers, *tables, zookeeper=None):
    create_tables(tables, zookeeper=zookeeper or servers.hbase_zookeeper, jars=servers.hbase_jars, java=java_binary())


def test_new_tables_have_their_regions_and_options_and_are_made_once(servers, connection, monkeypatch):
    hbase = hbase_of(servers, "split-", request_data_ttl_days=7)
    hbase.ensure_tables()
    assert starts(connection, "split-clickstream_data") == SALTS
    assert starts(connection, "split-clickstream_metrics") == [b""]
    families = connection.table("split-clickstream_data").families()
    assert {family["bloom_filter_type"] for family in families.values()} == {b"ROW"}
    assert {family["max_versions"] for family in families.values()} == {1}
    assert families[b"request_data"]["time_to_live"] == 7 * 86_400
    assert families[b"click_data"]["time_to_live"] > 10**9  # for ever
    assert starts(connection, "split-clickstream_blocks") == SALTS
    families = connection.table("split-clickstream_blocks").families()
    lasting = {name for name, family in families.items() if family["time_to_live"] > 10**9}
    assert families.keys() - lasting == {b"todo"}, "addresses and user agents lie there too"
    assert families[b"todo"]["time_to_live"] == 7 * 86_400
    assert lasting == {b"block", b"hour", b"changed"}
    connection.table("split-clickstream_data").put(b"\xe1row", {b"click_data:url": b"here"})

    monkeypatch.setattr(hbase_admin, "create_tables", lambda *_, **__: pytest.fail("started Java for nothing"))
    monkeypatch.setattr(preflight, "_fit_until", {})  # else it would not look for a minute
    hbase.ensure_tables()
    assert connection.table("split-clickstream_data").row(b"\xe1row") == {b"click_data:url": b"here"}


def test_without_zookeeper_the_same_tables_are_made_in_one_region_and_a_warning_says_so(servers, connection, caplog):
    hbase_of(servers, "whole-", hbase_zookeeper="").ensure_tables()
    hbase_of(servers, "same-").ensure_tables()
    for name in (table.name for table in TABLES):
        assert starts(connection, f"whole-{name}") == [b""]
        assert connection.table(f"whole-{name}").families() == connection.table(f"same-{name}").families()
    warnings = [record.getMessage() for record in caplog.records if "one region" in record.getMessage()]
    split = [f"whole-{table.name}" for table in TABLES if table.split_keys]
    assert [name in warning for name, warning in zip(split, warnings, strict=True)] == [True, True]
    assert all("CLICKSTREAM_HBASE_ZOOKEEPER" in warning for warning in warnings)


def test_two_that_make_the_same_table_at_a_time_both_find_it_open(servers, connection):
    table = NewTable("twice", {"f": {"max_versions": 1}}, [b"\x80"])

    def make_and_write(row):
        create(servers, table)
        with closing(happybase.Connection(servers.hbase_host, servers.hbase_port, timeout=60_000)) as own:
            own.table("twice").put(row, {b"f:x": b"1"})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make_and_write, [b"\x01", b"\x81"]))
    assert starts(connection, "twice") == [b"", b"\x80"]
    assert [row for row, _ in connection.table("twice").scan()] == [b"\x01", b"\x81"]


def test_one_zookeeper_of_several_is_enough(servers, connection):
    create(servers, NewTable("one-of-two", {"f": {}}), zookeeper=f"127.0.0.1:9,{servers.hbase_zookeeper}")
    assert b"one-of-two" in connection.tables()


def test_a_zookeeper_that_does_not_answer_is_told_within_seconds(servers):
    hbase = hbase_of(servers, "nowhere-", hbase_zookeeper="127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(TablesNotMade, match=r"127\.0\.0\.1:9: ConnectionLoss.*CLICKSTREAM_HBASE_ZOOKEEPER"):
        hbase.ensure_tables()
    assert time.monotonic() - begun < 15


def test_a_table_that_hbase_refuses_is_told_with_its_reason(servers):
    with pytest.raises(TablesNotMade, match="Illegal character"):
        create(servers, NewTable("no table", {"f": {}}))


def test_java_is_given_so_much_time_and_no_more(servers, monkeypatch):
    monkeypatch.setattr(hbase_admin, "_JAVA_SECONDS", 2.5)
    begun = time.monotonic()
    with pytest.raises(TablesNotMade, match=r"no answer within 2\.5 s|Java did not start"):
        create(servers, NewTable("late", {"f": {}}), zookeeper="10.255.255.1:2181")
    assert time.monotonic() - begun < 6


CALLER = """
import sys
from pathlib import Path
from clickstream_assets.stores.hbase.new_tables import NewTable, create_tables
from clickstream_assets.stores.java import java_binary
create_tables([NewTable("x", {"f": {}})], zookeeper="10.255.255.1:2181", jars=Path(sys.argv[1]), java=java_binary())
"""


def test_java_ends_with_a_caller_that_is_killed(servers):
    with subprocess.Popen([sys.executable, "-c", CALLER, servers.hbase_jars]) as caller:
        java = wait_for(lambda: next(iter(psutil.Process(caller.pid).children()), None))
        time.sleep(1)
        assert java.is_running()
        os.kill(caller.pid, signal.SIGKILL)
    psutil.wait_procs([java], timeout=5)
    assert not java.is_running() or java.status() == psutil.STATUS_ZOMBIE


def wait_for(found, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (it := found()) is not None:
            return it
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")
