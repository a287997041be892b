from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest
from py4j.protocol import Py4JJavaError

from clickstream_assets.local.stack.products import HBASE
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase import new_tables as hbase_admin
from clickstream_assets.stores.hbase.new_tables import NewTable, TablesNotMade, create_tables

TABLE = NewTable(
    "t",
    {"a": {"max_versions": 1, "bloom_filter_type": "ROW", "block_cache_enabled": False}, "b": {"time_to_live": 60}},
    [b"\x20", b"\xe0A"],
)


def test_the_statement_for_hbases_shell_says_all_that_the_table_has():
    assert TABLE.shell_statement().splitlines() == [
        "create 't',",
        "  {NAME => 'a', VERSIONS => '1', BLOOMFILTER => 'ROW', BLOCKCACHE => 'false'},",
        "  {NAME => 'b', TTL => '60'},",
        r"  SPLITS => ['\x20', '\xE0\x41']",
    ]


def test_an_option_that_is_not_known_is_an_error_and_not_forgotten():
    with pytest.raises(KeyError, match="compressoin"):
        NewTable("t", {"a": {"compressoin": "LZ4"}}).shell_statement()


def test_a_folder_without_hbases_client_is_named(tmp_path):
    with pytest.raises(TablesNotMade, match=f"t could not be made: {tmp_path} has no jars"):
        create_tables([TABLE], zookeeper="localhost:2181", jars=tmp_path, java=Path("java"))


@pytest.mark.parametrize(("java", "reason"), [("/no/such/java", "No such file"), ("/bin/false", "Java did not start")])
def test_a_java_that_does_not_start_is_told(tmp_path, java, reason):
    (tmp_path / "hbase-client-2.6.1.jar").touch()
    with pytest.raises(TablesNotMade, match=reason):
        create_tables([TABLE], zookeeper="localhost:2181", jars=tmp_path, java=Path(java))


def test_the_jars_are_looked_for_where_the_stack_puts_them():
    assert Settings.model_fields["hbase_jars"].default.name == HBASE.folder


@pytest.mark.parametrize("address", ["zookeeper", "a:1,b", "a:1, b:2"])
def test_a_zookeeper_without_a_port_is_refused(address):
    with pytest.raises(ValueError, match="hbase_zookeeper"):
        Settings(hbase_zookeeper=address)


def java_error(name):
    """What py4j raises for a Java exception without a cause."""
    exception = Mock(_target_id="o1", _gateway_client=None)
    exception.getClass().getSimpleName.return_value = name
    exception.getMessage.return_value = "says Java"
    exception.getCause.return_value = None
    return Py4JJavaError("An error", exception)


@pytest.fixture
def admin(monkeypatch):
    """HBase's ``Admin``, behind a Java that is not there; each of its tables is available when asked twice."""
    jvm = MagicMock()
    admin = jvm.org.apache.hadoop.hbase.client.ConnectionFactory.createConnection().getAdmin()
    admin.isTableAvailable.side_effect = [False, True, True]
    monkeypatch.setattr(hbase_admin.time, "sleep", lambda _: None)
    admin.create = lambda: hbase_admin._create(jvm, [TABLE, NewTable("u", {"a": {}})], "zookeeper:2181")
    return admin


def test_all_tables_are_under_way_before_one_is_waited_for_and_all_are_available_at_the_end(admin):
    admin.create()
    calls = [name.removeprefix("createTableAsync().") for name, *_ in admin.mock_calls]
    assert calls == ["createTableAsync", "createTableAsync", "get", "get", *["isTableAvailable"] * 3]


@pytest.mark.parametrize("seen", ["at once", "later"])
def test_a_table_that_another_process_makes_meanwhile_is_waited_for(admin, seen):
    exists, future = java_error("TableExistsException"), Mock()
    if seen == "later":
        future.get.side_effect = exists
    admin.createTableAsync.side_effect = [exists if seen == "at once" else future, Mock()]
    admin.create()
    assert admin.isTableAvailable.call_count == 3


def test_what_else_java_says_is_raised(admin):
    admin.createTableAsync.side_effect = java_error("MasterNotRunningException")
    with pytest.raises(Py4JJavaError):
        admin.create()
