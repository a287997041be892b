from pathlib import Path
from xml.etree import ElementTree

import pytest

from clickstream_assets.local.stack import (
    elasticsearch_server as elasticsearch,
)
from clickstream_assets.local.stack import (
    hbase_server as hbase,
)
from clickstream_assets.local.stack import (
    kafka_server as kafka,
)
from clickstream_assets.local.stack import (
    spark_server as spark,
)
from clickstream_assets.local.stack.ports import Door
from clickstream_assets.local.stack.server import Folders


@pytest.fixture
def folders(tmp_path):
    made = Folders.of(tmp_path / "stack home", "server")
    made.prepare()
    return made


def test_a_start_empties_all_folders_but_the_data(folders):
    for folder in (folders.data, folders.conf, folders.tmp):
        (folder / "file").write_text("of before")
    folders.prepare()
    assert [(folder / "file").exists() for folder in (folders.data, folders.conf, folders.tmp)] == [True, False, False]


def test_kafka_keeps_old_records_and_takes_large_ones():
    properties = kafka.server_properties(Path("/data"), 9092, 9093, Door())
    assert properties["log.retention.hours"] == "-1"
    assert properties["message.max.bytes"] == str(4 * 1024 * 1024)
    assert properties["num.partitions"] == "8"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"


def test_hbase_listens_on_the_loopback_address_only(folders):
    site = hbase.site(folders.data, zookeeper=1, master=2, region_server=3, tmp=folders.tmp, door=Door())
    addresses = [value for name, value in site.items() if name.endswith((".address", ".ipaddress", "quorum"))]
    assert set(addresses) == {"127.0.0.1"}
    assert len(addresses) == 4


def test_hbase_site_is_xml_that_keeps_odd_characters(tmp_path):
    hbase.write_site(tmp_path, {"hbase.tmp.dir": "/a & b/<c>"})
    (found,) = ElementTree.parse(tmp_path / "hbase-site.xml").getroot()
    assert (found.findtext("name"), found.findtext("value")) == ("hbase.tmp.dir", "/a & b/<c>")


@pytest.mark.parametrize(
    ("cells", "served"),
    [
        ({b"info:state": b"OPEN", b"info:server": b"localhost:1"}, True),
        ({b"info:state": b"OPEN", b"info:server": b"localhost:9"}, False),  # of the server that was killed
        ({b"info:state": b"OPENING", b"info:server": b"localhost:1"}, False),
        ({b"info:state": b"CLOSED", b"info:server": b"localhost:9"}, True),  # of a disabled table
        ({}, True),
    ],
)
def test_a_region_is_served_where_it_is_open_now(cells, served):
    assert hbase.is_served(cells, b"localhost:1") is served


def test_numbers_for_elasticsearch_take_seven_bits_a_byte():
    assert [elasticsearch._number(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]


def test_strings_for_elasticsearch_are_counted_in_utf16_units():
    assert elasticsearch._string("é") == b"\x01\xc3\xa9"
    assert elasticsearch._string("𝄞") == b"\x02\xed\xa0\xb4\xed\xb4\x9e"


def test_elasticsearch_gets_its_settings_and_folders():
    arguments = elasticsearch.server_arguments({"b": "2", "a": "1"}, Path("/conf"), Path("/logs"))
    assert arguments.endswith(b"\x02\x01a\0\x011\x01b\0\x012\x05/conf\x05/logs")


def test_elasticsearch_is_open_to_this_machine_only(folders):
    settings = elasticsearch.node_settings(folders, Path("/es"), 9200, 9300, Door())
    assert (settings["network.host"], settings["http.host"]) == ("127.0.0.1", "127.0.0.1")


def test_spark_reckons_in_utc_on_the_loopback_address(folders, tmp_path):
    configuration = spark.configuration(folders, 15002, tmp_path / "python", Door())
    assert configuration["spark.sql.session.timeZone"] == "UTC"
    assert configuration["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert configuration["spark.connect.grpc.maxInboundMessageSize"] == str(128 * 1024 * 1024)


def test_spark_is_given_its_token_and_our_settings_where_no_list_of_processes_shows_them(folders, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_HASH_ROUTES", "true")
    monkeypatch.setenv("SPARK_CONNECT_AUTHENTICATE_TOKEN", "of another server")
    server = spark.SparkConnect(
        folders, 15002, "local[1]", Door(), "a token", settings={"CLICKSTREAM_KAFKA_USER": "me"}
    )
    launch = server.launch()
    given = {
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": "a token",
        "CLICKSTREAM_KAFKA_USER": "me",
        "CLICKSTREAM_HASH_ROUTES": "true",
    }
    assert given.items() <= launch.environment.items()
    assert "a token" not in " ".join(launch.argv)
    kafka_launch = kafka.Kafka(folders, 9092, 9093, Path("/jars"), Door())._launch(["java"])
    assert not [name for name in kafka_launch.environment if name.startswith(("CLICKSTREAM_", "SPARK_CONNECT"))]


def test_with_a_name_public_ports_are_open_to_all_and_the_others_to_this_machine(folders, tmp_path):
    door = Door.named("stack")
    properties = kafka.server_properties(Path("/data"), 9092, 9093, door)
    assert properties["advertised.listeners"] == "PLAINTEXT://stack:9092"
    assert properties["listeners"] == "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"
    site = hbase.site(folders.data, zookeeper=1, master=2, region_server=3, tmp=folders.tmp, door=door)
    assert site["hbase.regionserver.thrift.ipaddress"] == "0.0.0.0"
    assert site["hbase.master.ipc.address"] == site["hbase.regionserver.ipc.address"] == "127.0.0.1"
    node = elasticsearch.node_settings(folders, Path("/es"), 9200, 9300, door)
    # transport on the loopback address: on any other, Elasticsearch makes demands on the kernel
    assert (node["http.host"], node["network.host"]) == ("0.0.0.0", "127.0.0.1")
    connect = spark.configuration(folders, 15002, tmp_path / "python", door)
    assert (connect["spark.connect.grpc.binding.address"], connect["spark.driver.host"]) == ("0.0.0.0", "127.0.0.1")
