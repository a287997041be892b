"""What people are told when a run or a check fails: one message for each run, however many hours failed.

The message is a contract (docs/runbook.md, "Alerts"): what changes its meaning raises :data:`VERSION`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clickstream_assets.events.shown_text import inert

VERSION = 1
ERROR, WARNING = "error", "warning"
_HOURS_NAMED = 24
"""So many hours of a failed check are named in a message; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a check said of an hour (its partition key), or of a whole run where ``hour`` is None."""

    asset: str
    check: str
    hour: str | None
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
    """What it said of the first of the hours."""
    hours: list[str]
    """The first hours it failed for, as partition keys; empty where it did not say which."""
    hours_failed: int


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
    """The checks that failed, in the order they came. What a check said last of an hour counts.

    A check over many hours also says something of the whole run: left out where it named the hours that failed.
    """
    last: dict[tuple[str, str], dict[str | None, Evaluation]] = {}
    for evaluation in evaluations:
        last.setdefault((evaluation.asset, evaluation.check), {})[evaluation.hour] = evaluation
    failures = []
    for (asset, check), by_hour in last.items():
        failed = {hour: evaluation for hour, evaluation in by_hour.items() if not evaluation.passed}
        hours = sorted(hour for hour in failed if hour is not None)
        concerned = [failed[hour] for hour in hours] or list(failed.values())
        if concerned:
            severity = WARNING if all(evaluation.is_warning for evaluation in concerned) else ERROR
            failures.append(
                FailedCheck(asset, check, severity, inert(concerned[0].description), hours[:_HOURS_NAMED], len(hours)),
            )
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
        | {"why": run.tags.get("clickstream/why", ""), "hours": _hours_of(run.tags)},
        "failed_checks": [asdict(check) for check in checks],
    }


def _hours_of(tags: Mapping[str, str]) -> dict[str, str] | None:
    """First and last hour of a run, both included; None for a run without hours."""
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    return {"first": first, "last": last} if first and last else None


def _first_line(error: str) -> str:
    return error.splitlines()[0] if error else "no reason given"


def _in_words(run: Run, error: str, checks: list[FailedCheck], severity: str) -> str:
    """The message as one line of text, for chat programs."""
    parts = []
    if run.failed:
        parts.append(f"run {run.id[:8]} of {run.job} failed: {_first_line(error)}")
    for check in checks:
        hours = f" for {check.hours_failed} hours from {check.hours[0]}" if check.hours_failed > 1 else ""
        hours = f" for {check.hours[0]}" if check.hours_failed == 1 else hours
        parts.append(f"{check.asset}: {check.check} ({check.severity}) failed{hours}: {check.description}")
    return f"[{severity}] {'; '.join(parts)} — {run.url}"
