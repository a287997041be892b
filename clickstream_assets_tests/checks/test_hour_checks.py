"""What a check's findings become in Dagster: evaluations of hours, severities, holds, and runs that go on."""

from collections.abc import Iterator
from types import SimpleNamespace

import dagster as dg
import pytest

from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.checks.evidence import Finding, share
from clickstream_assets.checks.hour_checks import LATEST_CLOSED_HOUR, HourChecks
from clickstream_assets.checks.partition_checks import WARN
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.orchestration import jobs
from clickstream_assets.partitions import hourly, hours_of, tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.spark.resource import SparkResource
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.fakes.stores_in_memory import ElasticsearchInMemory, HBaseInMemory

HOUR = NOW_MS // HOUR_MS - 48
FIRST, SECOND = key_of_hour(HOUR), key_of_hour(HOUR + 1)
SETTINGS = Settings(first_hour=key_of_hour(HOUR - 50))
HOURLY = hourly(SETTINGS.first_hour)
_OF_MANY_HOURS = {"partitions_def": HOURLY, "backfill_policy": dg.BackfillPolicy.single_run()}
NAMES = ("strict", "mild")


class Desk:
    """An asset with a check that holds and one that warns, an asset behind it, books in memory, and an instance."""

    def __init__(self, failing=()):
        self.failing, self.ran, self.hbase = set(failing), [], HBaseInMemory()
        self.instance = dg.DagsterInstance.ephemeral()
        self.checks = HourChecks("raw_clicks", is_first=True)
        self.checks.add("Holds.", blocking=True, name="strict")(lambda what: self.found("strict", what))
        self.checks.add("Warns.", severity=WARN, name="mild")(lambda what: self.found("mild", what))
        del self.checks.checks[LATEST_CLOSED_HOUR]

    def found(self, name, what):
        return {hour: Finding((name, hour) not in self.failing, "looked", {"n": 1}) for hour in what.hours}

    @property
    def resources(self):
        return {
            "hbase": self.hbase,
            "elasticsearch": ElasticsearchInMemory(),
            "spark": SparkResource(remote="sc://nowhere"),
            "geoip": GeoIPResource(database="none.mmdb", trusted_proxies=""),
            "configured": SETTINGS,
        }

    def run(self, keys, *, by_range=True):
        """Run the asset, its checks and the asset behind it, by tags or as one partition; returns what was said."""

        @dg.asset(**_OF_MANY_HOURS)
        def raw_clicks() -> None: ...

        @dg.asset(**_OF_MANY_HOURS, deps=[raw_clicks])
        def after() -> None:
            self.ran.append(keys)

        both = dg.define_asset_job("both", [raw_clicks, after])
        return self.execute([raw_clicks, after], both, keys, by_range=by_range)

    def execute(self, assets, job, keys, *, by_range=True):
        defs = dg.Definitions(
            assets,
            asset_checks=[self.checks.definition(HOURLY)],
            jobs=[job],
            executor=dg.in_process_executor,
            resources=self.resources,
        )
        hours = [hour_of_key(key) for key in keys]
        which = {"tags": tags_of(hours[0], hours[-1])} if by_range else {"partition_key": keys[0]}
        result = defs.resolve_job_def(job.name).execute_in_process(instance=self.instance, **which)
        assert result.success
        return result.get_asset_check_evaluations()

    def states(self):
        """By check and partition key, what Dagster makes of all that was planned and recorded."""
        keys = [(self.checks.key(name), HOURLY) for name in NAMES]
        shown = {}
        for key, state in self.instance.event_log_storage.get_asset_check_state(keys).items():
            for status, subset in state.subsets.items():
                shown |= {(key.name, hour): status.value for hour in subset.subset_value.get_partition_keys()}
        return shown


def said(evaluations):
    return [(e.check_name, e.partition, e.passed, e.severity.value) for e in evaluations]


RUNS = [([FIRST], True), ([FIRST], False), ([FIRST, SECOND], True)]


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "by_range"), RUNS)
def test_a_failed_hour_is_an_error_of_its_own_and_the_run_goes_on(keys, by_range):
    desk = Desk({("strict", HOUR), ("mild", HOUR)})
    evaluations = said(desk.run(keys, by_range=by_range))
    assert desk.ran == [keys]
    assert [e for e in evaluations if e[:2] == ("strict", FIRST)] == [("strict", FIRST, False, "ERROR")]
    assert [e for e in evaluations if e[:2] == ("mild", FIRST)] == [("mild", FIRST, False, "WARN")]


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "by_range"), RUNS)
@pytest.mark.parametrize("failing", [set(), {("strict", HOUR)}, {("strict", HOUR), ("mild", HOUR)}])
def test_every_hour_of_a_run_has_its_state_in_dagster_and_only_that_which_failed_says_so(keys, by_range, failing):
    desk = Desk(failing)
    desk.run(keys, by_range=by_range)
    assert desk.states() == {
        (name, key): "FAILED" if (name, hour_of_key(key)) in failing else "SUCCEEDED" for name in NAMES for key in keys
    }


@pytest.mark.slow
def test_a_run_over_many_hours_is_summed_up_without_stopping_it_and_one_over_an_hour_says_everything_once():
    desk = Desk({("strict", HOUR)})
    evaluations = said(desk.run([FIRST, SECOND]))
    assert ("strict", None, False, "WARN") in evaluations
    assert len(evaluations) == len(set(evaluations)) == 2 * (2 + 1)
    assert sorted(e[:2] for e in said(desk.run([FIRST]))) == [("mild", FIRST), ("strict", FIRST)]


def evidence(desk, *hours):
    with desk.hbase.books() as books:
        return SimpleNamespace(hours=hours, books=books, states=books.hours.read(hours), limits=SETTINGS)


def test_a_check_that_could_not_look_fails_in_every_hour_and_holds_if_it_blocks():
    def broken(what):
        raise ConnectionError("gone")

    desk = Desk()
    desk.checks.add("Cannot look.", blocking=True, name="broken")(broken)
    findings = desk.checks.findings(evidence(desk, HOUR, HOUR + 1), [*NAMES, "broken"])
    words = "could not look: ConnectionError: gone"
    assert [(finding.passed, finding.words) for finding in findings["broken"].values()] == [(False, words)] * 2
    assert all(finding.passed for name in NAMES for finding in findings[name].values())
    for state in desk.hbase.hours.read([HOUR, HOUR + 1]).values():
        assert state.holds["raw_clicks"].checks == ("broken",)


@pytest.mark.slow
def test_only_blocking_checks_hold_and_only_the_hours_they_failed_in():
    desk = Desk({("strict", HOUR), ("mild", HOUR + 1)})
    desk.run([FIRST, SECOND])
    held = {hour: state.holds for hour, state in desk.hbase.hours.read([HOUR, HOUR + 1]).items()}
    assert held[HOUR]["raw_clicks"].checks == ("strict",)
    assert held[HOUR + 1] == {}
    desk.failing.clear()
    desk.run([FIRST])
    assert desk.hbase.hours.read([HOUR])[HOUR].holds == {}, "released, once it passes"


def test_hours_are_neither_held_nor_released_where_not_every_blocking_check_looks():
    desk = Desk({("strict", HOUR)})
    desk.checks.findings(evidence(desk, HOUR), ["mild"])
    assert desk.hbase.hours.read([HOUR])[HOUR].holds == {}
    desk.checks.findings(evidence(desk, HOUR), ["strict", "mild"])
    desk.failing.clear()
    desk.checks.findings(evidence(desk, HOUR), ["mild"])
    assert desk.hbase.hours.read([HOUR])[HOUR].holds


def kept(desk, hour=HOUR):
    return desk.hbase.hours.read([hour])[hour].checked.get("raw_clicks")


def test_what_checks_found_is_kept_in_short_with_the_hour_beside_what_others_found_before():
    desk = Desk({("strict", HOUR)})
    desk.checks.findings(evidence(desk, HOUR, HOUR + 1), list(NAMES))
    assert kept(desk) == {"strict": "looked", "mild": ""}
    assert kept(desk, HOUR + 1) == {"strict": "", "mild": ""}
    desk.failing = {("mild", HOUR)}
    desk.checks.findings(evidence(desk, HOUR), ["mild"])
    assert kept(desk) == {"strict": "looked", "mild": "looked"}
    del desk.checks.checks["strict"]
    desk.checks.findings(evidence(desk, HOUR), ["mild"])
    assert kept(desk) == {"mild": "looked"}, "a check that is no more says nothing"


@pytest.mark.parametrize(
    ("words", "wanted"), [("a\x1b[31m\u202eb", "a\\x1b[31m\\u202eb"), ("x" * 500, "x" * 300), ("", "failed")]
)
def test_words_that_are_kept_are_short_and_steer_nothing(words, wanted):
    desk = Desk()
    desk.checks.add("Says.", name="says")(lambda what: {hour: Finding(False, words) for hour in what.hours})
    desk.checks.findings(evidence(desk, HOUR), ["says"])
    assert kept(desk) == {"says": wanted}


@pytest.mark.slow
def test_a_later_asset_says_that_a_check_of_an_earlier_one_keeps_it_back():
    desk = Desk({("strict", HOUR)})
    desk.run([FIRST, SECOND])
    later = HourChecks("es_index")
    findings = later.findings(evidence(desk, HOUR, HOUR + 1), ["held_back"])["held_back"]
    assert not findings[HOUR].passed
    assert findings[HOUR].words == "left as it was: strict of raw_clicks failed"
    assert findings[HOUR + 1].passed


@pytest.mark.parametrize(
    ("part", "whole", "passes"), [(5, 100, True), (6, 100, False), (19, 19, True), (20, 20, False), (0, 0, True)]
)
def test_a_share_warns_above_its_threshold_but_not_for_a_handful(part, whole, passes):
    finding = share(part, whole, 0.05, "messages were refused")
    assert finding.passed is passes
    assert f"{part} of {whole}" in finding.words


@pytest.mark.slow
def test_in_a_run_of_the_sensor_what_passed_stays_so_while_the_run_is_at_the_hour():
    desk, seen = Desk(), []

    @dg.asset(**_OF_MANY_HOURS)
    def raw_clicks(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        seen.append(desk.states())
        yield dg.MaterializeResult()
        desk.checks.evaluate(context, hours_of(context), {}, desk.hbase, ElasticsearchInMemory(), SETTINGS)

    job = dg.define_asset_job(SENSOR_JOB, dg.AssetSelection.assets(raw_clicks).without_checks())

    def run(*keys):
        return {(e.check_name, e.partition): e for e in desk.execute([raw_clicks], job, keys)}

    run(FIRST)
    passed = {(name, FIRST): "SUCCEEDED" for name in NAMES}
    assert desk.states() == passed
    desk.failing.add(("strict", HOUR + 1))
    evaluations = run(FIRST, SECOND)
    assert seen == [{}, passed]
    assert desk.states() == passed | {("strict", SECOND): "FAILED", ("mild", SECOND): "SUCCEEDED"}
    # Each looked at the materialization of its own run: else Dagster would not count it.
    latest = desk.instance.get_latest_storage_id_by_partition(
        dg.AssetKey("raw_clicks"), dg.DagsterEventType.ASSET_MATERIALIZATION, {FIRST, SECOND}
    )
    assert {key: e.target_materialization_data.storage_id for (_, key), e in evaluations.items()} == latest


@pytest.mark.slow
def test_a_check_that_is_added_by_one_function_is_in_definition_evaluation_and_job(monkeypatch):
    desk = Desk()
    monkeypatch.setattr(jobs, "CHECKS", (desk.checks,))

    @desk.checks.add("Of the new kind.", severity=WARN)
    def brand_new(what):
        return {hour: Finding(hour == HOUR, f"of {key_of_hour(hour)}") for hour in what.hours}

    (spec,) = (spec for spec in desk.checks.definition(HOURLY).check_specs if spec.name == "brand_new")
    assert (spec.asset_key, spec.description, spec.partitions_def) == (
        dg.AssetKey("raw_clicks"),
        "Of the new kind.",
        HOURLY,
    )
    job = next(job for job in jobs.check_jobs(SETTINGS) if job.name == "clickstream_checks")
    raw_clicks = dg.AssetSpec("raw_clicks", partitions_def=HOURLY)
    evaluations = {(e.check_name, e.partition): e for e in desk.execute([raw_clicks], job, [FIRST, SECOND])}
    assert {name for name, _ in evaluations} == {*NAMES, "brand_new"}
    of_hours = [evaluations["brand_new", key] for key in (FIRST, SECOND)]
    assert [(e.passed, e.severity, e.description) for e in of_hours] == [
        (True, WARN, f"of {FIRST}"),
        (False, WARN, f"of {SECOND}"),
    ]
    assert desk.states()["mild", FIRST] == "SUCCEEDED"


@pytest.mark.slow
def test_hours_that_a_run_passes_over_keep_what_was_said_of_them_and_are_looked_at_if_nothing_was():
    desk, hours = Desk({("mild", HOUR)}), [HOUR, HOUR + 1]

    @dg.asset(**_OF_MANY_HOURS)
    def raw_clicks(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        yield dg.MaterializeResult()
        desk.checks.evaluate(context, hours, {}, desk.hbase, ElasticsearchInMemory(), SETTINGS)

    job = dg.define_asset_job(SENSOR_JOB, dg.AssetSelection.assets(raw_clicks).without_checks())
    first = said(desk.execute([raw_clicks], job, [FIRST, SECOND]))
    states = desk.states()
    desk.failing, hours[:] = {(name, hour) for name in NAMES for hour in hours}, []
    assert said(desk.execute([raw_clicks], job, [FIRST, SECOND])) == first
    assert desk.states() == states

    fresh = Desk()
    desk = fresh
    assert len(desk.execute([raw_clicks], job, [FIRST, SECOND])) == 2 * len(NAMES)
    assert set(desk.states().values()) == {"SUCCEEDED"}


def audited(desk, job, keys, monkeypatch, differences):
    """Runs the checks of some hours under a job's name; the audit finds ``differences``."""
    asked = []

    def look(audit, asset, books, hours):
        asked.append((asset, list(hours)))
        return {hour: words for hour, words in differences.items() if hour in hours}

    monkeypatch.setattr("clickstream_assets.checks.audit.Audit.differences", look)
    hourly_asset = dg.AssetSpec("raw_clicks", partitions_def=HOURLY)
    only_checks = dg.define_asset_job(job, selection=dg.AssetSelection.all_asset_checks(), partitions_def=HOURLY)
    return desk.execute([hourly_asset], only_checks, keys), asked


@pytest.mark.slow
@pytest.mark.parametrize("job", ["clickstream_audit", "clickstream_checks"])
def test_only_the_audit_compares_and_what_it_finds_fails_the_check_and_doubts_the_hour(job, monkeypatch):
    desk = Desk()
    desk.checks.add("Audited.", audited=True, name="compared")(lambda what: desk.found("compared", what))
    with desk.hbase.books() as books:
        books.hours.touch([HOUR, HOUR + 1])
        for step in ("enriched", "computed", "indexed", "closed"):
            books.hours.mark(step, {HOUR: 1, HOUR + 1: 1})
    said_of, asked = audited(desk, job, [FIRST, SECOND], monkeypatch, {HOUR: "; the audit: 2 rows differ"})
    failed = {(e.check_name, e.partition): e.description for e in said_of if e.partition and not e.passed}
    with desk.hbase.books() as books:
        states = books.hours.read([HOUR, HOUR + 1])
    if job == "clickstream_audit":
        assert asked == [("raw_clicks", [HOUR, HOUR + 1])]
        assert failed == {("compared", FIRST): "looked; the audit: 2 rows differ"}
        assert states[HOUR].stale
        assert states[HOUR].is_whole_due("es_index")
    else:
        assert (asked, failed) == ([], {})
        assert not states[HOUR].stale
    assert not states[HOUR + 1].stale


@pytest.mark.slow
def test_the_audit_passes_over_hours_that_wait_to_be_computed(monkeypatch):
    desk = Desk()
    desk.checks.add("Audited.", audited=True, name="compared")(lambda what: desk.found("compared", what))
    with desk.hbase.books() as books:
        books.hours.touch([HOUR])
    said_of, asked = audited(desk, "clickstream_audit", [FIRST, SECOND], monkeypatch, {HOUR: "; differs"})
    assert asked == [("raw_clicks", [])]
    assert all(e.passed for e in said_of)
