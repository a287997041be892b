"""The sensor over days: which run it asks for, and when it waits."""

from contextlib import contextmanager
from types import SimpleNamespace

import dagster as dg
import pytest

from clickstream_assets.assets.common import DAYS_JOB
from clickstream_assets.books.day_states import DayState
from clickstream_assets.books.hour_states import HourState
from clickstream_assets.events.days import day_of_key
from clickstream_assets.orchestration import stale_days
from clickstream_assets.settings import Settings

SETTINGS = Settings(first_hour="2026-11-01-00:00")
COMPUTED = HourState(touched=1, enriched=1, computed=1, indexed=1)
NOON = 12
TODAY = day_of_key("2026-11-20")


@pytest.fixture
def ask(monkeypatch):
    """Evaluates the sensor over days that have one computed hour each, at noon of 2026-11-20."""
    monkeypatch.setattr(stale_days, "time", lambda: (TODAY * 24 + NOON) * 3600.0 + 60)

    def ask(*keys, done=(), instance=None):
        hours = {day_of_key(key) * 24 + 3: COMPUTED for key in keys}
        at_ms = TODAY * 86_400_000 + 1
        days = {
            day_of_key(key): DayState(at_ms, at_ms, at_ms, 0, {day_of_key(key) * 24 + 3: 1}, dimensions_ms=at_ms)
            for key in done
        }
        books = SimpleNamespace(hours=SimpleNamespace(all=lambda: hours), days=SimpleNamespace(all=lambda: days))

        @contextmanager
        def opened():
            yield books

        context = dg.build_sensor_context(instance=instance or dg.DagsterInstance.ephemeral())
        return stale_days._evaluate(context, SimpleNamespace(books=opened), SETTINGS)

    return ask


def span(request):
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def test_the_latest_day_is_asked_for_first_and_each_alone(ask):
    assert span(ask("2026-11-03", "2026-11-18", "2026-11-19", "2026-11-20")) == ("2026-11-20", "2026-11-20")
    done = ("2026-11-18", "2026-11-19", "2026-11-20")
    assert span(ask("2026-11-03", *done, done=done)) == ("2026-11-03", "2026-11-03")
    assert isinstance(ask(*done, done=done), dg.SkipReason)


def test_days_before_the_first_partition_and_after_this_hour_are_not_asked_for(ask):
    assert isinstance(ask("2026-10-31", "2026-11-21"), dg.SkipReason)


def test_it_waits_for_a_run_that_is_under_way_and_tries_a_day_that_failed_later_but_others_at_once(ask):
    instance = dg.DagsterInstance.ephemeral()

    @dg.job(name=DAYS_JOB)
    def job():
        pass

    tags = {"dagster/asset_partition_range_start": "2026-11-19", "dagster/asset_partition_range_end": "2026-11-19"}
    run = instance.create_run_for_job(job, tags=tags)
    assert "under way" in ask("2026-11-19", instance=instance).skip_message
    instance.report_run_failed(run)
    latest = instance.get_run_records(limit=1)[0]
    at = latest.end_time or latest.update_timestamp.timestamp()
    assert stale_days._pausing(instance, at + 59) == {"2026-11-19"}
    assert stale_days._pausing(instance, at + 61) == set()
    instance.report_run_failed(instance.create_run_for_job(job, tags=tags))
    assert stale_days._pausing(instance, at + 100) == {"2026-11-19"}
    stale_days.time = lambda: at + 5
    assert span(ask("2026-11-18", "2026-11-19", instance=instance)) == ("2026-11-18", "2026-11-18")
    assert "failed" in ask("2026-11-19", instance=instance).skip_message
