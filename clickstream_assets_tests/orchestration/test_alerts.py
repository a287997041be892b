"""Evaluations become one message a run; the last word on an hour counts."""

import re

from clickstream_assets.orchestration.alerts import Evaluation, Run, failed_checks, message

RUN = Run("0a1b2c3d-run", "clickstream_hours", "SUCCESS", "https://d/runs/0a1b2c3d-run")


def said(hour, passed=False, *, check="balance", warning=False, words=""):
    return Evaluation("raw_clicks", check, hour, passed, warning, words or f"at {hour}")


def test_the_last_word_on_an_hour_counts():
    assert failed_checks([said("h1"), said("h1", passed=True)]) == []
    (found,) = failed_checks([said("h1", passed=True), said("h1")])
    assert (found.hours, found.hours_failed) == (["h1"], 1)


def test_the_runs_own_summary_is_left_out_where_hours_are_named_and_told_where_none_is():
    (found,) = failed_checks([said("h2"), said("h1"), said(None, words="2 of 9 hours failed")])
    assert (found.hours, found.hours_failed, found.description) == (["h1", "h2"], 2, "at h1")
    (found,) = failed_checks([said(None, words="could not look")])
    assert (found.hours, found.hours_failed, found.description) == ([], 0, "could not look")


def test_one_error_among_warnings_makes_a_check_and_its_message_an_error():
    checks = failed_checks([said("h1", warning=True), said("h2"), said("h1", check="share", warning=True)])
    assert [check.severity for check in checks] == ["error", "warning"]
    assert message(RUN, checks)["severity"] == "error"
    assert message(RUN, checks[1:])["severity"] == "warning"


def test_a_good_run_and_a_cancelled_one_say_nothing():
    assert message(RUN, []) is None
    assert message(Run("r", "j", "CANCELED", "u"), []) is None


def test_a_failed_run_is_an_error_and_tells_of_its_failed_checks_too():
    run = Run("0a1b2c3d-run", "job", "FAILURE", "u", {"dagster/partition": "h1"}, error="es_index: no room\nmore")
    told = message(run, failed_checks([said("h1", warning=True)]))
    assert (told["kind"], told["severity"], told["run"]["hours"]) == (
        "run_failed",
        "error",
        {"first": "h1", "last": "h1"},
    )
    assert told["text"] == (
        "[error] run 0a1b2c3d of job failed: es_index: no room; raw_clicks: balance (warning) failed for h1: at h1 — u"
    )


def test_runs_and_checks_over_days_say_days_and_no_hours():
    span = {"dagster/asset_partition_range_start": "2026-11-23", "dagster/asset_partition_range_end": "2026-11-24"}
    run = Run("0a1b2c3d-run", "clickstream_days", "SUCCESS", "u", span)
    days = [f"2026-11-{number:02}" for number in range(30, 0, -1)]
    one, many = (failed_checks(map(said, keys)) for keys in (["2026-11-23"], days))
    told = message(run, one)
    assert (told["run"]["hours"], told["run"]["days"]) == (None, {"first": "2026-11-23", "last": "2026-11-24"})
    found = {name: told["failed_checks"][0][name] for name in ("hours", "hours_failed", "days", "days_failed")}
    assert found == {"hours": [], "hours_failed": 0, "days": ["2026-11-23"], "days_failed": 1}
    assert " failed for the day 2026-11-23: at" in told["text"]
    told = message(run, many)
    assert told["failed_checks"][0]["days"] == days[:-25:-1]
    assert " failed for 30 days from 2026-11-01: at" in told["text"]
    alone = Run("0a1b2c3d-run", "job", "FAILURE", "u", {"dagster/partition": "2026-11-23"})
    assert message(alone, [])["run"]["days"] == {"first": "2026-11-23", "last": "2026-11-23"}


def test_a_run_over_neither_has_no_span():
    told = message(Run("0a1b2c3d-run", "job", "FAILURE", "u"), [])
    assert (told["run"]["hours"], told["run"]["days"]) == (None, None)


def test_nothing_but_the_runs_address_is_a_link():
    words = "<https://evil.example|click> www.evil.example mallory@evil.example [a](//evil.example)"
    run = Run("0a1b2c3d-run", "job", "FAILURE", "https://d/runs/0a1b2c3d-run", error=f"step: {words}\n{words}")
    told = message(run, failed_checks([said("h1", words=words)]))
    for text in (told["text"], told["run"]["error"], told["failed_checks"][0]["description"]):
        assert not re.search(r"://(?!d/runs/0a1b2c3d-run$)|www\.|[<>@]|\]\(", text)
    assert told["text"].endswith("https://d/runs/0a1b2c3d-run")
