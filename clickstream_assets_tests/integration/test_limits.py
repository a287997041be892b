"""All limits on a hostile producer at once, on real servers: what an independent computation expects, in any pieces."""

import json
import random

import pytest
from click.testing import CliRunner

from clickstream_assets.checks.hour_checks import AUDIT_JOB
from clickstream_assets.cli import dead_letters
from clickstream_assets.cli import explain as command
from clickstream_assets.cli.main import main
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.evidence.page_events import SOURCES
from clickstream_assets.orchestration import repairs
from clickstream_assets.partitions import tags_of
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.acceptance.limited import DAY_MS, expect_limited
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import CHROME, FRENCH, GERMAN
from clickstream_assets_tests.integration.pipeline import Pipeline

HOUR = NOW_MS // HOUR_MS - 3
HOSTS = ("shop.example", "*.shop.example")
MOST, DAYS = 4, 1
REAL = [f"https://{host}/{page}" for host in ("shop.example", "m.shop.example") for page in "abc"]


def sent(number, url, rng, hour=HOUR, **fields):
    at = hour * HOUR_MS + rng.randrange(HOUR_MS)
    event = {"event_id": f"l{number}", "user_id": f"u{rng.randrange(9)}", "timestamp": at, "url": url}
    agent = {"ip": rng.choice((GERMAN, FRENCH)), "user_agent": CHROME}
    return Message(json.dumps(event | agent | fields).encode(), (HOUR + 1) * HOUR_MS)


def batches():
    """People on six pages, a copied page, urls that are made up, and events of three days ago."""
    rng = random.Random(7)
    numbers = iter(range(10_000))
    kinds = ("page_view", "page_view", "click", "scroll", "page_leave")

    def people(count, weights):
        urls = rng.choices(REAL, weights, k=count)
        return [sent(next(numbers), url, rng, event_type=rng.choice(kinds)) for url in urls]

    def strangers(count):
        urls = [f"https://copied.example/{rng.randrange(5)}" for _ in range(count)]
        return [sent(next(numbers), url, rng, event_type=rng.choice(kinds)) for url in urls]

    yield people(60, (9, 7, 1, 0, 0, 0)) + strangers(20)  # within the bound
    yield people(60, (3, 3, 9, 9, 1, 1)) + [
        sent(next(numbers), f"https://shop.example/made-up/{n}", rng, user_id="mallory") for n in range(70)
    ]
    yield strangers(20) + [sent(next(numbers), REAL[0], rng, hour=HOUR - 3 * 24 + n) for n in range(5)]
    yield people(90, (0, 0, 1, 9, 9, 9)) + [sent(next(numbers), REAL[1], rng, hour=HOUR - 1) for _ in range(9)]


@pytest.fixture(scope="module")
def limits(servers, tmp_path_factory):
    limited = {"counted_hosts": ",".join(HOSTS), "max_urls_per_hour": MOST, "max_event_age_days": DAYS}
    settings = servers.model_copy(update=limited)
    pipeline = Pipeline(settings, "limits", tmp_path_factory.mktemp("limits") / "sent.jsonl")
    for batch in batches():
        pipeline.produce(batch)
        pipeline.settle()
        assert_expected(pipeline)
    return pipeline


def expected(pipeline, days=DAYS):
    first = pipeline.settings.first_hour
    lines = pipeline.record_path.read_text(encoding="utf-8").splitlines()
    return expect_limited(
        lines, pipeline.settings.geoip_database, f"{first[:10]}T{first[11:13]}", hosts=HOSTS, most=MOST, days=days
    )


def assert_expected(pipeline):
    metrics, _ = expected(pipeline)
    assert golden.compare(metrics, pipeline.documents()) == []


def test_after_each_batch_documents_are_those_expected_and_the_books_balance(limits):
    metrics, too_old = expected(limits)
    urls = {key.split("|")[1] for key in metrics if hour_of_key(f"{key[:10]}-{key[11:16]}") == HOUR}
    assert len(urls) == MOST + 1, "the bound is reached"
    assert "(other)" in urls
    assert too_old == 5
    found = limits.reconcile()
    assert (found.differences, found.letters) == ([], too_old)
    assert limits.failed_checks() == []


def test_checks_hold_and_warn_and_the_audit_finds_nothing(limits):
    assert {name for name, hour in limits.failing_checks(HOUR - 1, HOUR)} == {"few_other_urls"}
    job = limits.defs.resolve_job_def(AUDIT_JOB)
    result = job.execute_in_process(instance=limits.instance, tags=tags_of(HOUR - 1, HOUR))
    audited = {e.check_name: e for e in result.get_asset_check_evaluations() if e.partition == key_of_hour(HOUR)}
    for name in ("every_row_enriched", "clicks_add_up", "documents_match"):
        assert audited[name].passed, audited[name].description
        assert "the audit" not in audited[name].description


def test_the_hour_computed_whole_by_hand_is_the_same(limits):
    before = limits.of_hour(HOUR)
    assert limits.materialize("url_country_metrics", HOUR).success
    limits.settle()
    assert limits.of_hour(HOUR) == before, "computed_at and run_id too: nothing was written"


def test_other_is_explained_by_its_urls_and_a_url_in_it_by_why(limits, monkeypatch):
    monkeypatch.setattr(command, "settings", lambda: limits.settings)

    def explain(url, country):
        arguments = ["explain", key_of_hour(HOUR), url, country, "--json", "--limit", "0"]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        return result.exit_code, json.loads(result.output)

    metrics = {key.split("|", 1)[1]: row for key, row in expected(limits)[0].items() if f"T{HOUR % 24:02d}:" in key}
    for country in ("DE", "FR"):
        code, said = explain("(other)", country)
        assert (code, said["same"]) == (0, True)
        wanted = metrics[f"(other)|{country}"]
        for name, value in wanted.items():
            assert [said["values"][name][source] for source in SOURCES] == [pytest.approx(value)] * len(SOURCES)
        assert len({event["url"] for event in said["events"] if event["counts"]}) > MOST
        assert any("copied.example" in words for words in said["remarks"])
    code, said = explain("https://shop.example/made-up/1", "DE")
    assert (code, said["document"]) == (0, None)
    assert any("CLICKSTREAM_MAX_URLS_PER_HOUR" in words for words in said["remarks"])
    assert any("of its host" in words for words in explain("https://copied.example/1", "DE")[1]["remarks"])


def test_what_was_too_old_comes_back_under_a_larger_limit(limits, monkeypatch):
    listed = dead_letters
    monkeypatch.setattr(listed, "settings", lambda: limits.settings)
    result = CliRunner().invoke(main, ["dead-letters", "list", "--json"], catch_exceptions=False)
    assert [json.loads(line)["reason"] for line in result.output.splitlines()] == ["too_old"]
    from clickstream_assets.ingest.dead_letters import Selection

    longer = limits.settings.model_copy(update={"max_event_age_days": 4})
    kafka, hbase = limits.resources["kafka"], limits.resources["hbase"]
    report = repairs.replayed(kafka, hbase, longer, Selection(frozenset(["too_old"])), "replay", lambda words: None)
    old_hours = {HOUR - 3 * 24 + n for n in range(5)}
    assert (report.rows, report.refused.total()) == (5, 0)
    limits.settle()
    assert old_hours <= {hour_of_key(f"{key[:10]}-{key[11:16]}") for key in limits.documents()}
    metrics, _ = expected(limits, days=4)
    assert golden.compare(metrics, limits.documents()) == []
    assert DAY_MS == 24 * HOUR_MS
