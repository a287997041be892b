"""Two assets: one in a pool of one slot as ours are, one of which a run goes on until another is there beside it."""

import time

import dagster as dg

partitions = dg.StaticPartitionsDefinition(["a", "b", "c"])
BEGUN = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS])


@dg.asset(partitions_def=partitions, pool="one_at_a_time")
def one_at_a_time() -> None:
    time.sleep(1)


@dg.asset(partitions_def=partitions)
def at_will(context: dg.AssetExecutionContext) -> None:
    deadline = time.monotonic() + 100
    while sum(run.asset_selection == {context.asset_key} for run in context.instance.get_runs(BEGUN)) < 2:
        assert time.monotonic() < deadline, "no other run began"
        time.sleep(0.5)


defs = dg.Definitions([one_at_a_time, at_will], executor=dg.in_process_executor)
