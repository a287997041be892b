"""Checks on the days of an asset: like those on hours, but none holds a day, and each looks at all of it.

What they find is kept with the day, and told in its hours' documents. A day that is found wrong by a run of the sensor
or by the audit is doubted: done once more, compared row by row and document by document.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.checks.evidence import Finding
from clickstream_assets.checks.partition_checks import PartitionChecks
from clickstream_assets.checks.said_before import said_by_now
from clickstream_assets.events.days import end_of_day_ms, hours_of_day, key_of_day
from clickstream_assets.partitions import days_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.day_states import DayState
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.index.dimension_documents import Spans
    from clickstream_assets.index.documents import Totals

Findings = Mapping[int, Finding]
"""By day, in days since the epoch."""
DAY_AUDIT_JOB = "clickstream_days_audit"


class DayEvidence:
    """Days, the books on an open connection, Elasticsearch, and the settings."""

    def __init__(
        self, days: Sequence[int], books: "Books", limits: Settings, elasticsearch: ElasticsearchResource
    ) -> None:
        self.days, self.books, self.limits, self.elasticsearch = days, books, limits, elasticsearch
        self.ended = {day for day in days if end_of_day_ms(day) <= time() * 1000}
        self.states: dict[int, DayState] = books.days.read(days)

    @cached_property
    def rows(self) -> "Mapping[int, dict[str, Totals]]":
        """By day and scope what its rows add up to."""
        from clickstream_assets.index.daily_documents import row_totals

        return row_totals(self.books, self.days)

    @cached_property
    def hours(self) -> "Mapping[int, dict[int, HourState]]":
        """Each day's hours, read behind its rows."""
        _ = self.rows
        return {day: self.books.hours.read(hours_of_day(day)) for day in self.days}

    @cached_property
    def dimensions(self) -> "Mapping[int, Spans]":
        """By day, span and dimension what documents add up to."""
        from clickstream_assets.index.dimension_documents import dimension_sums

        with self.elasticsearch.client() as es:
            return dimension_sums(es, self.limits.dimensions_alias, self.days)

    def unless_computed_since(self, day: int, finding: Finding) -> Finding:
        """A finding; of a day whose hours have come to other metrics since it was rolled up, that it will be again."""
        if not finding.passed and self.states[day].lacks(self.books.hours.read(hours_of_day(day))):
            return Finding(True, "its hours were computed since: the day is about to be rolled up again")
        return finding

    def people_among_events(self, day: int) -> int:
        """Distinct users of the day's clicks, of all that its hours' metrics count."""
        from clickstream_assets.evidence.people import count_people

        computed = {hour: state for hour, state in self.hours[day].items() if state.computed}
        return count_people(self.books, computed, sum(state.clicks or 0 for state in computed.values()))


class DayChecks(PartitionChecks[DayEvidence]):
    """All checks on one asset's days."""

    def __init__(self, asset: str) -> None:
        super().__init__(asset, "days", key_of_day)

    def definition(self, daily: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
        """The checks as a step of their own, in runs that people start."""

        @dg.multi_asset_check(name=f"check_{self.asset}", specs=self.specs(daily), can_subset=True)
        def look(
            context: dg.AssetCheckExecutionContext,
            hbase: HBaseResource,
            elasticsearch: ElasticsearchResource,
            configured: dg.ResourceParam[Settings],
        ) -> Iterator[dg.AssetCheckResult | dg.Output[None]]:
            names = [name for name in self.checks if self.key(name) in context.selected_asset_check_keys]
            with hbase.books() as books:
                evidence = DayEvidence(days_of(context), books, configured, elasticsearch)
                found = self._found(evidence, names)
                if context.run.job_name == DAY_AUDIT_JOB:
                    books.days.doubt(_failed(found))
            yield from self.report(context, found, days_of(context))

        return look

    def evaluate(
        self,
        context: dg.AssetExecutionContext,
        hbase: HBaseResource,
        elasticsearch: ElasticsearchResource,
        configured: Settings,
    ) -> None:
        """Behind the asset's materialization, in a run of the sensor: record what the checks find in its days.

        Days that did not fail before are doubted if they do now: what doing them whole has not mended, it will not.
        """
        days, execution = days_of(context), context.op_execution_context
        with hbase.books() as books:
            evidence = DayEvidence(days, books, configured, elasticsearch)
            found = self._found(evidence, list(self.checks))
            failed_before = {day for day in days if any(evidence.states[day].checked.get(self.asset, {}).values())}
            books.days.doubt(_failed(found) - failed_before)
        targets = self.materializations(execution.instance, days)
        for name, findings in found.items():
            self.record(execution, name, findings, targets)

    def _found(self, evidence: DayEvidence, names: Sequence[str]) -> dict[str, Findings]:
        """What some checks find, which is kept with the days; where that is new, their hours are told of again."""
        found = self.find(lambda check: check.find(evidence), names, evidence.days)
        for day, state in evidence.states.items():
            before = state.checked.get(self.asset, {})
            if (now := said_by_now(before, found, day, self.checks)) != before:
                evidence.books.days.remember_checks(self.asset, day, now)
                evidence.books.hours.tell_again(hours_of_day(day))
        return found


def _failed(found: Mapping[str, Findings]) -> set[int]:
    return {day for findings in found.values() for day, finding in findings.items() if not finding.passed}
