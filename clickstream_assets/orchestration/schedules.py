"""The schedules: a look at the hour that has just closed, and the nightly audit of the last days."""

import dagster as dg

from clickstream_assets.checks.hour_checks import AUDIT_JOB, NOW_JOB
from clickstream_assets.checks.presence import GRACE_MINUTES, latest_closed_hour
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings


def hourly_look(settings: Settings) -> dg.ScheduleDefinition:
    return _over_closed_hours(
        "hourly_look",
        NOW_JOB,
        f"{GRACE_MINUTES + 1} * * * *",
        "Looks once an hour at the hour that has just closed, from end to end, and whether anything is lost unread.",
        settings,
        1,
    )


def nightly_audit(settings: Settings) -> dg.ScheduleDefinition:
    return _over_closed_hours(
        "nightly_audit",
        AUDIT_JOB,
        "30 3 * * *",
        f"Compares the last {settings.audit_days} days with what computing them again gives, record by record "
        "(CLICKSTREAM_AUDIT_DAYS).",
        settings,
        24 * settings.audit_days,
    )


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
