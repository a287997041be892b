"""Failed runs and checks reach a real HTTP listener once they can, and one message tells of a whole run."""

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest

from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.orchestration import run_failure as module
from clickstream_assets.orchestration.run_failure import run_failure
from clickstream_assets.partitions import hourly
from clickstream_assets.settings import Settings
from clickstream_assets_tests.conftest import NOW_MS

FIRST = NOW_MS // 3_600_000 - 90
HOURLY = hourly(key_of_hour(FIRST))
HOURS = [key_of_hour(FIRST + i) for i in range(80)]


class Listener:
    """An HTTP server that can go down and come up again on its port, and answers what it is told to."""

    def __init__(self):
        self.bodies, self.status, self.port, self.server = [], 204, 0, None

    def up(self):
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if listener.status < 300:
                    assert self.headers["Content-Type"] == "application/json"
                    listener.bodies.append(json.loads(body))
                self.send_response(listener.status)
                if listener.status == 302:
                    self.send_header("Location", "http://localhost:1/")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("localhost", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def down(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@pytest.fixture
def listener():
    made = Listener().up()
    yield made
    made.down()


class Words(logging.Handler):
    """What the sensor logs."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append((record.levelname, record.getMessage()))


class Desk:
    """An instance, the sensor's ticks on it, and runs that fail in the ways there are."""

    def __init__(self, instance, monkeypatch, url):
        self.instance, self.cursor, self.words = instance, None, Words()
        self.use(url)
        monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.5)
        assert "from now on" in self.tick()

    def use(self, url):
        self.configured = Settings(alert_webhook=url, dagster_url="https://dagster.example/")

    def tick(self):
        resources = {"configured": self.configured}
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources)
        context.log.addHandler(self.words)
        answer = run_failure.evaluate_tick(context)
        self.cursor = answer.cursor
        assert not answer.run_requests
        return answer.skip_message

    def told(self, level):
        return [text for name, text in self.words.records if name == level]

    def run(self, bad_hours=(), severity=dg.AssetCheckSeverity.ERROR, error="", hours=HOURS, tags=None):
        @dg.asset(partitions_def=HOURLY, backfill_policy=dg.BackfillPolicy.single_run())
        def es_index() -> None:
            if error:
                raise ValueError(error)

        @dg.asset_check(asset="es_index", partitions_def=HOURLY)
        def documents_match(context: dg.AssetCheckExecutionContext):
            for hour in hours:
                context.op_execution_context.log_event(
                    dg.AssetCheckEvaluation(
                        asset_key=es_index.key,
                        check_name="documents_match",
                        passed=hour not in bad_hours,
                        severity=severity,
                        description=f"12 documents, 13 metrics in {hour}",
                        partition=hour,
                    )
                )
            passed = not bad_hours
            return dg.AssetCheckResult(passed=passed, severity=severity, description="the run's own summary")

        span = {"dagster/asset_partition_range_start": hours[0], "dagster/asset_partition_range_end": hours[-1]}
        job = dg.Definitions(assets=[es_index], asset_checks=[documents_match]).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            partition_key=hours[0] if len(hours) == 1 else None,
            tags=(tags or {}) | (span if len(hours) > 1 else {}),
            raise_on_error=False,
        )


@pytest.fixture
def desk(monkeypatch, listener):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(instance, monkeypatch, f"http://localhost:{listener.port}/services/secret")


@pytest.mark.slow
def test_a_run_without_failures_is_not_told_of(desk, listener):
    desk.run()
    assert desk.tick() == "0 messages delivered"
    assert listener.bodies == []


@pytest.mark.slow
def test_eighty_failed_hours_of_one_run_are_one_message(desk, listener):
    run = desk.run(bad_hours=HOURS, tags={"clickstream/why": "stale hours"})
    assert desk.tick() == "1 messages delivered"
    (body,) = listener.bodies
    assert body == {
        "version": 1,
        "kind": "checks_failed",
        "severity": "error",
        "text": f"[error] es_index: documents_match (error) failed for 80 hours from {HOURS[0]}: 12 documents, "
        f"13 metrics in {HOURS[0]} — https://dagster.example/runs/{run.run_id}",
        "run": {
            "id": run.run_id,
            "job": "__ASSET_JOB",
            "status": "SUCCESS",
            "url": f"https://dagster.example/runs/{run.run_id}",
            "error": "",
            "why": "stale hours",
            "hours": {"first": HOURS[0], "last": HOURS[-1]},
            "days": None,
        },
        "failed_checks": [
            {
                "asset": "es_index",
                "check": "documents_match",
                "severity": "error",
                "description": f"12 documents, 13 metrics in {HOURS[0]}",
                "hours": HOURS[:24],
                "hours_failed": 80,
                "days": [],
                "days_failed": 0,
            }
        ],
    }
    assert desk.told("ERROR") == [body["text"]]
    assert desk.tick() == "0 messages delivered", "told once"


@pytest.mark.slow
def test_a_warning_is_marked_as_one(desk, listener):
    desk.run(bad_hours=HOURS[3:4], severity=dg.AssetCheckSeverity.WARN)
    desk.tick()
    (body,) = listener.bodies
    assert (body["severity"], body["failed_checks"][0]["severity"]) == ("warning", "warning")
    assert body["failed_checks"][0]["hours"] == [HOURS[3]]
    assert desk.told("WARNING") == [body["text"]]
    assert desk.told("ERROR") == []


@pytest.mark.slow
def test_a_failed_run_is_told_of_with_its_cause_and_hours(desk, listener):
    run = desk.run(error="the index is read-only", hours=HOURS[:1])
    desk.tick()
    (body,) = listener.bodies
    assert (body["kind"], body["severity"]) == ("run_failed", "error")
    assert body["run"]["error"] == "es_index: ValueError: the index is read-only"
    assert body["run"]["hours"] == {"first": HOURS[0], "last": HOURS[0]}
    assert run.run_id[:8] in body["text"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_message_that_was_not_taken_is_told_again_in_order_and_nothing_stops(desk, listener, status):
    first, second = desk.run(bad_hours=HOURS[:1]), desk.run(error="no room")
    listener.status = status
    for _ in range(2):
        assert f"HTTP {status}" in desk.tick()
    assert listener.bodies == []
    third = desk.run(bad_hours=HOURS[:2])
    listener.status = 200
    assert desk.tick() == "3 messages delivered"
    assert [body["run"]["id"] for body in listener.bodies] == [run.run_id for run in (first, second, third)]


@pytest.mark.slow
def test_a_listener_that_is_down_gets_all_of_it_once_it_is_up(desk, listener):
    listener.down()
    run = desk.run(error="no room")
    words = desk.tick()
    assert "ConnectionError" in words
    assert run.run_id in words
    assert "secret" not in str(desk.words.records), "addresses of webhooks are secrets"
    assert [text for text in desk.told("ERROR") if "no room" in text], "the log is told even so"
    desk.tick()
    assert len([text for text in desk.told("ERROR") if "no room" in text]) == 1, "and once"
    listener.up()
    assert desk.tick() == "1 messages delivered"
    assert [body["run"]["id"] for body in listener.bodies] == [run.run_id]


@pytest.mark.slow
def test_a_listener_that_does_not_answer_is_given_up_on_in_time(desk, listener, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.2)
    listener.down()

    with socket.create_server(("localhost", listener.port)):
        desk.run(error="no room")
        assert "Timeout" in desk.tick()
    listener.status = 200
    listener.up()
    assert desk.tick() == "1 messages delivered"


@pytest.mark.slow
def test_without_a_webhook_the_log_is_told_and_one_that_is_set_later_begins_there(desk, listener):
    desk.use("")
    desk.run(error="no room")
    assert desk.tick() == "no webhook is set: told the log alone"
    assert len(desk.told("ERROR")) == 1
    desk.use(f"http://localhost:{listener.port}/")
    assert desk.tick() == "0 messages delivered"
    desk.run(error="again no room")
    assert desk.tick() == "1 messages delivered"


@pytest.mark.slow
def test_a_slow_webhook_gets_the_rest_in_the_next_tick(desk, listener, monkeypatch):
    monkeypatch.setattr(module, "_TELLING_SECONDS", -1)
    runs = [desk.run(error="no room", hours=HOURS[:1]) for _ in range(3)]
    for _ in runs:
        assert desk.tick() == "1 messages delivered"
    assert [body["run"]["id"] for body in listener.bodies] == [run.run_id for run in runs]
