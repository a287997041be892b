"""The doctor on servers that are not there, or not what they should be: soon told, with what to do."""

import json
import socket
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from click.testing import CliRunner

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.cli import doctor
from clickstream_assets.definitions import resources
from clickstream_assets.enrich.geoip import GeoIPDatabase
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.settings import Settings, settings
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.hbase import FakeHBase

REMEDIES = {
    "Kafka": "CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS",
    "HBase": "CLICKSTREAM_HBASE_HOST and CLICKSTREAM_HBASE_PORT",
    "Elasticsearch": "CLICKSTREAM_ELASTICSEARCH_URL",
    "Spark": "CLICKSTREAM_SPARK_REMOTE",
}


@pytest.fixture
def sockets():
    """Makes sockets on free ports that accept connections and never answer; or, not listening, refuse them."""
    with ExitStack() as stack:

        def make(*, listening):
            opened = stack.enter_context(socket.socket())
            opened.bind(("127.0.0.1", 0))  # kept open: nobody else gets the port
            if listening:
                opened.listen()
            return opened.getsockname()[1]

        yield make


@pytest.fixture
def point_at(monkeypatch, tmp_path):
    """Points the settings at ports; returns the names of the servers."""

    def point(kafka, hbase, elasticsearch, spark):
        monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS", ",".join(f"127.0.0.1:{port}" for port in kafka))
        monkeypatch.setenv("CLICKSTREAM_HBASE_HOST", "127.0.0.1")
        monkeypatch.setenv("CLICKSTREAM_HBASE_PORT", str(hbase))
        monkeypatch.setenv("CLICKSTREAM_ELASTICSEARCH_URL", f"http://127.0.0.1:{elasticsearch}")
        monkeypatch.setenv("CLICKSTREAM_SPARK_REMOTE", f"sc://127.0.0.1:{spark}/;user_id=someone")
        monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
        settings.cache_clear()

    yield point
    settings.cache_clear()


def findings():
    """Each check's line, and the seconds from the line before it; the exit code is 1."""
    found = {}
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        lines = []

        def echo(line, *args, **kwargs):
            lines.append((line, time.monotonic()))

        patch.setattr(doctor.click, "echo", echo)
        result = CliRunner().invoke(doctor.doctor)
    assert result.exit_code == 1, result.exception
    for line, at in lines:
        mark, what = line.split(":")[0].rsplit(" ", 1)
        found[what] = ("FAIL" in mark, line, at - begun)
        begun = at
    return found


def test_servers_that_refuse_connections_are_told_within_five_seconds_each(sockets, point_at):
    closed = [sockets(listening=False) for _ in range(5)]
    point_at(closed[:2], *closed[2:])
    found = findings()
    for name, remedy in REMEDIES.items():
        failed, line, seconds = found[name]
        assert failed
        assert "refused" in line
        assert "clickstream stack up" in line
        assert remedy in line
        assert seconds < 5, name
    assert all(f"127.0.0.1:{port}" in found["Kafka"][1] for port in closed[:2])


@pytest.mark.slow
def test_servers_that_accept_and_never_answer_are_told_within_ten_seconds_each(sockets, point_at, monkeypatch):
    assert doctor._ANSWER_SECONDS + doctor._PATIENCE_SECONDS < 10
    monkeypatch.setattr(doctor, "_ANSWER_SECONDS", 2)
    closed = sockets(listening=False)
    silent = [sockets(listening=True) for _ in range(4)]
    point_at([closed, silent[0]], *silent[1:])
    found = findings()
    for name, remedy in REMEDIES.items():
        failed, line, seconds = found[name]
        assert failed
        assert "refused" not in line
        assert "clickstream stack up" in line
        assert remedy in line
        assert 2 <= seconds < 8, name  # asked once; some of it is pyspark's import


def test_a_name_that_does_not_exist_is_told_within_five_seconds(sockets, point_at, monkeypatch):
    closed = sockets(listening=False)
    point_at([closed], closed, closed, closed)
    monkeypatch.setenv("CLICKSTREAM_HBASE_HOST", "no-such-host.invalid")
    settings.cache_clear()
    failed, line, seconds = findings()["HBase"]
    assert failed
    assert "no-such-host.invalid" in line
    assert REMEDIES["HBase"] in line
    assert seconds < 5


class Elasticsearch(BaseHTTPRequestHandler):
    """Answers what the doctor asks, to whoever knows the password ``s3/cr@t``."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.headers["Authorization"] == "Basic dXNlcjpzMy9jckB0"  # base64 of user:s3/cr@t
        answer = json.dumps(self._answer() if known else {"error": "who are you?"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_HEAD = do_POST = do_GET

    def _answer(self):
        if "features=" in self.path:  # what the indices are like: of another make
            return {"clickstream-metrics-2026-01": {"aliases": {}, "mappings": {"properties": {}}}}
        return {"status": "green", "count": 3}

    def log_message(self, *arguments):
        pass


@pytest.fixture
def elasticsearch():
    with ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("password", "well", "says"),
    [
        (
            "s3%2Fcr%40t",
            False,
            "status green, 3 documents in clickstream-metrics — The index clickstream-metrics-2026-01",
        ),
        ("s3%2Fcr%40", False, "it refuses user or password: correct CLICKSTREAM_ELASTICSEARCH_USER"),
        ("s3/cr@t", False, "status green, 3 documents"),
    ],
)
def test_no_password_is_printed(elasticsearch, sockets, point_at, monkeypatch, password, well, says):
    closed = sockets(listening=False)
    point_at([closed], closed, elasticsearch, closed)
    monkeypatch.setenv("CLICKSTREAM_ELASTICSEARCH_URL", f"http://user:{password}@127.0.0.1:{elasticsearch}")
    monkeypatch.setenv("CLICKSTREAM_SPARK_REMOTE", f"sc://127.0.0.1:{closed}/;token=s3cret")
    settings.cache_clear()
    found = findings()
    failed, line, _ = found["Elasticsearch"]
    assert (not failed, says in line) == (well, True), line
    assert "s3" not in "".join(line for _, line, _ in found.values())


def test_memory_and_ports_are_looked_at_only_where_servers_are_on_this_machine():
    elsewhere = Settings(
        kafka_bootstrap_servers="kafka:9092",
        hbase_host="hbase",
        elasticsearch_url="http://elasticsearch:9200",
        spark_remote="sc://spark-connect:15002",
    )
    names = [name for name, _ in doctor._checks(elsewhere)]
    assert names == ["Python", "GeoIP", "Kafka", "HBase", "Elasticsearch", "Spark"]
    one_here = elsewhere.model_copy(update={"spark_remote": "sc://localhost:15002"})
    assert {"memory", "ports"} < {name for name, _ in doctor._checks(one_here)}


def geoip_lines(monkeypatch, path):
    monkeypatch.setenv("CLICKSTREAM_GEOIP_DATABASE", str(path))
    monkeypatch.setattr(doctor, "_checks", lambda configured: [("GeoIP", lambda: doctor._geoip(configured))])
    settings.cache_clear()
    result = CliRunner().invoke(doctor.doctor)
    settings.cache_clear()
    return result.exit_code, result.output.splitlines()


def test_a_geoip_database_that_is_old_or_of_no_countries_is_a_warning(monkeypatch, tmp_path):
    record = {"country": {"iso_code": "DE"}}
    new = write_database(tmp_path / "new.mmdb", {"84.160.0.0/16": record}, built=int(time.time()) - 86_400)
    assert geoip_lines(monkeypatch, new) == (0, [f"ok   GeoIP: {GeoIPDatabase(new).version} in {new}"])
    networks = write_database(tmp_path / "asn.mmdb", {"84.160.0.0/16": {"number": 3320}}, kind="GeoLite2-ASN", built=1)
    code, (first, *warnings) = geoip_lines(monkeypatch, networks)
    assert (code, first) == (0, f"ok   GeoIP: GeoLite2-ASN 1 in {networks}")
    assert [line.startswith("warn GeoIP: ") for line in warnings] == [True, True]
    assert "no countries" in warnings[0]
    assert "January 1970, over a year ago" in warnings[1]


def test_a_geoip_database_that_is_not_there_or_is_none_is_a_failure(monkeypatch, tmp_path):
    code, (line,) = geoip_lines(monkeypatch, tmp_path / "no.mmdb")
    assert (code, "FAIL GeoIP: There is no GeoIP database at" in line) == (1, True)
    (tmp_path / "cut.mmdb").write_bytes(b"cut")
    code, (line,) = geoip_lines(monkeypatch, tmp_path / "cut.mmdb")
    assert (code, "cut.mmdb" in line, "CLICKSTREAM_GEOIP_DATABASE" in line) == (1, True, True)


class HBaseWithItsTables:
    """HBase in memory, with the tables as the pipeline makes them."""

    def __init__(self, configured):
        self._rows = FakeHBase()
        self._as_made = {table.name: table.families for table in resources(configured).hbase.new_tables()}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def tables(self):
        return set(self._as_made)

    def families(self, table):
        return self._as_made[table]

    def __getattr__(self, name):
        return getattr(self._rows, name)


HOUR = hour_of_key("2026-11-23-05:00")


@pytest.fixture
def shop():
    """Settings of a pipeline whose tables have a prefix."""
    return Settings(name_prefix="shop-", stale_turn_seconds=90)


@pytest.fixture
def hbase(shop, monkeypatch):
    server = HBaseWithItsTables(shop)
    monkeypatch.setattr("clickstream_assets.stores.hbase.client.HBaseClient", lambda *_, **__: server)
    monkeypatch.setattr(doctor, "require_listener", lambda _: None)
    monkeypatch.setattr("clickstream_assets.stores.hbase.thrift_connection.sign_in", lambda host, port: None)
    return server


def test_hours_that_wait_are_counted_with_when_they_get_their_turn(shop, hbase):
    hours = Books(hbase, TableNames.of("shop-")).hours
    hours.touch([HOUR, HOUR + 1, HOUR + 2])
    hours.mark("indexed", {HOUR: 1})
    good, words, warnings = doctor._hbase(shop)
    assert (good, warnings) == (True, [])
    assert (
        "hours that wait to be computed: 2 (the sensor kafka_offsets takes them at least every 1.5 min, "
        "CLICKSTREAM_STALE_TURN_SECONDS), held by failed checks: 0"
    ) in words


def test_hours_that_failed_checks_hold_are_counted_apart_and_named_with_the_checks(shop, hbase):
    hours = Books(hbase, TableNames.of("shop-")).hours
    seven = range(HOUR, HOUR + 7)
    hours.touch([*seven, HOUR + 7])
    hours.hold("raw_clicks", hours.read(seven), {hour: ["offsets_complete", "books_balance"] for hour in seven})
    hours.touch([HOUR + 1])  # is tried again
    good, words, (warning,) = doctor._hbase(shop)
    assert good
    assert "hours that wait to be computed: 2 (" in words
    assert "held by failed checks: 6" in words
    assert "2026-11-23-05:00 (books_balance, offsets_complete), 2026-11-23-07:00 (" in warning
    assert warning.endswith("2026-11-23-10:00 (books_balance, offsets_complete) and 1 more")


def test_an_hour_whose_last_asset_failed_a_check_is_up_to_date_and_not_held(shop, hbase):
    hours = Books(hbase, TableNames.of("shop-")).hours
    hours.touch([HOUR])
    hours.mark("indexed", {HOUR: 1})
    hours.hold("es_index", hours.read([HOUR]), {HOUR: ["documents_match"]})
    assert "computed: 0 (" in doctor._hbase(shop).words
    assert doctor._hbase(shop).words.endswith("held by failed checks: 0")
