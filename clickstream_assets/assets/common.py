"""What all assets share: partitions, one run for any list of hours, one writer at a time, what is to be done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.assets.column_schema import described
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.events.days import key_of_day
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.evidence.lineage import ASSETS
from clickstream_assets.partitions import daily, hourly, hours_of
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.books.ledger_entries import HourPart

GROUP = "clickstream"
OWNERS = ["team:data-engineering"]
CODE_VERSION = "2"
"""The edition of docs/contract.md. To be raised when the same messages come to other values: Dagster shows
what was made by the former rules as not in sync."""
TIERS = {
    "clickstream_topic": "source",
    "raw_clicks": "raw",
    "dead_letters": "raw",
    "enriched_clicks": "enriched",
    "url_country_metrics": "metrics",
    "es_index": "served",
    "daily_metrics": "metrics",
    "es_daily_index": "served",
    "es_dimensions_index": "served",
}
_OF_DAYS = frozenset({"daily_metrics", "es_daily_index", "es_dimensions_index"})
SENSOR_JOB = "clickstream_hours"
"""The job whose runs write every hourly asset, and whose steps look at their own checks."""
DAYS_JOB = "clickstream_days"
"""The same of the daily assets."""
HOURLY_FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=2, minutes=15), fail_window=timedelta(hours=4)
)
"""An hour is written when events reach it, or when it has closed without any. So the longest rest is an hour with
events in its first moments only, then one without: two hours. A warning says that the sensor is late, a failure that
two closed hours were passed over. See docs/decisions/0008-freshness-lag-and-alerts.md."""
TOPIC_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=1), fail_window=timedelta(hours=6))
"""Producers that are silent for an hour are worth a look; for six, something is broken, at night too."""


def asset_spec(name: str, settings: Settings) -> dict[str, Any]:
    """Arguments of ``dg.AssetSpec`` and ``dg.asset`` that all assets of hours and days share."""
    return {
        "group_name": GROUP,
        "deps": [_dependency(name, above) for above in (ASSETS[name].upstream, *ASSETS[name].behind) if above],
        "owners": OWNERS,
        "tags": tags_of_asset(name),
        "metadata": described(name, settings),
        "code_version": CODE_VERSION,
        "freshness_policy": HOURLY_FRESHNESS,
    }


def _dependency(name: str, above: str) -> dg.AssetDep:
    if name not in _OF_DAYS or above in _OF_DAYS:
        return dg.AssetDep(above)
    # A day's first hours may lie before the first partition.
    return dg.AssetDep(
        above, partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    )


def tags_of_asset(name: str) -> dict[str, str]:
    """What an asset is searched for by: its domain, how far from the message it is, whether it can tell a person."""
    is_personal = any(field.personal for field in ASSETS[name].columns.values())
    return {"domain": "clickstream", "tier": TIERS[name], "pii": str(is_personal).lower()}


def hourly_step(name: str, settings: Settings) -> dict[str, Any]:
    """Arguments of the step that writes hourly assets. One run does many hours, and one run at a time."""
    return _step(name, hourly(settings.first_hour))


def daily_step(name: str, settings: Settings) -> dict[str, Any]:
    """The same of days."""
    return _step(name, daily(settings.first_hour))


def _step(name: str, partitions: dg.PartitionsDefinition) -> dict[str, Any]:
    single_run = dg.BackfillPolicy.single_run()
    return {"name": name, "partitions_def": partitions, "backfill_policy": single_run, "pool": name}


def is_by_hand(context: dg.AssetExecutionContext) -> bool:
    return context.run.job_name not in (SENSOR_JOB, DAYS_JOB)


@dataclass(frozen=True, slots=True)
class Work:
    """What an asset is to do in a run: hours brought up to date, and among them those in which it trusts nothing.

    In a run of the sensor, whose hours are a range, ``hours`` has none that is up to date; in none it has hours that a
    check of an earlier asset holds.
    """

    states: "dict[int, HourState]"
    hours: list[int]
    whole: list[int]
    held: list[int]

    def new(self, parts: "Mapping[int, Sequence[HourPart]]") -> "dict[int, Sequence[HourPart]]":
        """By hour that is not done whole, what of ``parts`` it has."""
        return {hour: parts.get(hour, ()) for hour in self.hours if hour not in self.whole}


def work_of(context: dg.AssetExecutionContext, asset: str, books: "Books") -> Work:
    """The first step of a run that people started doubts its hours: all assets follow. What is held is told."""
    from clickstream_assets.books.hour_states import STEPS

    by_hand, assets = is_by_hand(context), list(STEPS)
    earlier = {dg.AssetKey(name) for name in assets[: assets.index(asset)]}
    if by_hand and not earlier & (context.run.asset_selection or set()):
        books.hours.doubt(hours_of(context))
    states = books.hours.read(hours_of(context))
    held = [hour for hour, state in states.items() if state.held_before(asset)]
    if held:
        keys = ", ".join(map(key_of_hour, held))
        context.log.warning(f"left as they are, because checks of earlier assets failed: {keys}")
    hours = [hour for hour, state in states.items() if hour not in held and (by_hand or state.lacks(asset))]
    whole = [hour for hour in hours if by_hand or states[hour].is_whole_due(asset)]
    return Work(states, hours, whole, held)


def evaluate_behind(
    context: dg.AssetExecutionContext,
    checks: HourChecks,
    hours: Iterable[int],
    new: "Mapping[int, Sequence[HourPart]]",
    *resources: Any,
) -> None:
    """In a run of the sensor, record what the checks find in ``hours``: those done, and those left as they are as held.

    Of hours in ``new`` they look at these parts of the ledger, of the others at all.
    """
    if not is_by_hand(context):
        checks.evaluate(context, sorted(hours), new, *resources)


def is_held_day(context: dg.AssetExecutionContext, books: "Books", day: int) -> bool:
    """Whether a day is left as it is, which is told."""
    from clickstream_assets.books.day_states import is_held
    from clickstream_assets.events.days import hours_of_day

    if held := is_held(books.hours.read(hours_of_day(day))):
        context.log.warning(f"{key_of_day(day)} is left as it is: a failed check holds one of its hours")
    return held


def wait_for_hours(context: dg.AssetExecutionContext, books: "Books", day: int, hours: Iterable[int]) -> None:
    """Have hours computed that a day lacks columns of, and tell so."""
    from clickstream_assets.metrics.rolling_up import ask_again

    names = ", ".join(map(key_of_hour, sorted(hours)))
    context.log.warning(f"{key_of_day(day)} waits for hours that are to be computed first: {names}")
    ask_again(books, hours)


def add_row_counts(
    context: dg.AssetExecutionContext, rows: Mapping[int, int], key_of: Callable[[int], str] = key_of_hour
) -> None:
    for number, count in rows.items():
        context.add_asset_metadata({"dagster/partition_row_count": count}, partition_key=key_of(number))
