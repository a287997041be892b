"""Which hours a step does: all of them for people, who touch them first; for the sensor those that its asset lacks."""

from types import SimpleNamespace

import dagster as dg
import pytest

from clickstream_assets.assets import url_country_metrics as metrics_step
from clickstream_assets.assets.enriched_clicks import enriched_clicks
from clickstream_assets.assets.es_index import es_index
from clickstream_assets.assets.raw_clicks import IngestConfig, raw_clicks
from clickstream_assets.assets.url_country_metrics import url_country_metrics
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.domain import documents, enrichment, metrics, overviews, replacing
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.domain.replacing import Replaced
from clickstream_assets.domain.stale_hours import COMPUTED, ENRICHED, INDEXED, STEPS
from clickstream_assets.jobs.hours import clickstream_hours
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.stores_in_memory import ElasticsearchInMemory, HBaseInMemory, KafkaInMemory

HOUR = NOW_MS // HOUR_MS - 24
HOURS = [HOUR, HOUR + 1, HOUR + 2]
SETTINGS = Settings(first_hour=key_of_hour(HOUR - 24))
CHECKED = (*STEPS, "dead_letters")
LATER = ("enriched_clicks", "url_country_metrics", "es_index")
NOTHING_NEW = dg.RunConfig(ops={"raw_clicks": IngestConfig(until={})})


class Steps:
    """The steps of all assets on books in memory; what each works on, and what checks are asked of, is noted."""

    def __init__(self, monkeypatch):
        self.worked, self.checked = {}, {}
        self.hbase, self.kafka = HBaseInMemory(), KafkaInMemory()
        self.instance = dg.DagsterInstance.ephemeral()
        patch = monkeypatch.setattr
        patch(HourChecks, "evaluate", lambda checks, context, hours, *_: self.checked.update({checks.asset: [*hours]}))
        patch("clickstream_assets.assets.enriched_clicks.scan_tasks_of", lambda hours, books: list(hours))
        patch(enrichment, "enrich", lambda spark, books, hours, *_: self.work("enriched_clicks", hours, 0))
        patch(metrics_step, "clicks_of", lambda *_: None)
        patch(metrics, "compute", lambda *_: None)
        patch(replacing, "replace", lambda computed, books, hours, rows: self.replace(hours))
        patch(documents, "indices_exist", lambda *_: True)
        patch(documents, "count_documents", lambda es, alias, hours: dict.fromkeys(hours, 0))
        patch(documents, "delete_left_over", lambda *_: {})
        patch(metrics.MetricsTasks, "of", lambda hours, rows: self.index(hours))
        patch(metrics, "documents", lambda *_: None)
        patch(overviews, "overviews", lambda es, alias, hours: {h: overviews.HourOverview() for h in hours})
        patch(self.hbase.hbase, "count", lambda *_: 0, raising=False)
        patch(self.hbase, "read", lambda *_, **__: None, raising=False)

    def work(self, asset, hours, done):
        self.worked[asset] = list(hours)
        return done

    def replace(self, hours):
        return self.work("url_country_metrics", hours, {hour: Replaced(clicks=1) for hour in hours})

    def index(self, hours):
        return self.work("es_index", hours, SimpleNamespace(tasks=list))

    def run(self, job=clickstream_hours, *, config=None, assets=None, hours=HOURS):
        """Run a job over the hours from the first to the last; returns the result."""
        defs = dg.Definitions(
            assets=[asset(SETTINGS) for asset in (raw_clicks, enriched_clicks, url_country_metrics, es_index)],
            jobs=[job],
            executor=dg.in_process_executor,
            resources={
                "kafka": self.kafka,
                "hbase": self.hbase,
                "elasticsearch": ElasticsearchInMemory(),
                "spark": SimpleNamespace(session=None, alone=lambda _: self.hbase.books()),
                "geoip": SimpleNamespace(versions=lambda: ("geoip", "rules"), database="", trusted=()),
                "configured": SETTINGS,
            },
        )
        self.worked.clear()
        self.checked.clear()
        result = defs.resolve_job_def(job.name).execute_in_process(
            instance=self.instance,
            tags=tags_of(hours[0], hours[-1]),
            run_config=config,
            asset_selection=assets and [dg.AssetKey(name) for name in assets],
        )
        assert result.success
        return result

    def touched(self):
        return {hour: state.touched for hour, state in self.hbase.hours.read(HOURS).items()}

    def stale(self):
        return [hour for hour, state in self.hbase.hours.read(HOURS).items() if state.stale]

    def bring_up_to_date(self):
        """Touch the hours, as ingestion does, and have all assets done with them."""
        states = self.hbase.hours
        states.touch(HOURS)
        for step in (ENRICHED, COMPUTED, INDEXED):
            states.mark(step, self.touched())


@pytest.fixture
def steps(monkeypatch):
    made = Steps(monkeypatch)
    made.bring_up_to_date()
    return made


BY_HAND = dg.define_asset_job("by_hand", "*")
ASSETS = {name: (name,) for name in STEPS} | {"raw_clicks": ("raw_clicks", "dead_letters")}


@pytest.mark.parametrize("asset", STEPS)
def test_people_have_an_asset_do_all_hours_and_touch_them_so_that_the_sensor_has_the_others_follow(steps, asset):
    steps.run(BY_HAND, assets=ASSETS[asset])
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.stale() == HOURS
    assert steps.worked == ({} if asset == "raw_clicks" else {asset: HOURS})
    assert steps.checked == {}, "such a run has steps for checks"

    steps.run(config=NOTHING_NEW)
    # What was enriched behind the touch is so already.
    assert steps.worked == dict.fromkeys(LATER[1:] if asset == "enriched_clicks" else LATER, HOURS)
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.stale() == []


@pytest.mark.parametrize("assets", [LATER, LATER[1:], ("enriched_clicks", "es_index")])
def test_a_run_of_several_assets_that_people_started_touches_once_and_leaves_nothing_out(steps, assets):
    steps.run(BY_HAND, assets=assets)
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.worked == dict.fromkeys(assets, HOURS)


def test_a_run_of_all_assets_that_people_started_leaves_nothing_to_do(steps):
    steps.run(BY_HAND, assets=CHECKED)
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.worked == dict.fromkeys(LATER, HOURS)
    assert steps.stale() == []


def test_a_run_of_the_sensor_touches_nothing_and_passes_over_hours_that_are_up_to_date(steps):
    run = steps.run(config=NOTHING_NEW)
    assert steps.touched() == dict.fromkeys(HOURS, 1)
    assert steps.worked == {}
    assert steps.checked == {asset: [] for asset in CHECKED}
    materialized = {(e.asset_key.to_user_string(), e.partition) for e in run.get_asset_materialization_events()}
    assert materialized == {(name, key_of_hour(hour)) for name in CHECKED for hour in HOURS}


def test_a_run_of_the_sensor_does_the_stale_hours_between_others_and_has_checks_look_at_those(steps):
    steps.hbase.hours.touch([HOURS[0], HOURS[2]])
    steps.run(config=NOTHING_NEW)
    done = [HOURS[0], HOURS[2]]
    assert steps.worked == {asset: done for asset in LATER}
    assert steps.checked == {asset: done for asset in CHECKED}
    assert steps.stale() == []


def test_a_run_of_the_sensor_goes_on_where_a_failed_one_ended(steps):
    states = steps.hbase.hours
    states.touch(HOURS)
    states.mark(ENRICHED, dict.fromkeys(HOURS, 2))
    states.mark(COMPUTED, {HOURS[0]: 2})
    steps.run(config=NOTHING_NEW)
    assert steps.worked == {"url_country_metrics": HOURS[1:], "es_index": HOURS}


def test_hours_never_touched_are_touched_once_as_empty_by_the_run_that_passes_over_them(steps):
    before = [HOUR - 2, HOUR - 1]
    steps.run(config=NOTHING_NEW, hours=[*before, *HOURS])
    states = steps.hbase.hours.read(before)
    assert [(state.touched, state.stale) for state in states.values()] == [(1, False)] * 2
    assert steps.touched() == dict.fromkeys(HOURS, 1)
    assert steps.worked == dict.fromkeys(LATER, before)


def test_an_hour_that_a_check_holds_is_left_as_it_is_by_whoever_runs(steps):
    states = steps.hbase.hours
    states.touch(HOURS)
    states.hold("enriched_clicks", states.read(HOURS), {HOURS[1]: ["sound"]})
    rest = [HOURS[0], HOURS[2]]
    for run in (lambda: steps.run(config=NOTHING_NEW), lambda: steps.run(BY_HAND, assets=LATER)):
        run()
        assert steps.worked == {"enriched_clicks": HOURS, "url_country_metrics": rest, "es_index": rest}
        # The check that tells of it looks at it all the same.
        assert all(HOURS[1] in hours for hours in steps.checked.values())
    assert HOURS[1] in steps.stale()


def test_clicks_are_remembered_of_hours_that_were_computed_alone(steps):
    steps.hbase.hours.touch([HOUR])
    steps.run(config=NOTHING_NEW)
    assert [state.clicks for state in steps.hbase.hours.read(HOURS).values()] == [1, None, None]
