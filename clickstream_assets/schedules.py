"""The schedule that looks at the latest closed hour."""

import dagster as dg

from clickstream_assets.checks.hour_checks import GRACE_MINUTES, latest_closed_hour
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.jobs.hours import clickstream_now
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings


@dg.schedule(
    job=clickstream_now,
    cron_schedule=f"{GRACE_MINUTES + 1} * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks once an hour whether the hour that has just closed is present, and nothing is lost unread.",
)
def hourly_look(
    context: dg.ScheduleEvaluationContext, configured: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    hour = latest_closed_hour(context.scheduled_execution_time.timestamp())
    if hour < configured.first_hour_ms // HOUR_MS:
        return dg.SkipReason(f"{key_of_hour(hour)} is before the first partition")
    return dg.RunRequest(tags=tags_of(hour, hour))
