"""Checks on the partitions of an asset: declared as plain functions, made into Dagster's checks here.

Partitions are numbers: hours, or days, since the epoch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dagster as dg

from clickstream_assets.checks.evidence import Finding, Findings
from clickstream_assets.dagster_internals import AssetCheckEvaluationTargetMaterializationData

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
_NAMED = 10
E = TypeVar("E")
Targets = Mapping[str, AssetCheckEvaluationTargetMaterializationData]
"""By partition key, the materialization that an evaluation has looked at."""


@dataclass(frozen=True, slots=True)
class PartitionCheck(Generic[E]):
    """A check on each partition: what has to hold, how bad it is if it does not, whether it holds the partition."""

    name: str
    description: str
    find: Callable[[E], Findings]
    severity: dg.AssetCheckSeverity = ERROR
    blocking: bool = False
    audited: bool = False
    """Whether the audit says here what differs in the asset."""


class PartitionChecks(Generic[E]):
    """All checks on one asset's partitions: ``unit`` is what they are, and ``key_of`` gives Dagster's keys."""

    def __init__(self, asset: str, unit: str, key_of: Callable[[int], str]) -> None:
        self.asset, self._unit, self._key_of = asset, unit, key_of
        self.checks: dict[str, PartitionCheck[E]] = {}

    def add(
        self,
        description: str,
        *,
        severity: dg.AssetCheckSeverity = ERROR,
        blocking: bool = False,
        audited: bool = False,
        name: str = "",
    ) -> Callable[[Callable[[E], Findings]], Callable[[E], Findings]]:
        """Declare the decorated function a check, under its own name unless another is given."""

        def declare(find: Callable[[E], Findings]) -> Callable[[E], Findings]:
            called = name or getattr(find, "__name__", "")
            self.checks[called] = PartitionCheck(called, description, find, severity, blocking, audited)
            return find

        return declare

    def key(self, name: str) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(dg.AssetKey(self.asset), name)

    def specs(self, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=self.asset,
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions,
            )
            for check in self.checks.values()
        ]

    def find(
        self, look: Callable[[PartitionCheck[E]], Findings], names: Sequence[str], partitions: Iterable[int]
    ) -> dict[str, Findings]:
        """What ``look`` finds for some checks; for one that raises, that it could not look, in every partition."""
        by_check: dict[str, Findings] = {}
        for name in names:
            try:
                by_check[name] = look(self.checks[name])
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it did not see what it is to vouch for
                words = f"could not look: {type(error).__name__}: {error}"
                by_check[name] = dict.fromkeys(partitions, Finding(passed=False, words=words[:500]))
        return by_check

    def report(
        self, context: dg.AssetCheckExecutionContext, by_check: Mapping[str, Findings], partitions: Iterable[int]
    ) -> Iterator[dg.AssetCheckResult | dg.Output[None]]:
        """Record each finding as an evaluation of its partition; over many, sum up each check too.

        Dagster plans an evaluation for every partition of a run and every check. One for which none is recorded under
        its partition key counts as *skipped* when the run ends, and its check as not passed; so does one that holds
        nothing. A run over one partition is not summed up: that would be a second state beside it.
        """
        execution = context.op_execution_context
        targets = self.materializations(execution.instance, partitions)
        for name, findings in by_check.items():
            if len(findings) == 1:
                output_name = execution.assets_def.get_output_name_for_asset_check_key(self.key(name))
                yield dg.Output(None, output_name=output_name)
            else:
                yield self._summary(self.checks[name], findings)
            self.record(execution, name, findings, targets)

    def record(self, execution: dg.OpExecutionContext, name: str, findings: Findings, targets: Targets) -> None:
        log_event: Any = execution.log_event  # takes evaluations, though its type does not say so
        check = self.checks[name]
        for number, finding in findings.items():
            key = self._key_of(number)
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

    def materializations(self, instance: dg.DagsterInstance, partitions: Iterable[int]) -> Targets:
        """The latest of each partition: an evaluation counts only if it says that it looked at that one."""
        latest = instance.get_latest_storage_id_by_partition(
            dg.AssetKey(self.asset), dg.DagsterEventType.ASSET_MATERIALIZATION, set(map(self._key_of, partitions))
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

    def _summary(self, check: PartitionCheck[E], findings: Findings) -> dg.AssetCheckResult:
        failed = [number for number, finding in findings.items() if not finding.passed]
        words = f"{len(findings) - len(failed)} of {len(findings)} {self._unit} passed"
        if failed:
            keys = ", ".join(map(self._key_of, failed[:_NAMED]))
            words += f"; failed: {keys}; {findings[failed[0]].words}"
        return dg.AssetCheckResult(
            passed=not failed,
            asset_key=self.asset,
            check_name=check.name,
            severity=WARN if check.blocking else check.severity,
            description=words,
            metadata={self._unit: len(findings), "failed": len(failed)},
        )
