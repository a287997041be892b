"""What people are told when a run or a check fails: one message for each run, however many hours or days failed.

The message is a contract (docs/runbook.md, "Alerts"): what changes its meaning raises :data:`VERSION`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clickstream_assets.events.days import day_of_key
from clickstream_assets.events.shown_text import inert

VERSION = 1
ERROR, WARNING = "error", "warning"
_NAMED = 24
"""So many hours, or days, of a failed check are named in a message; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a check said of an hour or a day (its partition key), or of a whole run where ``partition`` is None."""

    asset: str
    check: str
    partition: str | None
    passed: bool
    is_warning: bool
    description: str


@dataclass(frozen=True, slots=True)
class FailedCheck:
    asset: str
    check: str
    severity: str
    """The worst that it said."""
    description: str
    """What it said of the first of the hours or days."""
    hours: list[str]
    """The first hours it failed for, as partition keys; empty where it did not say which, or is over days."""
    hours_failed: int
    days: list[str]
    """The same of days."""
    days_failed: int


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    id: str
    job: str
    status: str
    url: str
    tags: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    """Why it failed, in the words of Dagster's log; empty if it did not."""

    @property
    def failed(self) -> bool:
        """Whether it ended in failure; a run that someone cancelled did not."""
        return self.status == "FAILURE"


def failed_checks(evaluations: Iterable[Evaluation]) -> list[FailedCheck]:
    """The checks that failed, in the order they came. What a check said last of an hour, or day, counts.

    A check over many of them also says something of the whole run: left out where it named those that failed.
    """
    last: dict[tuple[str, str], dict[str | None, Evaluation]] = {}
    for evaluation in evaluations:
        last.setdefault((evaluation.asset, evaluation.check), {})[evaluation.partition] = evaluation
    failures = []
    for (asset, check), by_key in last.items():
        failed = {key: evaluation for key, evaluation in by_key.items() if not evaluation.passed}
        keys = sorted(key for key in failed if key is not None)
        concerned = [failed[key] for key in keys] or list(failed.values())
        if concerned:
            severity = WARNING if all(evaluation.is_warning for evaluation in concerned) else ERROR
            hours, days = [key for key in keys if not _is_day(key)], [key for key in keys if _is_day(key)]
            which = hours[:_NAMED], len(hours), days[:_NAMED], len(days)
            failures.append(FailedCheck(asset, check, severity, inert(concerned[0].description), *which))
    return failures


def message(run: Run, checks: list[FailedCheck]) -> dict[str, Any] | None:
    """The message on a finished run, ready for JSON; None if neither the run nor a check failed."""
    if not (run.failed or checks):
        return None
    error = "\n".join(map(inert, run.error.splitlines()))
    severity = ERROR if run.failed or any(check.severity == ERROR for check in checks) else WARNING
    return {
        "version": VERSION,
        "kind": "run_failed" if run.failed else "checks_failed",
        "severity": severity,
        "text": _in_words(run, error, checks, severity),
        "run": {"id": run.id, "job": run.job, "status": run.status, "url": run.url, "error": error}
        | {"why": run.tags.get("clickstream/why", ""), "hours": None, "days": None}
        | _span_of(run.tags),
        "failed_checks": [asdict(check) for check in checks],
    }


def _is_day(key: str) -> bool:
    """Whether a partition key is that of a day; else it is an hour's."""
    try:
        day_of_key(key)
    except ValueError:
        return False
    return True


def _span_of(tags: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """First and last of a run's ``hours`` or ``days``, both included; nothing for a run without either."""
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    return {"days" if _is_day(first) else "hours": {"first": first, "last": last}} if first and last else {}


def _first_line(error: str) -> str:
    return error.splitlines()[0] if error else "no reason given"


def _in_words(run: Run, error: str, checks: list[FailedCheck], severity: str) -> str:
    """The message as one line of text, for chat programs."""
    parts = []
    if run.failed:
        parts.append(f"run {run.id[:8]} of {run.job} failed: {_first_line(error)}")
    for check in checks:
        parts.append(f"{check.asset}: {check.check} ({check.severity}) failed{_where(check)}: {check.description}")
    return f"[{severity}] {'; '.join(parts)} — {run.url}"


def _where(check: FailedCheck) -> str:
    """Which hours, or days, a check failed for, in words."""
    if check.days_failed > 1:
        return f" for {check.days_failed} days from {check.days[0]}"
    if check.hours_failed > 1:
        return f" for {check.hours_failed} hours from {check.hours[0]}"
    return f" for the day {check.days[0]}" if check.days else f" for {check.hours[0]}" if check.hours else ""
