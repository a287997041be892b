"""Dead letters on real servers: listed, shown, mended by reason, hour and count, and golden after it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from uuid import uuid4

import dagster as dg
import pytest
import requests
from click.testing import CliRunner

from clickstream_assets.books.ledger_entries import sum_of
from clickstream_assets.cli import dead_letters as command_module
from clickstream_assets.cli import through_dagster
from clickstream_assets.cli.main import main
from clickstream_assets.events.click_event import decode
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.events.refusals import Refused
from clickstream_assets.ingest import outcomes
from clickstream_assets.local.stack.ports import free_port
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

MINUTE, HOUR = 60_000, 3_600_000
START = NOW_MS // HOUR * HOUR - 30 * HOUR
"""An hour that has long closed."""
HOURS, EARLY_HOURS = 8, 4
FIX_AFTER = START // HOUR + EARLY_HOURS
"""The first partition while it is wrong: events of the hours before are refused."""
NOT_YET = b"coupon"
"""Messages that hold it are refused by the code that is to be fixed."""


TOO_EARLY, COUPONS = EARLY_HOURS * (6 * 4 + 1 - 2), HOURS * 2
"""What of the traffic is refused for a time: an hour has 24 events and one of them again; two have a coupon."""


def event(name: str, user: str, time_ms: int, recorded_ms: int, **fields: object) -> Message:
    value = {"event_id": name, "user_id": user, "timestamp": time_ms, "url": "https://mend.example/", **fields}
    text = json.dumps(value).encode()
    return Message(text, recorded_ms)


def traffic() -> list[Message]:
    """Some hours of visits: some too early for the wrong first partition, some with a coupon, some broken."""
    messages = []
    for hour in range(HOURS):
        start = START + hour * HOUR
        recorded = max(start, (FIX_AFTER + 1) * HOUR)
        for user in range(6):
            for step in range(4):
                at = start + (user * 9 + step * 2) * MINUTE
                extra = {"coupon": "x"} if (user, step) in ((1, 1), (2, 0)) else {}
                name = f"{hour}-{user}-{step}"
                messages.append(event(name, f"user-{user}", at, max(at, recorded), **extra))
                if (user, step) == (2, 0):  # delivered again without the coupon, with another url
                    messages.append(
                        event(name, f"user-{user}", at, max(at, recorded), url="https://mend.example/again")
                    )
        messages.append(Message(b"{", start + MINUTE))
        messages.append(Message(b"\xff\x00\x1b[2J", start + MINUTE))
    return messages


def refuse_coupons(message, *rules):
    if message and NOT_YET in message:
        raise Refused("wrong_type", "coupon: the code that is to be fixed")
    return decode(message, *rules)


def errors(pipeline: Pipeline) -> list[str]:
    """Failed checks, but for warnings: a tenth of the traffic is refused."""
    return [
        f"{evaluation.check_name}: {evaluation.description}"
        for run in pipeline.runs
        for evaluation in run.get_asset_check_evaluations()
        if not evaluation.passed
        and evaluation.severity == dg.AssetCheckSeverity.ERROR
        and evaluation.check_name != "latest_closed_hour"  # the traffic ended long ago
    ]


def strictly_read(servers, folder) -> Pipeline:
    """At rest behind the traffic, read by strict code under a first partition that is ten hours too late."""
    place = f"letters-{uuid4().hex[:8]}", folder / "sent.jsonl"
    strict = Pipeline(servers.model_copy(update={"first_hour": key_of_hour(FIX_AFTER)}), *place)
    strict.produce(traffic())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "decode", refuse_coupons)
        strict.settle()
    assert strict.reconcile().differences == []
    assert errors(strict) == []
    made = Pipeline(servers, *place)
    made.instance, made.cursor, made.runs = strict.instance, strict.cursor, strict.runs
    return made


@pytest.fixture
def pipeline(servers, tmp_path):
    """A pipeline whose letters can be mended."""
    return strictly_read(servers, tmp_path)


@pytest.fixture(scope="module")
def looked_at(servers, tmp_path_factory):
    """The same, for what is done to letters before they are mended, and to mend them at last."""
    return strictly_read(servers, tmp_path_factory.mktemp("looked-at"))


def environment(pipeline: Pipeline) -> dict[str, str]:
    names = ("kafka_bootstrap_servers", "hbase_host", "hbase_port", "elasticsearch_url", "spark_remote")
    found = {f"CLICKSTREAM_{name.upper()}": str(getattr(pipeline.settings, name)) for name in names}
    return found | {"CLICKSTREAM_NAME_PREFIX": pipeline.settings.name_prefix, "CLICKSTREAM_DAGSTER_PORT": "1"}


def cli(pipeline: Pipeline, *arguments: str, code: int = 0) -> str:
    """What ``clickstream dead-letters …`` prints, in this process under the pipeline's names."""
    with pytest.MonkeyPatch.context() as patch:
        nowhere = pipeline.settings.model_copy(update={"dagster_port": 1})
        for module in (command_module, through_dagster):
            patch.setattr(module, "settings", lambda: nowhere)
        done = CliRunner().invoke(main, ["dead-letters", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def counts(pipeline: Pipeline) -> Counter[str]:
    lines = cli(pipeline, "list", "--json").splitlines()
    found: Counter[str] = Counter()
    for line in map(json.loads, lines):
        found[line["reason"]] += line["letters"]
    return found


def replay_job(pipeline: Pipeline, **config: object) -> None:
    job = pipeline.defs.resolve_job_def("replay_dead_letters")
    run_config = {"ops": {"replay": {"config": config}}}
    assert job.execute_in_process(instance=pipeline.instance, run_config=run_config).success


def totals(pipeline: Pipeline) -> dict[str, int]:
    with pipeline.resources["hbase"].books() as books:
        entries = list(books.ledger.entries())
    counts = sum_of(entry.counts for entry in entries)
    read = sum(entry.read for entry in entries)
    return {"read": read, "kept": counts.kept, "dead_lettered": counts.dead_lettered, "mended": counts.mended}


def assert_all_mended(pipeline: Pipeline) -> None:
    pipeline.settle()
    assert counts(pipeline) == {"invalid_json": HOURS, "invalid_encoding": HOURS}
    assert_golden(pipeline)
    assert errors(pipeline) == []


def test_letters_are_mended_by_reason_hour_and_count(pipeline):
    before = totals(pipeline)
    assert counts(pipeline) == {
        "before_first_partition": TOO_EARLY,
        "wrong_type": COUPONS,
        "invalid_json": HOURS,
        "invalid_encoding": HOURS,
    }
    assert golden.compare(pipeline.expected()["metrics"], pipeline.documents()) != []

    told = cli(pipeline, "replay", "--reason", "before_first_partition", "--dry-run")
    assert f"would mend {TOO_EARLY} of {TOO_EARLY} dead letters" in told
    assert totals(pipeline) == before

    replay_job(pipeline, reasons=["before_first_partition"], limit=7)
    assert counts(pipeline)["before_first_partition"] == TOO_EARLY - 7
    replay_job(pipeline, reasons=["before_first_partition"])
    after = totals(pipeline)
    assert (after["mended"], after["dead_lettered"]) == (TOO_EARLY, before["dead_lettered"] - TOO_EARLY)
    assert pipeline.settle() > 0
    assert pipeline.reconcile().differences == []

    # The coupons: first those of an hour, by the command, then the rest.
    hour = FIX_AFTER + 2
    told = cli(pipeline, "replay", "--here", "--from", key_of_hour(hour), "--to", key_of_hour(hour + 1))
    assert "mended 2 of 4 dead letters: 2 rows, 0 duplicates; 2 still refused" in told
    assert counts(pipeline)["wrong_type"] == COUPONS - 2
    replay_job(pipeline)
    assert_all_mended(pipeline)

    rest, documents = totals(pipeline), pipeline.documents()
    replay_job(pipeline)
    assert (totals(pipeline), pipeline.settle()) == (rest, 0)
    assert pipeline.documents() == documents

    # Read from Kafka again, mended messages are where they are.
    with pipeline.topic() as topic:
        topic.commit(dict.fromkeys(topic.partitions(), 0))
    assert_all_mended(pipeline)
    assert totals(pipeline) == {**rest, "mended": 0}


def test_replays_killed_between_two_writes_are_made_good_by_the_next(pipeline):
    before = totals(pipeline)
    command = [sys.executable, "-W", "ignore", "-m", "clickstream_assets_tests.integration.killed_replay"]
    env = os.environ | environment(pipeline)
    for gap in ("rows", "ledger", "touched"):
        killed = subprocess.run([*command, gap], env=env, capture_output=True, text=True, timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        assert totals(pipeline)["read"] == before["read"]
    replay_job(pipeline)
    assert_all_mended(pipeline)
    assert totals(pipeline)["mended"] == before["dead_lettered"] - 2 * HOURS, "each is booked once"


def test_letters_are_shown_with_their_bytes(looked_at):
    (shown,) = map(json.loads, cli(looked_at, "show", "--reason", "wrong_type", "--limit", "1", "--json").splitlines())
    assert NOT_YET.decode() in json.loads(shown["value"])
    assert shown["detail"] == "coupon: the code that is to be fixed"
    assert shown["run_id"] in {run.run_id for run in looked_at.runs}
    place = f"{shown['topic_id']}/{shown['partition']}/{shown['offset']}"
    words = cli(looked_at, "show", place)
    assert words.splitlines()[0] == place
    assert f"bytes: {shown['bytes']}\n" in words
    raw = cli(looked_at, "show", "--reason", "invalid_encoding", "--limit", "1")
    assert "  value_base64: /wAbWzJK" in raw
    assert "No such dead letter" in cli(looked_at, "show", f"{shown['topic_id']}/7/999999", code=1)
    everything = cli(looked_at, "list")
    assert "before_first_partition" in everything


def until_up(url: str) -> None:
    for _ in range(180):
        try:
            return requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


def test_a_running_dagster_replays_for_the_command(looked_at, tmp_path):
    port = free_port(set())
    home = tmp_path / "dagster"
    home.mkdir()
    # Without a daemon nobody takes a run from the queue.
    coordinator = "{module: dagster.core.run_coordinator, class: DefaultRunCoordinator}"
    (home / "dagster.yaml").write_text(f"run_coordinator: {coordinator}\ntelemetry: {{enabled: false}}\n")
    env = os.environ | environment(looked_at) | {"DAGSTER_HOME": str(home), "CLICKSTREAM_DAGSTER_PORT": str(port)}
    python = [sys.executable, "-W", "ignore", "-m"]
    clickstream = [*python, "clickstream_assets.cli.main"]
    web = [*clickstream, "webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "clickstream_assets.definitions"]
    replay = [*clickstream, "dead-letters", "replay"]
    alone = subprocess.run(replay, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (alone.returncode, "does not answer" in alone.stderr) == (2, True)
    with subprocess.Popen(web, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until_up(f"http://localhost:{port}/server_info")
            refused = subprocess.run([*replay, "--here"], env=env, capture_output=True, text=True, check=False)
            assert (refused.returncode, "leave --here out" in refused.stderr) == (2, True)
            done = subprocess.run(replay, env=env, capture_output=True, text=True, timeout=120, check=False)
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert f"mended {TOO_EARLY + COUPONS} of {TOO_EARLY + COUPONS + 2 * HOURS} dead letters" in done.stdout
    assert_all_mended(looked_at)
