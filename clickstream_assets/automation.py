"""What follows a materialization made by hand, and why so (docs/decisions/0007-what-follows-a-hand.md).

Whoever materializes an hour, or a range of hours, of one asset in the UI finds the later assets brought up to date
behind it. Stale hours stay the business of the sensor ``kafka_offsets``: its runs go through all the assets, so
nothing is left to follow them.
"""

from collections.abc import Iterable

import dagster as dg
from dagster import AutomationCondition as Condition

from clickstream_assets.settings import settings

ALL_ASSETS_JOB = "clickstream_hours"
"""The job whose runs write every hourly asset; such a run has no selection of assets of its own."""

FOLLOWED = ("enriched_clicks", "url_country_metrics", "es_index")


class LatestUpdate(Condition[dg.AssetKey]):
    """Hours of a dependency written since the last tick, the last time by a run that writes the follower too, or not.

    Dagster's own ``newly_updated`` does not tell the two apart, and ``executed_with_root_target`` looks at the very
    last hour of a range only. Each event of Dagster's log counts in exactly one tick: that behind the last tick's
    end of the log, up to this tick's.
    """

    def __init__(self, *, with_follower: bool) -> None:
        self._with_follower = with_follower

    @property
    def requires_cursor(self) -> bool:
        """Nothing of its own: where the last tick ended is remembered for the whole condition."""
        return False

    @property
    def name(self) -> str:
        """What the UI shows."""
        return f"latest_update_{'with' if self._with_follower else 'without'}_follower"

    @property
    def description(self) -> str:
        """What the UI shows."""
        others = "this asset too" if self._with_follower else "this asset not"
        return f"Written since the last tick, the last time by a run that writes {others}"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """The hours among the candidates."""
        if context.previous_temporal_context is None or context.candidate_subset.is_empty:
            return dg.AutomationResult(context, context.get_empty_subset())
        view = context.asset_graph_view
        events = view.get_inner_queryer_for_back_compat().get_asset_materializations_updated_after_cursor(
            asset_key=context.key,
            after_cursor=context.previous_max_storage_id or 0,  # none: the log was empty
            before_cursor=context.max_storage_id,
        )
        partitions = context.partitions_def
        last_run = {
            event.partition: event.run_id
            for event in events
            if partitions and event.partition and partitions.has_partition_key(event.partition)
        }
        writes_follower = _runs_that_write(view.instance, context.root_context.key, last_run.values())
        keys = {hour for hour, run_id in last_run.items() if (run_id in writes_follower) == self._with_follower}
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(keys))


def _runs_that_write(instance: dg.DagsterInstance, asset: dg.AssetKey, run_ids: Iterable[str | None]) -> set[str]:
    """Which of the runs write an asset. A materialization that was only reported has no run: it wrote nothing else."""
    known = sorted({run_id for run_id in run_ids if run_id})
    found = instance.get_runs(dg.RunsFilter(run_ids=known)) if known else []
    return {
        run.run_id
        for run in found
        if (asset in run.asset_selection if run.asset_selection else run.job_name == ALL_ASSETS_JOB)
    }


def follows_hand_made_hours() -> Condition:
    """An hour is asked for when its dependency was written by a run that left this asset out.

    - *waits* remembers the hour until it is asked for, or until a run writes both. A later update always wins over
      the reset of an earlier request: what arrives while a run is under way is followed by another one.
    - An asset whose dependency is asked for is asked for as well, so that one run does all that follows.
    - Nothing is asked for while a run or backfill writes the hour or its dependency, or while a blocking check of
      the dependency's hour has not passed. The hour goes on waiting.
    """
    updated = Condition.any_deps_match(LatestUpdate(with_follower=False)).with_label("dependency_updated_alone")
    written_with_it = Condition.any_deps_match(LatestUpdate(with_follower=True)).with_label("updated_in_one_run")
    waits = updated.since((Condition.newly_requested() | written_with_it) & ~updated).with_label("waits")
    asked_along = Condition.any_deps_match(Condition.will_be_requested()).with_label("dependency_asked_for")
    return (
        (waits | asked_along)
        & ~Condition.any_deps_in_progress()
        & ~Condition.in_progress()
        & Condition.all_deps_blocking_checks_passed()
    ).with_label("follows_hand_made_hours")


follow_hand_made_hours = dg.AutomationConditionSensorDefinition(
    "follow_hand_made_hours",
    target=dg.AssetSelection.assets(*FOLLOWED),
    # Conditions of our own are evaluated where our code is.
    use_user_code_server=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=settings().follow_interval_seconds,
    run_tags={"clickstream/why": "followed by hand"},
    description="Brings the later assets up to date behind hours that someone materialized by hand. The page "
    "Automation of each asset tells why an hour was asked for, or not.",
)
