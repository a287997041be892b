"""Checks on the hours of an asset: declared as plain functions, made into Dagster's checks here.

A check that could not look fails, whatever its severity. A blocking check that fails holds its hour: the later assets
leave it as it is (docs/runbook.md). Dagster itself would stop the whole run, hours that are fine included; so the run's
summary of a blocking check only warns, and the hour's own evaluation, recorded after it, is the error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import sleep
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.checks.audit import Audit
from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.checks.partition_checks import PartitionCheck, PartitionChecks
from clickstream_assets.checks.presence import GRACE_MINUTES, presences
from clickstream_assets.checks.said_before import last_findings, remember
from clickstream_assets.dagster_internals import IMPLICIT_ASSET_JOB_NAME
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.ledger_entries import HourPart

LATEST_CLOSED_HOUR = "latest_closed_hour"
NOW_JOB, AUDIT_JOB = "clickstream_now", "clickstream_audit"
_LOOK_AGAIN_SECONDS = 10
"""Behind a look by schedule that failed: a run may just have been writing."""


class HourChecks(PartitionChecks[Evidence]):
    """All checks on one asset's hours, those that every asset has included."""

    def __init__(self, asset: str, *, is_first: bool = False) -> None:
        super().__init__(asset, "hours", key_of_hour)
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

    def definition(self, hourly: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
        """The checks as a step of their own, in runs that people start."""

        @dg.multi_asset_check(name=f"check_{self.asset}", specs=self.specs(hourly), can_subset=True)
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
            yield from self.report(context, by_check, hours_of(context))

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
        targets = self.materializations(execution.instance, hours_of(context))
        for name in self.checks:
            again = {hour: findings[name] for hour, findings in said.items() if hour not in looked_at}
            self.record(execution, name, {**again, **by_check.get(name, {})}, targets)

    def findings(self, evidence: Evidence, names: Sequence[str], audit: Audit | None = None) -> dict[str, Findings]:
        """What some checks find; for one that raises, that it could not look, in every hour.

        Hours in which an ``audit`` finds differences are doubted.

        Hours in which blocking checks failed are held, the others released, if all of those were asked for. What was
        found is kept with the hours' states.
        """

        def look(check: PartitionCheck[Evidence]) -> Findings:
            findings = check.find(evidence)
            return self._audited(evidence, audit, findings) if audit and check.audited else findings

        by_check = self.find(look, names, evidence.hours)
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


def _held_back(asset: str, evidence: Evidence) -> Findings:
    findings = {}
    for hour, state in evidence.states.items():
        holds = state.held_before(asset)
        words = "; ".join(f"{', '.join(hold.checks)} of {name} failed" for name, hold in holds.items())
        sentence = f"left as it was: {words}" if holds else "no earlier asset's check holds the hour"
        findings[hour] = Finding(not holds, sentence)
    return findings
