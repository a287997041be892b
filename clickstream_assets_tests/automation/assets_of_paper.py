"""The project's assets as they depend on each other, with nothing behind them: what happens in a step is the test's.

Their names, partitions and conditions are the project's own, so the project's own sensor looks at them.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from clickstream_assets.automation import ALL_ASSETS_JOB, follow_hand_made_hours, follows_hand_made_hours
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hourly

CHAIN = ("raw_clicks", "enriched_clicks", "url_country_metrics", "es_index")
_HOURLY = {"partitions_def": hourly, "backfill_policy": dg.BackfillPolicy.single_run()}


@dataclass
class Paper:
    """Assets on an instance, the sensor's ticks, and what steps and checks are told to do."""

    instance: dg.DagsterInstance
    in_step: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What the next step of an asset does, once."""
    bad_hours: set[str] = field(default_factory=set)
    """Hours whose blocking check on ``enriched_clicks`` fails."""
    may_fail: bool = False
    cursor: str | None = None
    written: list[tuple[str, str]] = field(default_factory=list)
    """Asset and hour, in the order in which steps ended."""

    def __post_init__(self) -> None:
        self.defs = self._definitions()
        self.repository = self.defs.get_repository_def()

    def _definitions(self) -> dg.Definitions:
        def step(name: str, context: dg.AssetExecutionContext) -> None:
            self.in_step.pop(name, lambda: None)()
            self.written += [(name, key) for key in context.partition_keys]

        @dg.multi_asset(name="raw_clicks", specs=[dg.AssetSpec("raw_clicks"), dg.AssetSpec("dead_letters")], **_HOURLY)
        def raw_clicks(context: dg.AssetExecutionContext):
            step("raw_clicks", context)
            yield dg.MaterializeResult(asset_key="raw_clicks")
            yield dg.MaterializeResult(asset_key="dead_letters")

        def follower(name: str, parent: str) -> dg.AssetsDefinition:
            @dg.asset(name=name, deps=[parent], automation_condition=follows_hand_made_hours(), **_HOURLY)
            def asset(context: dg.AssetExecutionContext) -> None:
                step(name, context)

            return asset

        @dg.asset_check(asset="enriched_clicks", name="sound", partitions_def=hourly, blocking=True)
        def sound(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            asset = dg.AssetKey("enriched_clicks")
            # An evaluation counts only if it says which materialization of its hour it looked at.
            targets = context.instance.get_latest_storage_id_by_partition(
                asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(context.partition_keys)
            )
            for key in context.partition_keys:
                target = AssetCheckEvaluationTargetMaterializationData(
                    storage_id=targets[key], run_id=context.run.run_id, timestamp=time()
                )
                context.op_execution_context.log_event(
                    dg.AssetCheckEvaluation(
                        asset_key=asset,
                        check_name="sound",
                        passed=key not in self.bad_hours,
                        partition=key,
                        target_materialization_data=target,
                    )
                )
            # As in the project: the run goes on, each hour's own evaluation tells.
            return dg.AssetCheckResult(passed=True)

        followers = [follower(name, parent) for parent, name in itertools.pairwise(CHAIN)]
        job = dg.define_asset_job(ALL_ASSETS_JOB, selection=dg.AssetSelection.assets("dead_letters", *CHAIN))
        return dg.Definitions(
            assets=[raw_clicks, *followers],
            asset_checks=[sound],
            jobs=[job],
            sensors=[follow_hand_made_hours],
            executor=dg.in_process_executor,
        )

    def run(self, *assets: str, hours: list[str], tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """A run of some assets over the hours from first to last; of all, the job that the sensor runs."""
        job = (
            self.defs.resolve_job_def(ALL_ASSETS_JOB)
            if not assets
            else self.defs.resolve_implicit_global_asset_job_def()
        )
        selection = [dg.AssetKey(name) for name in assets] or None
        if assets and "raw_clicks" in assets:
            selection.append(dg.AssetKey("dead_letters"))
        span = {"dagster/asset_partition_range_start": hours[0], "dagster/asset_partition_range_end": hours[-1]}
        result = job.execute_in_process(
            instance=self.instance,
            asset_selection=selection,
            partition_key=hours[0] if len(hours) == 1 else None,
            tags=(tags or {}) | ({} if len(hours) == 1 else span),
            raise_on_error=False,
        )
        assert result.success or self.may_fail
        return result

    def tick(self) -> dict[str, set[str]]:
        """Evaluate the sensor as the daemon does; returns the hours it asks for, by asset."""
        self.requests = []
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, repository_def=self.repository)
        answer = follow_hand_made_hours.evaluate_tick(context)
        self.cursor = answer.cursor
        self.requests = answer.run_requests or []
        asked: dict[str, set[str]] = {}
        for request in self.requests:
            for asset, hours in self._targets(request).items():
                assert not asked.get(asset, set()) & hours, "asked for twice in one tick"
                asked.setdefault(asset, set()).update(hours)
        return asked

    def _targets(self, request: dg.RunRequest) -> dict[str, set[str]]:
        if request.asset_graph_subset is None:
            return {key.to_user_string(): {request.partition_key} for key in request.asset_selection}
        found: dict[str, set[str]] = {}
        for at in request.asset_graph_subset.iterate_asset_partitions():
            found.setdefault(at.asset_key.to_user_string(), set()).add(at.partition_key)
        return found

    def follow(self) -> dict[str, set[str]]:
        """A tick, and the runs it asks for: a backfill's hours in one run, as its assets' policy says."""
        asked = self.tick()
        for request in self.requests:
            targets = self._targets(request)
            hours = sorted(set().union(*targets.values()))
            self.run(*(name for name in CHAIN if name in targets), hours=hours, tags=dict(request.tags))
        return asked


def hours(first: int, count: int = 1) -> list[str]:
    """Keys of hours in a row."""
    return [key_of_hour(first + i) for i in range(count)]
