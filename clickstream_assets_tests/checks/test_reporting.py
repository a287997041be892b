"""What a check's findings become in Dagster: evaluations of hours, severities, and runs that go on."""

from collections.abc import Iterator

import dagster as dg
import pytest

from clickstream_assets.automation import ALL_ASSETS_JOB
from clickstream_assets.checks.reporting import WARN, Finding, HourCheck, failed_by_hour, look, record, report, share
from clickstream_assets.domain.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.partitions import hourly, hours_of, tags_of
from clickstream_assets_tests.conftest import NOW_MS

HOUR = NOW_MS // HOUR_MS - 48
FIRST, SECOND = key_of_hour(HOUR), key_of_hour(HOUR + 1)
CHECKS = (HourCheck("strict", "Holds.", blocking=True), HourCheck("mild", "Warns.", WARN))


def outcome(keys, failing=(), *, by_range=True):
    """Run an asset, its checks and an asset behind it, by tags or as one partition.

    The run, its evaluations, whether the later asset ran, and by check and hour the state that Dagster's UI shows.
    """

    @dg.asset(partitions_def=hourly, backfill_policy=dg.BackfillPolicy.single_run())
    def before() -> None: ...

    ran = []

    @dg.asset(partitions_def=hourly, backfill_policy=dg.BackfillPolicy.single_run(), deps=[before])
    def after() -> None:
        ran.append(True)

    @dg.multi_asset_check(specs=[check.spec("before") for check in CHECKS], can_subset=True)
    def checks(context):
        found = look(
            hours_of(context),
            {
                name: lambda name=name: {
                    hour: Finding((name, hour) not in failing, "looked", {"n": 1}) for hour in hours_of(context)
                }
                for name in ("strict", "mild")
            },
        )
        yield from report(context, "before", CHECKS, found)

    both = dg.define_asset_job("both", [before, after])
    defs = dg.Definitions([before, after], asset_checks=[checks], jobs=[both], executor=dg.in_process_executor)
    hours = [hour_of_key(key) for key in keys]
    which = {"tags": tags_of(hours[0], hours[-1])} if by_range else {"partition_key": keys[0]}
    instance = dg.DagsterInstance.ephemeral()
    result = defs.resolve_job_def("both").execute_in_process(instance=instance, **which)
    said = [(e.check_name, e.partition, e.passed, e.severity.value) for e in result.get_asset_check_evaluations()]
    return result.success, said, bool(ran), states(instance)


def states(instance):
    """By check and partition key, what Dagster makes of all that was planned and recorded."""
    keys = [(dg.AssetCheckKey(dg.AssetKey("before"), check.name), hourly) for check in CHECKS]
    found = {}
    for key, state in instance.event_log_storage.get_asset_check_state(keys).items():
        for status, subset in state.subsets.items():
            found |= {(key.name, hour): status.value for hour in subset.subset_value.get_partition_keys()}
    return found


RUNS = [([FIRST], True), ([FIRST], False), ([FIRST, SECOND], True)]


@pytest.mark.parametrize(("keys", "by_range"), RUNS)
def test_a_failed_hour_is_an_error_of_its_own_and_the_run_goes_on(keys, by_range):
    success, said, ran, _ = outcome(keys, {("strict", HOUR), ("mild", HOUR)}, by_range=by_range)
    assert success
    assert ran
    assert [found for found in said if found[:2] == ("strict", FIRST)] == [("strict", FIRST, False, "ERROR")]
    assert [found for found in said if found[:2] == ("mild", FIRST)] == [("mild", FIRST, False, "WARN")]


@pytest.mark.parametrize(("keys", "by_range"), RUNS)
@pytest.mark.parametrize("failing", [set(), {("strict", HOUR)}, {("strict", HOUR), ("mild", HOUR)}])
def test_every_hour_of_a_run_has_its_state_in_dagster_and_only_that_which_failed_says_so(keys, by_range, failing):
    *_, shown = outcome(keys, failing, by_range=by_range)
    assert shown == {
        (check.name, key): "FAILED" if (check.name, hour_of_key(key)) in failing else "SUCCEEDED"
        for check in CHECKS
        for key in keys
    }


def test_a_run_over_many_hours_is_summed_up_without_stopping_it_and_one_over_an_hour_says_everything_once():
    _, said, _, _ = outcome([FIRST, SECOND], {("strict", HOUR)})
    assert ("strict", None, False, "WARN") in said
    assert len(said) == len(set(said)) == 2 * (2 + 1)
    _, said, _, _ = outcome([FIRST], {("strict", HOUR)})
    assert sorted(found[:2] for found in said) == [("mild", FIRST), ("strict", FIRST)]


def test_a_check_that_could_not_look_fails_in_every_hour():
    def broken():
        raise ConnectionError("gone")

    found = look([1, 2], {"strict": broken, "mild": lambda: {1: Finding(True, ""), 2: Finding(True, "")}})
    assert [(finding.passed, finding.words) for finding in found["strict"].values()] == [
        (False, "could not look: ConnectionError: gone")
    ] * 2
    assert failed_by_hour(CHECKS, found) == {1: ["strict"], 2: ["strict"]}


def test_only_blocking_checks_hold():
    found = {"strict": {1: Finding(True, "")}, "mild": {1: Finding(False, "")}}
    assert failed_by_hour(CHECKS, found) == {}


@pytest.mark.parametrize(
    ("part", "whole", "passes"), [(5, 100, True), (6, 100, False), (19, 19, True), (20, 20, False), (0, 0, True)]
)
def test_a_share_warns_above_its_threshold_but_not_for_a_handful(part, whole, passes):
    finding = share(part, whole, 0.05, "messages were refused")
    assert finding.passed is passes
    assert f"{part} of {whole}" in finding.words


def test_in_a_run_of_the_sensor_what_passed_stays_so_while_the_run_is_at_the_hour():
    seen, failing = [], set()

    @dg.asset(partitions_def=hourly, backfill_policy=dg.BackfillPolicy.single_run())
    def before(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        seen.append(states(context.instance))
        yield dg.MaterializeResult()
        hours = hours_of(context)
        record(
            context,
            "before",
            CHECKS,
            lambda: {
                check.name: {hour: Finding((check.name, hour) not in failing, "looked") for hour in hours}
                for check in CHECKS
            },
        )

    @dg.multi_asset_check(specs=[check.spec("before") for check in CHECKS], can_subset=True)
    def checks():
        raise AssertionError("no step of the sensor's job")

    selection = dg.AssetSelection.assets(before).without_checks()
    job = dg.define_asset_job(ALL_ASSETS_JOB, selection)
    defs = dg.Definitions([before], asset_checks=[checks], jobs=[job], executor=dg.in_process_executor)
    instance = dg.DagsterInstance.ephemeral()

    def run(first, last):
        made = defs.resolve_job_def(ALL_ASSETS_JOB)
        result = made.execute_in_process(instance=instance, tags=tags_of(first, last))
        assert result.success
        return {(e.check_name, e.partition): e for e in result.get_asset_check_evaluations()}

    run(HOUR, HOUR)
    passed = {(check.name, FIRST): "SUCCEEDED" for check in CHECKS}
    assert states(instance) == passed
    failing.add(("strict", HOUR + 1))
    said = run(HOUR, HOUR + 1)
    assert seen == [{}, passed]
    assert states(instance) == passed | {("strict", SECOND): "FAILED", ("mild", SECOND): "SUCCEEDED"}
    # Each looked at the materialization of its own run: else Dagster would not count it.
    latest = instance.get_latest_storage_id_by_partition(
        dg.AssetKey("before"), dg.DagsterEventType.ASSET_MATERIALIZATION, {FIRST, SECOND}
    )
    assert {key: e.target_materialization_data.storage_id for (_, key), e in said.items()} == latest


def test_in_other_runs_the_asset_leaves_its_checks_to_their_steps():
    @dg.asset(partitions_def=hourly)
    def before(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        yield dg.MaterializeResult()
        record(context, "before", CHECKS, lambda: pytest.fail("has a step of its own"))

    assert dg.materialize([before], partition_key=FIRST, instance=dg.DagsterInstance.ephemeral()).success
