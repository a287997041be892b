"""What all hourly assets share: partitions, one run for any list of hours, one writer at a time, what is to be done."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.assets.columns import described
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.domain.books import Books
    from clickstream_assets.domain.ledger import HourPart
    from clickstream_assets.domain.stale_hours import HourState

GROUP = "clickstream"
OWNERS = ["team:data-engineering"]
SENSOR_JOB = "clickstream_hours"
"""The job whose runs write every hourly asset, and whose steps look at their own checks."""

HOURLY_FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=2, minutes=15), fail_window=timedelta(hours=4)
)
"""An hour is written when events reach it, or when it has closed without any. So the longest rest is an hour with
events in its first moments only, then one without: two hours. A warning says that the sensor is late, a failure that
two closed hours were passed over. See docs/decisions/0008-freshness-lag-and-alerts.md."""

TOPIC_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=1), fail_window=timedelta(hours=6))
"""Producers that are silent for an hour are worth a look; for six, something is broken, at night too."""


def hourly_spec(name: str, settings: Settings) -> dict[str, Any]:
    """Arguments of ``dg.AssetSpec`` and ``dg.asset`` that all hourly assets share."""
    metadata = described(name, settings)
    return {"group_name": GROUP, "owners": OWNERS, "metadata": metadata, "freshness_policy": HOURLY_FRESHNESS}


def hourly_step(name: str, settings: Settings) -> dict[str, Any]:
    """Arguments of the step that writes hourly assets. One run does many hours, and one run at a time."""
    single_run = dg.BackfillPolicy.single_run()
    return {"name": name, "partitions_def": hourly(settings.first_hour), "backfill_policy": single_run, "pool": name}


def is_by_hand(context: dg.AssetExecutionContext) -> bool:
    return context.run.job_name != SENSOR_JOB


def states_of(context: dg.AssetExecutionContext, asset: str, books: "Books") -> "dict[int, HourState]":
    """The states of the run's hours. The first step of a run that people started doubts them: all assets follow."""
    from clickstream_assets.domain.stale_hours import STEPS

    hours, assets = hours_of(context), list(STEPS)
    earlier = {dg.AssetKey(name) for name in assets[: assets.index(asset)]}
    if is_by_hand(context) and not earlier & (context.run.asset_selection or set()):
        books.hours.doubt(hours)
    return books.hours.read(hours)


def hours_to_do(context: dg.AssetExecutionContext, asset: str, states: "Mapping[int, HourState]") -> list[int]:
    """The hours that ``asset`` is to bring up to date.

    None that an earlier asset's check holds, which is told; in a run of the sensor, whose hours are a range, none that
    is up to date.
    """
    held = [hour for hour, state in states.items() if state.held_before(asset)]
    if held:
        keys = ", ".join(map(key_of_hour, held))
        context.log.warning(f"left as they are, because checks of earlier assets failed: {keys}")
    by_hand = is_by_hand(context)
    return [hour for hour, state in states.items() if hour not in held and (by_hand or state.lacks(asset))]


def hours_whole(
    context: dg.AssetExecutionContext, asset: str, states: "Mapping[int, HourState]", hours: Iterable[int]
) -> list[int]:
    """Those of the ``hours`` to be done in which ``asset`` trusts nothing that it made before."""
    by_hand = is_by_hand(context)
    return [hour for hour in hours if by_hand or states[hour].is_whole_due(asset)]


def evaluate_behind(
    context: dg.AssetExecutionContext,
    checks: HourChecks,
    done: Iterable[int],
    states: "Mapping[int, HourState]",
    new: "Mapping[int, Sequence[HourPart]]",
    *resources: Any,
) -> None:
    """In a run of the sensor, record what the checks find in the hours done, and in those left as they are as held.

    Of hours in ``new`` they look at these parts of the ledger, of the others at all.
    """
    if not is_by_hand(context):
        held = (hour for hour, state in states.items() if state.held_before(checks.asset))
        checks.evaluate(context, sorted({*done, *held}), new, *resources)


def add_row_counts(context: dg.AssetExecutionContext, rows: Mapping[int, int]) -> None:
    for hour, count in rows.items():
        context.add_asset_metadata({"dagster/partition_row_count": count}, partition_key=key_of_hour(hour))
