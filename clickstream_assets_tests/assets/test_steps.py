"""Which hours a step does: all of them for people, who touch them first; for the sensor those that its asset lacks."""

from time import time
from types import SimpleNamespace

import dagster as dg
import pytest

from clickstream_assets.assets.enriched_clicks import enriched_clicks
from clickstream_assets.assets.es_index import es_index
from clickstream_assets.assets.raw_clicks import IngestConfig, raw_clicks
from clickstream_assets.assets.url_country_metrics import url_country_metrics
from clickstream_assets.books.blocks import Place
from clickstream_assets.books.hour_states import CLOSED, COMPUTED, ENRICHED, INDEXED, STEPS
from clickstream_assets.books.ledger_entries import READ, Entry, HourCounts, HourPart
from clickstream_assets.books.table_schemas import LEDGER
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.enrich import enriching
from clickstream_assets.enrich.enriching import Enriched
from clickstream_assets.enrich.enrichment import EnrichmentRules
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.evidence import overviews
from clickstream_assets.index import documents, hour_documents, indexing
from clickstream_assets.index.indexing import Indexed
from clickstream_assets.metrics import computing
from clickstream_assets.metrics.hour_tasks import Computed
from clickstream_assets.orchestration.jobs import clickstream_hours
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.fakes.stores_in_memory import ElasticsearchInMemory, HBaseInMemory, KafkaInMemory

HOUR = NOW_MS // HOUR_MS - 24
HOURS = [HOUR, HOUR + 1, HOUR + 2]
SETTINGS = Settings(first_hour=key_of_hour(HOUR - 24))
CHECKED = (*STEPS, "dead_letters")
LATER = ("enriched_clicks", "url_country_metrics", "es_index")
NOTHING_NEW = dg.RunConfig(ops={"raw_clicks": IngestConfig(until={})})


class Steps:
    """The steps of all assets on books in memory; what each works on, and what checks are asked of, is noted."""

    def __init__(self, monkeypatch):
        self.worked, self.whole, self.checked, self.checked_new, self.unfit = {}, {}, {}, {}, set()
        self.told = {}
        self.hbase, self.kafka = HBaseInMemory(), KafkaInMemory()
        self.instance = dg.DagsterInstance.ephemeral()
        patch = monkeypatch.setattr
        patch(HourChecks, "evaluate", lambda checks, context, hours, new, *_: self.check(checks.asset, hours, new))
        patch(enriching, "enrich", lambda spark, books, hours, rules, whole: self.enrich(books, hours, whole))
        patch(computing, "compute", lambda spark, books, hours, run_id, whole, limits: self.compute(hours, whole))
        patch(indexing, "index_changed", lambda spark, books, target, hours: self.index_changed(hours))
        patch(indexing, "index_whole", lambda spark, books, target, hours, at_most: self.index_whole(hours))
        patch(documents, "indices_are_current", lambda *_: True)
        patch(hour_documents, "write_hours", lambda es, alias, documents, now_ms: self.told.update(documents))
        patch(documents, "count_documents", lambda es, alias, hours: dict.fromkeys(hours, 0))
        patch(documents, "delete_left_over", lambda *_: {})
        patch(overviews, "overviews", lambda es, alias, hours: {h: overviews.HourOverview() for h in hours})
        patch(self.hbase.hbase, "count", lambda *_: 0, raising=False)

    def work(self, asset, hours, whole):
        self.worked[asset], self.whole[asset] = list(hours), sorted(whole)

    def check(self, asset, hours, new):
        self.checked[asset], self.checked_new[asset] = list(hours), {hour: list(parts) for hour, parts in new.items()}

    def enrich(self, books, hours, whole):
        self.work("enriched_clicks", hours, whole)
        parts = books.ledger.parts(hours)
        return Enriched(rows=1, parts={hour: parts[hour] for hour in hours})

    def compute(self, hours, whole):
        """Hours whose blocks are unfit are left as they are, until enrichment makes the blocks again."""
        self.work("url_country_metrics", hours, whole)
        of_hours = {place for place in self.unfit if place.hour in hours}
        self.unfit -= of_hours
        left = {place.hour for place in of_hours}
        return {hour: Computed(clicks=1) for hour in hours if hour not in left}, of_hours

    def index_changed(self, hours):
        self.work("es_index", hours, ())
        return {hour: Indexed() for hour in hours}, {}

    def index_whole(self, hours):
        self.whole["es_index"] = list(hours)
        return {hour: Indexed() for hour in hours}

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
                "geoip": SimpleNamespace(rules=lambda: EnrichmentRules("", (), ("geoip", "rules"))),
                "configured": SETTINGS,
            },
        )
        for noted in (self.worked, self.whole, self.checked, self.checked_new, self.told):
            noted.clear()
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
        for step in (ENRICHED, COMPUTED, INDEXED, CLOSED):
            states.mark(step, self.touched())


@pytest.fixture
def steps(monkeypatch):
    made = Steps(monkeypatch)
    made.bring_up_to_date()
    return made


BY_HAND = dg.define_asset_job("by_hand", "*")
ASSETS = {name: (name,) for name in STEPS} | {"raw_clicks": ("raw_clicks", "dead_letters")}


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("assets", [LATER, LATER[1:], ("enriched_clicks", "es_index")])
def test_a_run_of_several_assets_that_people_started_touches_once_and_leaves_nothing_out(steps, assets):
    steps.run(BY_HAND, assets=assets)
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.worked == dict.fromkeys(assets, HOURS)


@pytest.mark.slow
def test_a_run_of_all_assets_that_people_started_leaves_nothing_to_do(steps):
    steps.run(BY_HAND, assets=CHECKED)
    assert steps.touched() == dict.fromkeys(HOURS, 2)
    assert steps.worked == dict.fromkeys(LATER, HOURS)
    assert steps.stale() == []


@pytest.mark.slow
def test_a_run_of_the_sensor_touches_nothing_and_passes_over_hours_that_are_up_to_date(steps):
    run = steps.run(config=NOTHING_NEW)
    assert steps.touched() == dict.fromkeys(HOURS, 1)
    assert steps.worked == {}
    assert steps.checked == {asset: [] for asset in CHECKED}
    materialized = {(e.asset_key.to_user_string(), e.partition) for e in run.get_asset_materialization_events()}
    assert materialized == {(name, key_of_hour(hour)) for name in CHECKED for hour in HOURS}


@pytest.mark.slow
def test_a_run_of_the_sensor_does_the_stale_hours_between_others_and_has_checks_look_at_those(steps):
    steps.hbase.hours.touch([HOURS[0], HOURS[2]])
    steps.run(config=NOTHING_NEW)
    done = [HOURS[0], HOURS[2]]
    assert steps.worked == {asset: done for asset in LATER}
    assert steps.checked == {asset: done for asset in CHECKED}
    assert steps.stale() == []


@pytest.mark.slow
def test_a_run_of_the_sensor_goes_on_where_a_failed_one_ended(steps):
    states = steps.hbase.hours
    states.touch(HOURS)
    states.mark(ENRICHED, dict.fromkeys(HOURS, 2))
    states.mark(COMPUTED, {HOURS[0]: 2})
    steps.run(config=NOTHING_NEW)
    assert steps.worked == {"url_country_metrics": HOURS[1:], "es_index": HOURS}


@pytest.mark.slow
def test_hours_never_touched_are_touched_once_as_empty_by_the_run_that_passes_over_them(steps):
    before = [HOUR - 2, HOUR - 1]
    steps.run(config=NOTHING_NEW, hours=[*before, *HOURS])
    states = steps.hbase.hours.read(before)
    assert [(state.touched, state.stale) for state in states.values()] == [(1, False)] * 2
    assert steps.touched() == dict.fromkeys(HOURS, 1)
    assert steps.worked == dict.fromkeys(LATER, before)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("asset", LATER)
def test_what_people_materialize_and_all_behind_it_is_done_whole(steps, asset):
    steps.run(BY_HAND, assets=ASSETS[asset])
    assert steps.whole == {asset: HOURS}
    steps.run(config=NOTHING_NEW)
    behind = LATER[1:] if asset == "enriched_clicks" else LATER
    assert steps.whole == dict.fromkeys(behind, HOURS)
    assert all(of_asset == {} for name, of_asset in steps.checked_new.items() if name in behind), "they look at it all"

    steps.hbase.hours.touch(HOURS)
    steps.run(config=NOTHING_NEW)
    assert steps.whole == {asset: [] for asset in LATER}, "once is enough"


@pytest.mark.slow
def test_checks_look_at_what_is_new_of_hours_that_were_added_to(steps):
    hour = HOURS[1]
    with steps.hbase.books() as books:
        books.ledger.write([Entry("log", 0, 0, 7, READ, 7, {hour: HourCounts(kept=7)})])
    steps.hbase.hours.touch([hour])
    steps.run(config=NOTHING_NEW)
    part = HourPart("log", 0, 0, HourCounts())
    assert steps.checked_new["enriched_clicks"] == {hour: [part]}
    assert steps.checked_new["url_country_metrics"] == steps.checked_new["es_index"] == {hour: []}
    assert steps.checked == {asset: [hour] for asset in CHECKED}


@pytest.mark.slow
def test_an_asset_whose_check_failed_is_done_whole_when_it_is_tried_again(steps):
    states = steps.hbase.hours
    states.hold("url_country_metrics", states.read(HOURS), {HOURS[0]: ["sound"]})
    states.touch(HOURS)
    steps.run(config=NOTHING_NEW)
    assert steps.whole == {"enriched_clicks": [], "url_country_metrics": HOURS[:1], "es_index": []}


@pytest.mark.slow
def test_blocks_that_are_not_what_the_ledger_says_are_made_again_and_their_hours_computed_whole(steps):
    steps.hbase.hours.touch(HOURS)
    # Metrics look into the hour behind too.
    steps.unfit = {Place("log", 0, 0, HOURS[1])}
    steps.run(config=NOTHING_NEW)
    assert steps.worked == {"enriched_clicks": HOURS[1:2], "url_country_metrics": HOURS[1:2], "es_index": HOURS}
    assert steps.whole["enriched_clicks"] == steps.whole["url_country_metrics"] == HOURS[1:2]
    assert steps.stale() == []
    assert [state.clicks for state in steps.hbase.hours.read(HOURS).values()] == [1, 1, 1]


@pytest.mark.slow
def test_blocks_that_cannot_be_made_again_fail_the_run_and_name_the_hour(steps, monkeypatch):
    steps.hbase.hours.touch(HOURS)
    unfit = {Place("log", 0, 0, HOURS[1])}
    monkeypatch.setattr(
        computing,
        "compute",
        lambda spark, books, hours, run_id, whole, limits: ({h: Computed() for h in hours if h != HOURS[1]}, unfit),
    )
    with pytest.raises(dg.Failure, match=f"not what the ledger says.*made again: {key_of_hour(HOURS[1])}$"):
        steps.run(config=NOTHING_NEW)
    assert steps.stale() == HOURS


@pytest.mark.slow
def test_an_hour_that_has_ended_since_its_documents_were_written_is_indexed_whole_once(steps):
    states = steps.hbase.hours
    with steps.hbase.books() as books:
        closed = LEDGER.columns[CLOSED].key
        key = f"state|{key_of_hour(HOURS[1])}".encode()
        books.hbase.mutate(books.tables.ledger, [RowMutation(key, {}, (closed,))])
    assert [hour for hour, state in states.read(HOURS).items() if state.closes] == HOURS[1:2]
    steps.run(config=NOTHING_NEW)
    assert steps.worked == {"es_index": HOURS[1:2]}
    assert steps.whole == {"es_index": HOURS[1:2]}
    steps.run(config=NOTHING_NEW)
    assert steps.worked == {}


@pytest.mark.slow
def test_documents_that_are_first_written_behind_the_end_of_their_hour_are_not_looked_at_again(steps):
    hour = HOURS[-1] + 1
    steps.run(config=NOTHING_NEW, hours=[hour])
    assert steps.whole["es_index"] == []
    assert not steps.hbase.hours.read([hour])[hour].closes


@pytest.mark.slow
def test_the_open_hour_is_not_closed(steps):
    hour = int(time() * 1000) // HOUR_MS
    steps.run(config=NOTHING_NEW, hours=[hour])
    assert steps.hbase.hours.read([hour])[hour].closes
    assert steps.told[hour]["state"] == "open"


@pytest.mark.slow
def test_a_run_tells_of_the_hours_it_did_of_those_held_and_of_those_in_which_something_changed(steps):
    states = steps.hbase.hours
    result = steps.run(config=NOTHING_NEW)
    assert list(steps.told) == HOURS, "nothing was told of them yet"
    assert {document["state"] for document in steps.told.values()} == {"final"}
    assert {document["run_id"] for document in steps.told.values()} == {result.run_id}
    assert {document["contract_version"] for document in steps.told.values()} == {2}
    steps.run(config=NOTHING_NEW)
    assert steps.told == {}

    states.touch(HOURS[:2])
    states.hold("raw_clicks", states.read(HOURS[:1]), {HOURS[0]: ["books_balance"]})
    steps.run(config=NOTHING_NEW)
    assert [(hour, document["state"]) for hour, document in steps.told.items()] == [
        (HOURS[0], "held"),
        (HOURS[1], "final"),
    ]
    states.remember_users({HOURS[2]: (7, states.read([HOURS[2]])[HOURS[2]].computed)})
    steps.run(config=NOTHING_NEW)
    assert steps.told[HOURS[2]]["unique_users"] == 7


@pytest.mark.slow
def test_what_keeps_hours_from_being_told_of_fails_no_run_and_they_are_told_of_later(steps, monkeypatch):
    def gone(*_):
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(hour_documents, "write_hours", gone)
        steps.run(config=NOTHING_NEW)
    assert {state.told for state in steps.hbase.hours.read(HOURS).values()} == {""}
    steps.run(config=NOTHING_NEW)
    assert list(steps.told) == HOURS


@pytest.mark.slow
def test_clicks_are_remembered_of_hours_that_were_computed_alone(steps):
    steps.hbase.hours.touch([HOUR])
    steps.run(config=NOTHING_NEW)
    assert [state.clicks for state in steps.hbase.hours.read(HOURS).values()] == [1, None, None]
