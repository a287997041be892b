"""What a check's findings become in Dagster: evaluations of hours, severities, and runs that go on."""

import dagster as dg
import pytest

from clickstream_assets.automation import ALL_ASSETS_JOB
from clickstream_assets.checks.reporting import WARN, Finding, HourCheck, failed_by_hour, look, report, share
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets_tests.conftest import NOW_MS

HOUR = NOW_MS // HOUR_MS - 48
FIRST, SECOND = key_of_hour(HOUR), key_of_hour(HOUR + 1)
CHECKS = (HourCheck("strict", "Holds.", blocking=True), HourCheck("mild", "Warns.", WARN))


def outcome(keys, failing, job="by_hand"):
    """Run an asset, its checks and an asset behind it; the run, its evaluations, and whether the later asset ran."""

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
        yield from report(context, "before", CHECKS, found, vacant=[HOUR])

    both = dg.define_asset_job(job, [before, after])
    defs = dg.Definitions([before, after], asset_checks=[checks], jobs=[both], executor=dg.in_process_executor)
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    one = {"partition_key": keys[0]} if len(keys) == 1 else {"tags": tags}
    result = defs.resolve_job_def(job).execute_in_process(instance=dg.DagsterInstance.ephemeral(), **one)
    latest = {(e.check_name, e.partition): (e.passed, e.severity.value) for e in result.get_asset_check_evaluations()}
    return result.success, latest, bool(ran)


@pytest.mark.parametrize("keys", [[FIRST], [FIRST, SECOND]])
def test_a_failed_hour_is_an_error_of_its_own_and_the_run_goes_on(keys):
    success, latest, ran = outcome(keys, {("strict", HOUR), ("mild", HOUR)})
    assert success
    assert ran
    assert latest["strict", FIRST] == (False, "ERROR")
    assert latest["mild", FIRST] == (False, "WARN")
    if len(keys) > 1:
        assert latest["strict", keys[1]][0]
        assert latest["strict", None] == (False, "WARN")


def test_the_sensors_runs_record_of_vacant_hours_only_what_failed():
    _, latest, _ = outcome([FIRST, SECOND], {("mild", HOUR)}, job=ALL_ASSETS_JOB)
    assert latest["mild", FIRST] == (False, "WARN")
    assert ("strict", FIRST) not in latest
    assert latest["strict", SECOND][0]
    _, latest, _ = outcome([FIRST, SECOND], set())
    assert latest["strict", FIRST][0]


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
