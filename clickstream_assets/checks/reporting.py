"""How checks look at many hours in one step, and say what they found in each.

A check that could not look fails, whatever its severity. A blocking check that fails holds its hour: the later assets
leave it as it is (docs/runbook.md). Dagster itself would stop the whole run, hours that are fine included; so the run's
summary of a blocking check only warns, and the hour's own evaluation, recorded after it, is the error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from clickstream_assets.automation import ALL_ASSETS_JOB
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hourly

if TYPE_CHECKING:
    from clickstream_assets.domain.stale_hours import HourState

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in one hour: whether it holds, what was compared in words, and the figures."""

    passed: bool
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


Findings = Mapping[int, Finding]
"""By hour, in hours since the epoch."""

Reported = Iterator[dg.AssetCheckResult | dg.Output[None]]
"""What the step of some checks yields."""


@dataclass(frozen=True, slots=True)
class HourCheck:
    """A check on each hour of an asset: what has to hold, how bad it is if it does not, whether it holds the hour."""

    name: str
    description: str
    severity: dg.AssetCheckSeverity = ERROR
    blocking: bool = False

    def spec(self, asset: str) -> dg.AssetCheckSpec:
        """The check as Dagster knows it."""
        return dg.AssetCheckSpec(
            self.name, asset=asset, description=self.description, blocking=self.blocking, partitions_def=hourly
        )


def share(part: int, whole: int, most: float, what: str, *, least: int = 20) -> Finding:
    """Whether ``part`` is no more than the share ``most`` of ``whole``; quiet where that is less than ``least``."""
    ratio = part / whole if whole else 0.0
    words = f"{part} of {whole} {what} ({ratio:.1%}, warns above {most:.0%}"
    words += f", not below {least})" if whole < least else ")"
    return Finding(whole < least or ratio <= most, words, {f"share that {what}": ratio})


def both(one: Finding, other: Finding) -> Finding:
    """Two findings of one check."""
    return Finding(one.passed and other.passed, f"{one.words}; {other.words}", dict(one.figures) | dict(other.figures))


def held_back(asset: str) -> HourCheck:
    """The check of ``asset`` that fails for hours that an earlier asset's check holds."""
    return HourCheck(
        "held_back", f"No blocking check of an earlier asset keeps `{asset}` from being brought up to date."
    )


def held_findings(asset: str, states: "Mapping[int, HourState]") -> Findings:
    """For each hour whether an earlier asset's check holds it, and which."""
    findings = {}
    for hour, state in states.items():
        holds = state.held_before(asset)
        words = "; ".join(f"{', '.join(hold.checks)} of {name} failed" for name, hold in holds.items())
        findings[hour] = Finding(
            passed=not holds, words=f"left as it was: {words}" if holds else "no earlier asset's check holds the hour"
        )
    return findings


def look(hours: Sequence[int], checks: Mapping[str, Callable[[], Findings]]) -> dict[str, Findings]:
    """What each check finds; for one that raises, that it could not look, in every hour."""
    found: dict[str, Findings] = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the check did not see what it is to vouch for
            words = f"could not look: {type(error).__name__}: {error}"
            found[name] = dict.fromkeys(hours, Finding(passed=False, words=words[:500]))
    return found


def failed_by_hour(checks: Sequence[HourCheck], found: Mapping[str, Findings]) -> dict[int, list[str]]:
    """By hour the blocking checks that failed."""
    failed: dict[int, list[str]] = {}
    for check in checks:
        for hour, finding in found[check.name].items() if check.blocking else ():
            if not finding.passed:
                failed.setdefault(hour, []).append(check.name)
    return failed


def record(
    context: dg.AssetExecutionContext,
    asset: str,
    checks: Sequence[HourCheck],
    look: Callable[[], Mapping[str, Findings]],
) -> None:
    """Behind an asset's materialization, in a run of the sensor: record what its checks find in each hour.

    Such a run has no steps for checks. Dagster plans the evaluations of those steps when it creates the run, and counts
    each of their checks as not passed until it has them. Runs follow one another all day: somebody who looks would
    mostly see that nothing has passed.
    """
    execution = context.op_execution_context
    if execution.job_name == ALL_ASSETS_JOB:
        _record(execution, asset, checks, look())


def _record(
    execution: dg.OpExecutionContext, asset: str, checks: Iterable[HourCheck], found: Mapping[str, Findings]
) -> None:
    log_event: Any = execution.log_event  # takes evaluations, though its type does not say so
    hours = {hour for findings in found.values() for hour in findings}
    targets = _materializations(execution.instance, dg.AssetKey(asset), hours)
    for check in checks:
        for hour, finding in found[check.name].items():
            log_event(_evaluation(asset, check, hour, finding, targets))


def report(
    context: dg.AssetCheckExecutionContext, asset: str, checks: Sequence[HourCheck], found: Mapping[str, Findings]
) -> Reported:
    """Record each finding of the selected checks as an evaluation of its hour; over many hours, sum up each check too.

    Dagster plans an evaluation for every hour of a run and every check. An hour for which none is recorded under its
    partition key counts as *skipped* when the run ends, and its check as not passed; so does one that holds nothing.
    A run over one hour is not summed up: without a partition, that would be a second state beside the hour's.
    """
    execution = context.op_execution_context
    selected = {key.name for key in context.selected_asset_check_keys if key.asset_key == dg.AssetKey(asset)}
    for check in (check for check in checks if check.name in selected):
        findings = found[check.name]
        if len(findings) == 1:
            key = check.spec(asset).key
            yield dg.Output(None, output_name=execution.assets_def.get_output_name_for_asset_check_key(key))
        else:
            yield _summary(asset, check, findings)
        _record(execution, asset, [check], found)


def _evaluation(
    asset: str,
    check: HourCheck,
    hour: int,
    finding: Finding,
    targets: Mapping[str, AssetCheckEvaluationTargetMaterializationData],
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=check.name,
        passed=finding.passed,
        severity=check.severity,
        description=finding.words,
        metadata=dict(finding.figures),
        blocking=check.blocking,
        partition=key_of_hour(hour),
        target_materialization_data=targets.get(key_of_hour(hour)),
    )


def _materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, hours: Iterable[int]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """By partition key the latest materialization of each hour: an evaluation counts, for the conditions that wait
    for it as well, only if it says that it looked at that one."""
    keys = {key_of_hour(hour) for hour in hours}
    latest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION, keys)
    records = instance.get_asset_event_summary_records(
        dg.DagsterEventType.ASSET_MATERIALIZATION, asset_key=asset, storage_ids=sorted(latest.values())
    )
    return {
        record.partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id or "", timestamp=record.timestamp
        )
        for record in records
        if record.partition is not None
    }


def _summary(asset: str, check: HourCheck, findings: Findings) -> dg.AssetCheckResult:
    failed = [hour for hour, finding in findings.items() if not finding.passed]
    words = f"{len(findings) - len(failed)} of {len(findings)} hours passed"
    if failed:
        words += f"; failed: {', '.join(map(key_of_hour, failed[:_NAMED]))}; {findings[failed[0]].words}"
    return dg.AssetCheckResult(
        passed=not failed,
        asset_key=asset,
        check_name=check.name,
        severity=WARN if check.blocking else check.severity,
        description=words,
        metadata={"hours": len(findings), "failed": len(failed)},
    )
