"""``clickstream validate`` says, offline, what would become of messages: as golden.py finds it."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from crawleruseragents import is_crawler
from ua_parser import parse as parse_agent

from clickstream_assets.cli.main import main
from clickstream_assets.events.message_files import write_envelope
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets_tests.acceptance import golden

GOOD = {"timestamp": "2026-11-23T03:30:00Z", "user_id": "u1", "url": "https://shop.example/a?utm_source=x"}
RECORDED = 1_795_404_600_000
FIRST_MS = 1_767_225_600_000
"""Midnight of 2026-01-01, UTC."""


@pytest.fixture
def validate(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_FIRST_HOUR", "2026-01-01-00:00")

    def run(*lines, arguments=("--envelope",), stdin=False):
        from clickstream_assets.settings import settings

        settings.cache_clear()
        file = tmp_path / "messages.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines))
        name = "-" if stdin else str(file)
        result = CliRunner().invoke(main, ["validate", name, *arguments], input=file.read_bytes() if stdin else None)
        settings.cache_clear()
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr

    return run


def envelope(record_time_ms=RECORDED, **fields):
    return json.dumps({"value": json.dumps(GOOD | fields), "kafka_timestamp_ms": record_time_ms})


def test_each_message_is_told_with_its_hour_url_user_and_whether_it_counts(validate):
    code, told, words = validate(envelope(), envelope(event_type="scroll", user_agent="curl/8"), envelope(url="x"))
    known = {"hour": "2026-11-23-03:00", "url": "https://shop.example/a", "user_key": "user_id:u1"}
    assert told[0] == {"message": 1, "outcome": "stored", **known, "click": True, "bot": False}
    assert told[1] == {"message": 2, "outcome": "stored", **known, "click": False, "bot": True}
    assert (told[2]["outcome"], told[2]["reason"], told[2]["message"]) == ("refused", "invalid_url", 3)
    assert code == 1
    assert "3 messages: 2 stored, 0 duplicates, 1 refused" in words
    assert "1 clicks of people, 1 events of bots" in words


def test_under_limits_it_says_what_is_too_old_and_what_does_not_count_by_name(validate, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_COUNTED_HOSTS", "shop.example")
    monkeypatch.setenv("CLICKSTREAM_MAX_EVENT_AGE_DAYS", "1")
    _, told, words = validate(
        envelope(), envelope(url="https://evil.example/"), envelope(timestamp="2026-11-22T03:29:00Z"),
    )  # fmt: skip
    assert [one.get("counted_as") for one in told] == [None, "(other)", None]
    assert [one.get("reason") for one in told] == [None, None, "too_old"]
    assert told[1]["url"] == "https://evil.example/"
    assert "1 too_old" in words


def test_nothing_refused_is_a_good_file(validate):
    code, told, words = validate(envelope(event_id="x"), envelope(event_id="x"), envelope(event_id="x", user_id="v"))
    assert code == 0
    assert [one["outcome"] for one in told] == ["stored", "duplicate", "stored"]
    assert "3 messages: 2 stored, 1 duplicates, 0 refused" in words


def test_quietly_it_names_what_is_refused_alone(validate):
    _, told, _ = validate(envelope(), envelope(timestamp="yesterday"), arguments=("--envelope", "-q"))
    assert [one["reason"] for one in told] == ["invalid_timestamp"]


def test_plain_lines_are_taken_as_recorded_now_and_standard_input_is_read(validate):
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    code, told, _ = validate(json.dumps(GOOD | {"timestamp": now}), arguments=(), stdin=True)
    assert (code, told[0]["hour"]) == (0, datetime.now(UTC).strftime("%Y-%m-%d-%H:00"))


def test_a_file_that_is_no_envelopes_is_trouble(validate):
    code, told, words = validate("[]")
    assert (code, told) == (2, [])
    assert "line 1" in words


@pytest.mark.slow
def test_the_sums_of_demo_events_are_those_that_golden_finds(validate, tmp_path):
    with (tmp_path / "demo.jsonl").open("w") as file:
        for message in demo_messages(5, datetime(2026, 11, 23, 4, tzinfo=UTC), events=3_000, hours=6):
            write_envelope(file, message)
    lines = (tmp_path / "demo.jsonl").read_text().splitlines()
    outcomes, clicks, seen = Counter(), 0, set()
    for record in map(json.loads, lines):
        value = golden.base64.b64decode(record["value_base64"]) if "value_base64" in record else record["value"]
        try:
            event = golden.parse(
                value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value,
                record["kafka_timestamp_ms"],
                FIRST_MS,
            )
        except golden.Refused:
            outcomes["refused"] += 1
            continue
        identity = (event["id"], event["ms"] // 3_600_000, event["user"], event["type"], event["url"])
        outcome = "duplicate" if event["id"] is not None and identity in seen else "stored"
        seen.add(identity)
        outcomes[outcome] += 1
        device = parse_agent(event["ua"]).device
        bot = (device is not None and device.family == "Spider") or is_crawler(event["ua"])
        clicks += outcome == "stored" and event["type"] in golden.CLICK_TYPES and not bot
    code, told, words = validate(*lines)
    assert Counter(one["outcome"] for one in told) == outcomes
    assert f"{clicks:,} clicks of people" in words
    assert code == 1
