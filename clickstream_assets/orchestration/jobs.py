"""The jobs over hours (all assets, or their checks alone), and the schedules of two of them."""

import dagster as dg

from clickstream_assets.assets.common import DAYS_JOB, SENSOR_JOB
from clickstream_assets.checks import (
    daily_metrics,
    dead_letters,
    enriched_clicks,
    es_daily_index,
    es_dimensions_index,
    es_index,
    raw_clicks,
    url_country_metrics,
)
from clickstream_assets.checks.clickstream_topic import NO_LOG_CUT_BACK, NOTHING_LOST_UNREAD
from clickstream_assets.checks.day_checks import DAY_AUDIT_JOB
from clickstream_assets.checks.hour_checks import AUDIT_JOB, LATEST_CLOSED_HOUR, NOW_JOB
from clickstream_assets.checks.presence import GRACE_MINUTES, latest_closed_hour
from clickstream_assets.dagster_internals import UnresolvedAssetJobDefinition
from clickstream_assets.events.days import day_of_hour, key_of_day
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import RANGE_END, RANGE_START, daily, hourly, tags_of
from clickstream_assets.settings import Settings

CHECKS = tuple(module.checks for module in (raw_clicks, dead_letters, enriched_clicks, url_country_metrics, es_index))
"""Of the hourly assets, in their order."""
HOURLY_ASSETS = tuple(checks.asset for checks in CHECKS)
DAY_CHECKS = (daily_metrics.checks, es_daily_index.checks, es_dimensions_index.checks)
"""Of the daily assets, in their order."""
DAILY_ASSETS = tuple(checks.asset for checks in DAY_CHECKS)

clickstream_hours = dg.define_asset_job(
    SENSOR_JOB,
    # Each asset's step looks at its checks behind its own materialization.
    selection=dg.AssetSelection.assets(*HOURLY_ASSETS).without_checks(),
    description="New offsets, or stale hours, through all the assets. The sensor `kafka_offsets` runs it.",
)
clickstream_days = dg.define_asset_job(
    DAYS_JOB,
    selection=dg.AssetSelection.assets(*DAILY_ASSETS).without_checks(),
    description="Days put together from their hours, their documents, and those of their dimensions. The sensor "
    "`stale_days` runs it.",
)


def check_jobs(settings: Settings) -> list[UnresolvedAssetJobDefinition]:
    """The jobs that look at hours or days and materialize nothing."""
    keys = [checks.key(name) for checks in CHECKS for name in checks.checks]
    jobs = {
        "clickstream_checks": (
            [key for key in keys if key.name != LATEST_CLOSED_HOUR],
            "Looks at hours and changes nothing but what is held back. Name the hours by the run's tags "
            "`dagster/asset_partition_range_start` and `dagster/asset_partition_range_end`.",
        ),
        NOW_JOB: (
            [NOTHING_LOST_UNREAD, NO_LOG_CUT_BACK, *keys],
            "The checks that are about now: is anything lost unread, was a log cut back? Is the latest closed hour "
            "present, and all right from end to end?",
        ),
        AUDIT_JOB: (
            keys,
            "Computes hours again from the layer below each asset and compares, record by record: what a hand has "
            "changed or deleted is named, and the sensor heals it. Names the hours as `clickstream_checks` does.",
        ),
    }
    of_hours, of_days = hourly(settings.first_hour), daily(settings.first_hour)
    return [
        *(
            dg.define_asset_job(
                name, selection=dg.AssetSelection.checks(*checks), partitions_def=of_hours, description=description
            )
            for name, (checks, description) in jobs.items()
        ),
        dg.define_asset_job(
            DAY_AUDIT_JOB,
            selection=dg.AssetSelection.checks(*(checks.key(name) for checks in DAY_CHECKS for name in checks.checks)),
            partitions_def=of_days,
            description="Looks at days. One that is found wrong is put together once more by the sensor `stale_days`, "
            "compared row by row and document by document. Name the days by the same tags, as `2026-11-23`.",
        ),
    ]


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    days = settings.audit_days
    look = "Looks once an hour at the hour that has just closed, from end to end, and whether anything is lost unread."
    audit = (
        f"Compares the last {days} days with what computing them again gives, record by record "
        "(CLICKSTREAM_AUDIT_DAYS)."
    )
    return [
        _over_closed_hours("hourly_look", NOW_JOB, f"{GRACE_MINUTES + 1} * * * *", look, settings, 1),
        _over_closed_hours("nightly_audit", AUDIT_JOB, "30 3 * * *", audit, settings, 24 * days),
        _over_ended_days("nightly_audit_of_days", settings),
    ]


def _over_closed_hours(
    name: str, job: str, cron: str, description: str, settings: Settings, hours: int
) -> dg.ScheduleDefinition:
    """A schedule, in UTC, of a job over the latest closed hours."""

    @dg.schedule(
        name=name,
        job_name=job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def look(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        last = latest_closed_hour(context.scheduled_execution_time.timestamp())
        first_hour = settings.first_hour_ms // HOUR_MS
        if last < first_hour or not hours:
            return dg.SkipReason(f"{key_of_hour(last)} is before the first partition" if hours else "no days to audit")
        return dg.RunRequest(tags=tags_of(max(first_hour, last - hours + 1), last))

    return look


def _over_ended_days(name: str, settings: Settings) -> dg.ScheduleDefinition:
    """The nightly look at the latest days that have ended, in UTC; behind the audit of their hours."""

    @dg.schedule(
        name=name,
        job_name=DAY_AUDIT_JOB,
        cron_schedule="0 5 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Looks at the last {settings.audit_days} days that have ended: do their totals and documents add "
        "up to their hours (CLICKSTREAM_AUDIT_DAYS)?",
    )
    def look(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        last = int(context.scheduled_execution_time.timestamp()) // 86_400 - 1
        first_day = day_of_hour(settings.first_hour_ms // HOUR_MS)
        if last < first_day or not settings.audit_days:
            return dg.SkipReason("no day has ended" if settings.audit_days else "no days to audit")
        first = max(first_day, last - settings.audit_days + 1)
        return dg.RunRequest(tags={RANGE_START: key_of_day(first), RANGE_END: key_of_day(last)})

    return look
