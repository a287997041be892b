"""What checks have said of an hour before: kept by Dagster, and in short with the hour's state."""

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.dagster_internals import PartitionKeyFilter
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.shown_text import printable

_MOST_CHARACTERS = 300


def last_findings(instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey], hour: int) -> dict[str, Finding]:
    """What those of some checks that have looked at an hour said last."""
    partition = PartitionKeyFilter(key=key_of_hour(hour))
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks, partition)
    return {
        key.name: Finding(evaluation.passed, evaluation.description or "", evaluation.metadata)
        for key, record in records.items()
        if (evaluation := record.evaluation) is not None
    }


def remember(asset: str, evidence: Evidence, by_check: Mapping[str, Findings], checks: Collection[str]) -> None:
    """Keep what some checks of an asset found in each hour beside what its others found last.

    ``checks`` are the names of all there are: what others have said, that are no more, is forgotten.
    """
    found = {}
    for hour, state in evidence.states.items():
        found[hour] = said_by_now(state.checked.get(asset, {}), by_check, hour, checks)
    evidence.books.hours.remember_checks(asset, evidence.states, found)


def said_by_now(
    before: Mapping[str, str], by_check: Mapping[str, Findings], partition: int, checks: Collection[str]
) -> dict[str, str]:
    """What checks last found in an hour or a day: some of them now, the others of those there are before."""
    others = {name: words for name, words in before.items() if name in checks}
    return others | {name: _in_short(findings[partition]) for name, findings in by_check.items()}


def _in_short(finding: Finding) -> str:
    """Nothing if it passed, else what is wrong."""
    return "" if finding.passed else printable(finding.words)[:_MOST_CHARACTERS] or "failed"
