"""How a check that runs over many hours says what it found in each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from clickstream_assets.domain.hours import key_of_hour


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in one hour: whether it holds, what was compared in words, and the figures."""

    passed: bool
    words: str
    figures: Mapping[str, int] = field(default_factory=dict)


def report(
    context: dg.AssetCheckExecutionContext, asset: str, check: str, findings: Mapping[int, Finding]
) -> dg.AssetCheckResult:
    """Record each hour's finding as an evaluation of its partition; returns the run's own summary."""
    log_event: Any = context.op_execution_context.log_event  # takes evaluations, though its type does not say so
    for hour, finding in findings.items():
        log_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=check,
                passed=finding.passed,
                description=finding.words,
                metadata=dict(finding.figures),
                partition=key_of_hour(hour),
            )
        )
    failed = [hour for hour, finding in findings.items() if not finding.passed]
    words = f"{len(findings) - len(failed)} of {len(findings)} hours passed"
    if failed:
        words += f"; failed: {', '.join(key_of_hour(hour) for hour in failed[:10])}; {findings[failed[0]].words}"
    return dg.AssetCheckResult(
        passed=not failed, description=words, metadata={"hours": len(findings), "failed": len(failed)}
    )
