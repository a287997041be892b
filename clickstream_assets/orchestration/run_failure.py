"""``run_failure``: tells of failed runs and failed checks, in the log and to a webhook.

Dagster's own ``run_failure_sensor`` knows no checks, and passes on to the next run even if telling of one failed. This
one keeps two positions in Dagster's log, one for the sensor's log and one for the webhook, and moves one only when the
message was delivered. So a webhook that does not answer delays messages, and loses none.
"""

import logging
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field

from clickstream_assets.orchestration.alerts import ERROR, Evaluation, Run, failed_checks, message
from clickstream_assets.settings import Settings

_ENDS = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_CANCELED)
_RUNS_PER_TICK = 50
_TELLING_SECONDS = 30
"""A tick may take a minute: with a slow webhook the next tick delivers the rest."""
_TIMEOUT_SECONDS = 5
_PATIENCE_SECONDS = 10
"""A listener that is away for longer is tried again by the next tick."""

Position = dict[str, int]
"""By kind of a run's end, the last event in Dagster's log that was dealt with."""


class Progress(BaseModel):
    """How far the log and the webhook have been told."""

    log: Position = Field(default_factory=dict)
    webhook: Position = Field(default_factory=dict)


@dg.sensor(
    name="run_failure",
    minimum_interval_seconds=14,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of runs that failed and of checks that failed, a message a run: in the log of its ticks and, "
    "if `CLICKSTREAM_ALERT_WEBHOOK` is set, to that webhook.",
)
def run_failure(context: dg.SensorEvaluationContext, configured: dg.ResourceParam[Settings]) -> dg.SensorResult:
    if context.cursor is None:
        start = _latest(context.instance)
        progress = Progress(log=start, webhook=start)
        return dg.SensorResult(skip_reason="begins with what ends from now on", cursor=progress.model_dump_json())
    progress = Progress.model_validate_json(context.cursor)
    for position, alert in _alerts(context, progress.log, configured.links_to):
        if alert is not None:
            context.log.log(logging.ERROR if alert["severity"] == ERROR else logging.WARNING, alert["text"])
        progress.log = position
    words = _tell_webhook(context, progress, configured)
    return dg.SensorResult(skip_reason=words, cursor=progress.model_dump_json())


def _tell_webhook(context: dg.SensorEvaluationContext, progress: Progress, configured: Settings) -> str:
    """Post what the webhook has not got yet, up to the first message that it does not take; says how that went."""
    url = configured.secret("alert_webhook")
    if not url:
        progress.webhook = progress.log
        return "no webhook is set: told the log alone"
    delivered, deadline = 0, monotonic() + _TELLING_SECONDS
    for position, alert in _alerts(context, progress.webhook, configured.links_to):
        if alert is not None:
            try:
                _post(url, alert)
            except _NotDelivered as error:
                words = (
                    f"the webhook does not take the message on run {alert['run']['id']}: {error}. "
                    "The next tick tries again, and goes on from there"
                )
                context.log.error(words)
                return words
            delivered += 1
        progress.webhook = position
        if monotonic() > deadline:
            break
    return f"{delivered} messages delivered"


class _NotDelivered(Exception):
    """The webhook did not take a message; says why, and never where to: such addresses are secrets."""


def _post(url: str, message: Mapping[str, Any]) -> None:
    """Deliver a message, at least once; raises :class:`_NotDelivered`."""
    import orjson
    import requests

    from clickstream_assets.stores.retries import retrying

    def attempt() -> None:
        try:
            answer = requests.post(
                url,
                data=orjson.dumps(message),
                headers={"Content-Type": "application/json"},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,  # a redirected POST loses its body
            )
        except (requests.RequestException, ValueError) as error:  # urllib3's quote the address
            raise _NotDelivered(type(error).__name__) from None
        if not answer.ok or answer.is_redirect:
            raise _NotDelivered(f"HTTP {answer.status_code}")

    retrying(lambda error: isinstance(error, _NotDelivered), _PATIENCE_SECONDS)(attempt)


def _alerts(
    context: dg.SensorEvaluationContext, since: Position, dagster_url: str
) -> Iterator[tuple[Position, dict | None]]:
    """Each run that ended behind ``since``, oldest first: the position after it, and the message if there is one.

    A run of another code location gives no message.
    """
    instance = context.instance
    ends = []
    for kind in _ENDS:
        records = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=since.get(kind.value, 0))  # type: ignore[arg-type]
        changes = instance.fetch_run_status_changes(records, limit=_RUNS_PER_TICK, ascending=True).records
        ends += [(record.storage_id, kind, record) for record in changes]
    position = dict(since)
    for storage_id, kind, record in sorted(ends, key=lambda end: end[0])[:_RUNS_PER_TICK]:
        position = position | {kind.value: storage_id}
        run = instance.get_run_by_id(record.run_id)
        alert = _alert(instance, run, record, dagster_url) if run and _is_ours(context, run) else None
        yield position, alert


def _alert(instance: dg.DagsterInstance, run: dg.DagsterRun, end: dg.EventLogRecord, dagster_url: str) -> dict | None:
    url = f"{dagster_url}/runs/{run.run_id}"
    error = end.event_log_entry.user_message if run.status == dg.DagsterRunStatus.FAILURE else ""
    ended = Run(run.run_id, run.job_name, run.status.value, url, run.tags, cause(instance, run.run_id) or error)
    return message(ended, failed_checks(_evaluations(instance, run.run_id)))


def cause(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the first step that failed says of it, down to the error that began it; empty if no step failed."""
    for record in _records(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        error = record.event_log_entry.get_dagster_event().step_failure_data.error
        while error and error.cause:
            error = error.cause
        if error:
            return f"{record.event_log_entry.step_key}: {error.message.strip()}"
    return ""


def _evaluations(instance: dg.DagsterInstance, run_id: str) -> Iterator[Evaluation]:
    for record in _records(instance, run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        said = record.event_log_entry.get_dagster_event().asset_check_evaluation_data
        yield Evaluation(
            asset=said.asset_key.to_user_string(),
            check=said.check_name,
            partition=said.partition,
            passed=said.passed,
            is_warning=said.severity == dg.AssetCheckSeverity.WARN,
            description=said.description or "",
        )


def _records(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.EventLogRecord]:
    """All events of a kind of a run, in order."""
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=kind, limit=1_000)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def _is_ours(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Whether a run is of this sensor's code location; a run in a process of its own has no location, and is."""
    origin, here = run.remote_job_origin, context.code_location_origin
    return origin is None or here is None or origin.location_name == here.location_name


def _latest(instance: dg.DagsterInstance) -> Position:
    """The position behind all runs that have ended by now."""
    newest = {kind.value: instance.fetch_run_status_changes(kind, limit=1).records for kind in _ENDS}
    return {kind: records[0].storage_id if records else 0 for kind, records in newest.items()}
