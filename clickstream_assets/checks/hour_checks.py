"""Checks on the hours of an asset: declared as plain functions, made into Dagster's checks here.

A check that could not look fails, whatever its severity. A blocking check that fails holds its hour: the later assets
leave it as it is (docs/runbook.md). Dagster itself would stop the whole run, hours that are fine included; so the run's
summary of a blocking check only warns, and the hour's own evaluation, recorded after it, is the error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.checks.audit import Audit
from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.checks.presence import GRACE_MINUTES, presences
from clickstream_assets.checks.said_before import last_findings, remember
from clickstream_assets.dagster_internals import (
    IMPLICIT_ASSET_JOB_NAME,
    AssetCheckEvaluationTargetMaterializationData,
)
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.ledger_entries import HourPart

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
LATEST_CLOSED_HOUR = "latest_closed_hour"
NOW_JOB, AUDIT_JOB = "clickstream_now", "clickstream_audit"
_LOOK_AGAIN_SECONDS = 10
"""Behind a look by schedule that failed: a run may just have been writing."""
_NAMED = 10
Find = Callable[[Evidence], Findings]
Targets = Mapping[str, AssetCheckEvaluationTargetMaterializationData]
"""By partition key, the materialization that an evaluation has looked at."""


@dataclass(frozen=True, slots=True)
class HourCheck:
    """A check on each hour of an asset: what has to hold, how bad it is if it does not, whether it holds the hour."""

    name: str
    description: str
    find: Find
    severity: dg.AssetCheckSeverity = ERROR
    blocking: bool = False
    audited: bool = False
    """Whether the audit says here what differs in the asset."""


class HourChecks:
    """All checks on one asset's hours, those that every asset has included."""

    def __init__(self, asset: str, *, is_first: bool = False) -> None:
        self.asset = asset
        self.checks: dict[str, HourCheck] = {}
        self.add(
            f"The hour, once it has been closed for {GRACE_MINUTES} minutes, is present with all that was ingested for "
            "it. Looked at in each run, and once an hour for the latest such hour.",
            name=LATEST_CLOSED_HOUR,
        )(partial(presences, asset))
        if not is_first:
            self.add(
                f"No blocking check of an earlier asset keeps `{asset}` from being brought up to date.",
                name="held_back",
            )(partial(_held_back, asset))

    def add(
        self,
        description: str,
        *,
        severity: dg.AssetCheckSeverity = ERROR,
        blocking: bool = False,
        audited: bool = False,
        name: str = "",
    ) -> Callable[[Find], Find]:
        """Declare the decorated function a check, under its own name unless another is given."""

        def declare(find: Find) -> Find:
            check = HourCheck(name or find.__name__, description, find, severity, blocking, audited)
            self.checks[check.name] = check
            return find

        return declare

    def key(self, name: str) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(dg.AssetKey(self.asset), name)

    def definition(self, hourly: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
        """The checks as a step of their own, in runs that people start."""
        specs = [
            dg.AssetCheckSpec(
                check.name,
                asset=self.asset,
                description=check.description,
                blocking=check.blocking,
                partitions_def=hourly,
            )
            for check in self.checks.values()
        ]

        @dg.multi_asset_check(name=f"check_{self.asset}", specs=specs, can_subset=True)
        def look(
            context: dg.AssetCheckExecutionContext,
            hbase: HBaseResource,
            spark: SparkResource,
            geoip: GeoIPResource,
            elasticsearch: ElasticsearchResource,
            configured: dg.ResourceParam[Settings],
        ) -> Iterator[dg.AssetCheckResult | dg.Output[None]]:
            names = [name for name in self.checks if self.key(name) in context.selected_asset_check_keys]
            is_followed = context.run.job_name == IMPLICIT_ASSET_JOB_NAME
            is_audit = context.run.job_name == AUDIT_JOB
            audit = Audit(spark, geoip, elasticsearch, configured.url_limits) if is_audit else None
            with hbase.books() as books:
                what = hours_of(context), books, configured, elasticsearch
                by_check = self.findings(Evidence(*what, is_followed=is_followed), names, audit)
                passed = all(finding.passed for findings in by_check.values() for finding in findings.values())
                if context.run.job_name == NOW_JOB and not passed:
                    sleep(_LOOK_AGAIN_SECONDS)
                    by_check = self.findings(Evidence(*what), names)
            yield from self._report(context, by_check)

        return look

    def evaluate(
        self,
        context: dg.AssetExecutionContext,
        hours: Sequence[int],
        new: Mapping[int, Sequence["HourPart"]],
        hbase: HBaseResource,
        elasticsearch: ElasticsearchResource,
        configured: Settings,
    ) -> None:
        """Behind the asset's materialization, in a run of the sensor: record what the checks find in the hours done.

        Of hours in ``new`` they look at these parts of the ledger, of the others at all.

        Such a run has no steps for checks. Dagster plans the evaluations of those steps when it creates the run, and
        counts each of their checks as not passed until it has them. Runs follow one another all day: somebody who looks
        would mostly see that nothing has passed.
        """
        execution = context.op_execution_context
        # Hours that the run has passed over are as they were. What was last said of them is said again, for a
        # materialization takes it away; of which nothing was, they are looked at.
        keys, passed_over = [self.key(name) for name in self.checks], set(hours_of(context)) - set(hours)
        said = {hour: last_findings(execution.instance, keys, hour) for hour in sorted(passed_over)}
        looked_at = sorted({*hours, *(hour for hour, findings in said.items() if len(findings) < len(self.checks))})
        by_check: dict[str, Findings] = {}
        if looked_at:
            with hbase.books() as books:
                evidence = Evidence(looked_at, books, configured, elasticsearch, new=new)
                by_check = self.findings(evidence, list(self.checks))
        targets = self._materializations(execution.instance, hours_of(context))
        for name in self.checks:
            again = {hour: findings[name] for hour, findings in said.items() if hour not in looked_at}
            self._record(execution, name, {**again, **by_check.get(name, {})}, targets)

    def findings(self, evidence: Evidence, names: Sequence[str], audit: Audit | None = None) -> dict[str, Findings]:
        """What some checks find; for one that raises, that it could not look, in every hour.

        Hours in which an ``audit`` finds differences are doubted.

        Hours in which blocking checks failed are held, the others released, if all of those were asked for. What was
        found is kept with the hours' states.
        """
        by_check: dict[str, Findings] = {}
        for name in names:
            try:
                by_check[name] = self.checks[name].find(evidence)
                if audit and self.checks[name].audited:
                    by_check[name] = self._audited(evidence, audit, by_check[name])
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it did not see what it is to vouch for
                words = f"could not look: {type(error).__name__}: {error}"
                by_check[name] = dict.fromkeys(evidence.hours, Finding(passed=False, words=words[:500]))
        blocking = [check.name for check in self.checks.values() if check.blocking]
        if blocking and set(blocking) <= by_check.keys():
            failed = {hour: [name for name in blocking if not by_check[name][hour].passed] for hour in evidence.hours}
            evidence.books.hours.hold(self.asset, evidence.states, failed)
        remember(self.asset, evidence, by_check, self.checks)
        return by_check

    def _audited(self, evidence: Evidence, audit: Audit, findings: Findings) -> Findings:
        """Findings with what differs in the asset.

        Hours that wait to be computed, or to be closed, are passed over, but for those that the audit itself has
        doubted for another asset: its steps come in any order.
        """
        at_rest = [
            hour
            for hour, state in evidence.states.items()
            if state.touched and not state.closes and (not state.stale or state.touched == state.doubted)
        ]
        differences = audit.differences(self.asset, evidence.books, at_rest)
        evidence.books.hours.doubt(differences)
        failed = {
            hour: replace(findings[hour], passed=False, words=findings[hour].words + words)
            for hour, words in differences.items()
        }
        return {**findings, **failed}

    def _report(
        self, context: dg.AssetCheckExecutionContext, by_check: Mapping[str, Findings]
    ) -> Iterator[dg.AssetCheckResult | dg.Output[None]]:
        """Record each finding as an evaluation of its hour; over many hours, sum up each check too.

        Dagster plans an evaluation for every hour of a run and every check. An hour for which none is recorded under
        its partition key counts as *skipped* when the run ends, and its check as not passed; so does one that holds
        nothing. A run over one hour is not summed up: without a partition, that would be a second state beside it.
        """
        execution = context.op_execution_context
        targets = self._materializations(execution.instance, hours_of(context))
        for name, findings in by_check.items():
            if len(findings) == 1:
                output_name = execution.assets_def.get_output_name_for_asset_check_key(self.key(name))
                yield dg.Output(None, output_name=output_name)
            else:
                yield _summary(self.asset, self.checks[name], findings)
            self._record(execution, name, findings, targets)

    def _record(self, execution: dg.OpExecutionContext, name: str, findings: Findings, targets: Targets) -> None:
        log_event: Any = execution.log_event  # takes evaluations, though its type does not say so
        check = self.checks[name]
        for hour, finding in findings.items():
            key = key_of_hour(hour)
            log_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(self.asset),
                    check_name=name,
                    passed=finding.passed,
                    severity=check.severity,
                    description=finding.words,
                    metadata=dict(finding.figures),
                    blocking=check.blocking,
                    partition=key,
                    target_materialization_data=targets.get(key),
                )
            )

    def _materializations(self, instance: dg.DagsterInstance, hours: Iterable[int]) -> Targets:
        """The latest of each hour: an evaluation counts only if it says that it looked at that one."""
        latest = instance.get_latest_storage_id_by_partition(
            dg.AssetKey(self.asset), dg.DagsterEventType.ASSET_MATERIALIZATION, {key_of_hour(hour) for hour in hours}
        )
        records = instance.get_asset_event_summary_records(
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            asset_key=dg.AssetKey(self.asset),
            storage_ids=sorted(latest.values()),
        )
        return {
            record.partition: AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.run_id or "", timestamp=record.timestamp
            )
            for record in records
            if record.partition is not None
        }


def _held_back(asset: str, evidence: Evidence) -> Findings:
    findings = {}
    for hour, state in evidence.states.items():
        holds = state.held_before(asset)
        words = "; ".join(f"{', '.join(hold.checks)} of {name} failed" for name, hold in holds.items())
        sentence = f"left as it was: {words}" if holds else "no earlier asset's check holds the hour"
        findings[hour] = Finding(not holds, sentence)
    return findings


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
