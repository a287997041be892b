"""Everything encrypted and signed in at once: the numbers are golden's, and nothing secret is shown anywhere."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
import zlib
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import psutil
import pytest
from pydantic import SecretStr

from clickstream_assets.settings import Settings, settings
from clickstream_assets.stores.elasticsearch.client import elasticsearch_client
from clickstream_assets_tests.acceptance import dimensions, golden
from clickstream_assets_tests.fakes.certificates import Certificates
from clickstream_assets_tests.integration.test_run_command import RunCommand
from clickstream_assets_tests.integration.test_signing_in import as_expected
from clickstream_assets_tests.security.check import exported, mutual_variables
from clickstream_assets_tests.security.mechanisms import secured_cases

EVENTS = 1_500
PLANTED = {
    "CLICKSTREAM_KAFKA_PASSWORD": "planted-kafka-password",
    "CLICKSTREAM_ELASTICSEARCH_PASSWORD": "planted-elasticsearch-password",
    "CLICKSTREAM_ELASTICSEARCH_API_KEY": "planted-api-key",
    "CLICKSTREAM_SPARK_TOKEN": "planted-spark-token",
}
"""A secret in every setting; the webhook's is in its address."""
WEBHOOK_SECRET = "planted-webhook-secret"
RESOURCES = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name }
  allTopLevelResourceDetails { name configuredValues { key value } configFields { name configTypeKey } } } } } }"""
RUNS = """{ runsOrError { ... on Runs { results { id status runConfigYaml parentPipelineSnapshotId tags { key value }
  eventConnection(limit: 1000) { events { ... on MessageEvent { message eventType }
    ... on MaterializationEvent { metadataEntries { label description __typename
      ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr } ... on UrlMetadataEntry { url }
      ... on JsonMetadataEntry { jsonString } } } } } } } } }"""


class Webhook(BaseHTTPRequestHandler):
    """Takes alerts, and keeps them."""

    def do_POST(self):
        self.server.messages.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def webhook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        server.messages = []
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def secured(tmp_path_factory, webhook):
    """``clickstream run --secure``, with what it sent and the environment that leads to it, once all is counted."""
    folder = tmp_path_factory.mktemp("secured")
    record = folder / "sent.jsonl"
    address = f"http://127.0.0.1:{webhook.server_address[1]}/{WEBHOOK_SECRET}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CLICKSTREAM_FIRST_HOUR")
        command = RunCommand(
            folder, "--secure", "--events", EVENTS, "--record", record, own={"CLICKSTREAM_ALERT_WEBHOOK": address}
        )
        try:
            command.wait_for("Dagster is up")
            env = subprocess.check_output(command.command("stack", "env"), env=command.environment, text=True)
            variables = exported(env)
            for name in [name for name in os.environ if name.startswith("CLICKSTREAM_")]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            settings.cache_clear()
            yield SimpleNamespace(command=command, record=record, variables=variables, printed=env)
        finally:
            command.process.terminate()
            command.end()
            settings.cache_clear()


def documents(configured: Settings, monkeypatch, alias: str, fields, key_of) -> dict:
    """What is behind an alias, by golden's own reader through our client."""
    with elasticsearch_client(configured.elasticsearch_url) as es:
        if not es.indices.exists_alias(name=alias):
            return {}
        monkeypatch.setattr(golden, "_post", lambda _, body: es.search(index=alias, body=body).body)
        return golden.fetch("", alias, fields, key_of)


def differences_to_golden(configured: Settings, monkeypatch, lines: list[str]) -> list[str]:
    """Of hours, days and dimensions."""
    first = configured.first_hour
    rules = lines, str(configured.geoip_database), f"{first[:10]}T{first[11:13]}"
    expected = golden.expect(*rules)
    by_alias = (
        (configured.alias, expected["metrics"], ("hour", "url", "country"), golden._hour_key),
        (configured.daily_alias, expected["daily"], ("day", "scope", "site", "url", "country"), golden._day_key),
        (
            configured.dimensions_alias,
            dimensions.expect(*rules),
            ("span", "start", "dimension", "value"),
            dimensions.key_of,
        ),
    )
    return [
        f"{alias}: {words}"
        for alias, wanted, *places in by_alias
        for words in golden.compare(wanted, documents(configured, monkeypatch, alias, *places))
    ]


def test_the_whole_pipeline_is_golden_with_everything_secured(secured, monkeypatch):
    configured = settings()
    assert (configured.kafka_protocol, configured.hbase_protocol) == ("SASL_SSL", "https")
    assert configured.elasticsearch_url.startswith("https://")
    deadline, differences = time.monotonic() + 360, ["not looked at yet"]
    while differences and time.monotonic() < deadline:
        time.sleep(2)
        lines = secured.record.read_text().splitlines() if secured.record.exists() else []
        if len(lines) >= EVENTS:
            differences = differences_to_golden(configured, monkeypatch, lines)
    assert differences == []
    assert len(lines) == EVENTS


def test_each_way_to_sign_in_and_what_is_told_where_it_fails(secured, tmp_path):
    certificates = Certificates(tmp_path)
    with secured_cases(secured.variables, mutual_variables(secured.variables), certificates, tmp_path) as cases:
        assert len(cases) >= 20
        assert as_expected(cases) == []


def graphql(secured, query: str) -> str:
    port = secured.variables["CLICKSTREAM_DAGSTER_PORT"]
    body, headers = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://localhost:{port}/graphql", body, headers)) as answer:
        text = answer.read().decode()
    assert '"errors"' not in text, text[:2_000]
    return text


def secrets_of(secured) -> list[str]:
    """What the servers of this start were given, and what the webhook's address holds."""
    files = [Path(value) for name, value in secured.variables.items() if name.endswith("_FILE") and value]
    assert len(files) == 3
    return [file.read_text().strip() for file in files] + [WEBHOOK_SECRET]


def written(home: Path):
    """Every file of a home but the servers' own data and configuration, and the folder of secrets."""
    for path in home.rglob("*"):
        if path.is_file() and path.relative_to(home).parts[:2] not in (
            ("stack", "data"),
            ("stack", "conf"),
            ("stack", "tmp"),
            ("stack", "security"),
        ):
            yield path


def snapshots(home: Path) -> bytes:
    """What Dagster has kept of jobs and plans, which it compresses."""
    found = []
    for path in home.rglob("runs.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found += [zlib.decompress(body) for (body,) in database.execute("SELECT snapshot_body FROM snapshots")]
    return b"\n".join(found)


def where_shown(secrets: list[str], shown: dict[str, str | bytes]) -> list[tuple[str, str]]:
    return [
        (place, secret)
        for place, content in shown.items()
        for secret in secrets
        if secret.encode() in (content.encode() if isinstance(content, str) else content)
    ]


def failing_command(secured, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        RunCommand.command(*arguments),
        env=os.environ | PLANTED | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_there_is_a_secret_for_every_setting_that_holds_one():
    fields = Settings.model_fields.items()
    settings_with_one = {f"CLICKSTREAM_{name.upper()}" for name, field in fields if field.annotation is SecretStr}
    assert settings_with_one == {*PLANTED, "CLICKSTREAM_ALERT_WEBHOOK"}


def test_nothing_secret_is_shown_anywhere(secured, webhook):
    shown = {str(path): path.read_bytes() for path in written(secured.command.home)}
    assert any(path.endswith(".db") for path in shown), "Dagster's database is among them"
    shown |= {
        "out and err": secured.command.said(),
        "stack env": secured.printed,
        "resources": graphql(secured, RESOURCES),
        "runs": graphql(secured, RUNS),
        "snapshots": snapshots(secured.command.home),
        "doctor": failing_command(secured, "doctor"),
        "webhook": "".join(webhook.messages),
        "process list": "\n".join(" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])),
    }
    assert "elasticsearch" in shown["resources"]
    assert b"es_daily_index" in shown["snapshots"]
    assert where_shown([*secrets_of(secured), *PLANTED.values()], shown) == []


def test_nothing_secret_is_shown_where_signing_in_fails(secured, tmp_path):
    """Each secret is wrong, and stands in addresses too; some addresses cannot be read."""
    wrong = {name: "" for name in secured.variables if name.endswith("_FILE")} | {
        "CLICKSTREAM_ELASTICSEARCH_API_KEY": "",
        "CLICKSTREAM_SPARK_REMOTE": secured.variables["CLICKSTREAM_SPARK_REMOTE"] + "/;token=planted-in-address",
        "CLICKSTREAM_ELASTICSEARCH_URL": secured.variables["CLICKSTREAM_ELASTICSEARCH_URL"].replace(
            "://", "://someone:planted-in-address@"
        ),
    }
    unreadable = {
        "CLICKSTREAM_SPARK_REMOTE": "sc://localhost:planted-port",
        "CLICKSTREAM_ELASTICSEARCH_URL": "http://u:planted/@",
    }
    home = tmp_path / "dagster"
    home.mkdir()
    materialize = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "clickstream_assets.definitions"]
    hour = settings().first_hour
    done = subprocess.run(
        [*materialize, "--select", "raw_clicks,dead_letters", "--partition", hour],
        env=os.environ | PLANTED | wrong | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    shown = {
        "doctor": failing_command(secured, "doctor", **wrong),
        "doctor, unreadable": failing_command(secured, "doctor", **(wrong | unreadable)),
        "explain": failing_command(secured, "explain", hour, "https://shop.example/", "DE", **wrong),
        "metrics": failing_command(secured, "metrics", hour, hour, **wrong),
        "produce": failing_command(secured, "produce", "--demo", "--events", "1", **wrong),
        "materialize": done.stdout + done.stderr,
    }
    assert "CLICKSTREAM_KAFKA_PASSWORD" in shown["produce"], shown["produce"]
    assert "CLICKSTREAM_KAFKA_PASSWORD" in shown["materialize"], shown["materialize"]
    assert "CLICKSTREAM_ELASTICSEARCH_PASSWORD" in shown["doctor"], shown["doctor"]
    shown |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert where_shown(["planted-"], shown) == []
