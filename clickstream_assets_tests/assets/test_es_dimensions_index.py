"""The step of ``es_dimensions_index`` as Dagster runs it: what it does with a day, and what it leaves as it is."""

from contextlib import contextmanager
from types import SimpleNamespace

import dagster as dg
import pytest

from clickstream_assets.assets.common import DAYS_JOB
from clickstream_assets.assets.es_dimensions_index import es_dimensions_index
from clickstream_assets.books import blocks
from clickstream_assets.books.checkpoints import Checkpoints, people_key
from clickstream_assets.books.misfits import Misfit
from clickstream_assets.checks.es_dimensions_index import checks
from clickstream_assets.events.days import day_of_hour, key_of_day
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.settings import Settings
from clickstream_assets.stores import preflight
from clickstream_assets.stores.preflight import StoresUnfit
from clickstream_assets_tests.fakes.dimensions_world import DimensionsWorld, write_cities
from clickstream_assets_tests.fakes.metrics_world import BLOCKS, FIRST
from clickstream_assets_tests.fakes.servers import HOUR_MS

HOUR = FIRST + 3
DAY = day_of_hour(HOUR)
SETTINGS = Settings(first_hour=key_of_hour(FIRST))
KEY = dg.AssetKey("es_dimensions_index")


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = DimensionsWorld(monkeypatch, write_cities(tmp_path / "City.mmdb"))
    world.visit(1, HOUR * HOUR_MS, "ada")
    world.visit(2, HOUR * HOUR_MS + 1, "bob", kind="scroll")
    world.update()
    world.index_all()
    world.roll_up()
    return world


def run(world, job_name=DAYS_JOB, misfits=()):
    """The step over the day; its result. ``misfits`` are those of its alias."""

    @contextmanager
    def books():
        yield world.books

    def behind(indices):
        assert indices.alias == SETTINGS.dimensions_alias
        return SimpleNamespace(misfits=lambda: misfits)

    @contextmanager
    def alone(_):
        yield world.spark

    job = dg.define_asset_job(job_name, selection=dg.AssetSelection.assets(KEY).without_checks())
    defs = dg.Definitions(
        assets=[es_dimensions_index(SETTINGS)],
        jobs=[job],
        resources={
            "hbase": SimpleNamespace(books=books),
            "spark": SimpleNamespace(alone=alone),
            "elasticsearch": SimpleNamespace(url="", client=world.indices.client, behind=behind),
            "configured": SETTINGS,
        },
    )
    result = defs.resolve_job_def(job_name).execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), partition_key=key_of_day(DAY)
    )
    assert result.success
    return result


def test_indices_that_do_not_fit_fail_the_run_with_the_sentence_before_anything_is_written(world, monkeypatch):
    monkeypatch.setattr(preflight, "_fit_until", {})
    with pytest.raises(StoresUnfit, match=r"^It is taken\.$"):
        run(world, misfits=[Misfit("It is taken.", True)])
    assert world.documents_of(DAY) == {}
    assert world.books.days.read([DAY])[DAY].has_documents_due


def test_a_day_has_its_documents_its_mark_and_its_checks(world):
    assert world.books.days.read([DAY])[DAY].has_documents_due
    result = run(world)
    world.assert_dimensions()
    state = world.books.days.read([DAY])[DAY]
    assert state.dimensions_ms == state.rolled_up_ms > 0
    (made,) = result.asset_materializations_for_node("es_dimensions_index")
    counts = {name: made.metadata[name].value for name in ("documents_written", "documents_left_over")}
    assert counts == {"documents_written": len(world.documents_of(DAY)), "documents_left_over": 0}
    assert made.metadata["dagster/partition_row_count"].value == len(world.documents_of(DAY))
    found = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys(checks.checks, True)


def test_by_hand_it_does_the_same_and_leaves_the_checks_to_their_own_step(world):
    assert run(world, "by_hand").get_asset_check_evaluations() == []
    world.assert_dimensions()


def test_a_day_of_a_held_hour_is_left_as_it_is(world):
    world.books.hours.hold("url_country_metrics", world.books.hours.read([HOUR]), {HOUR: ["clicks_add_up"]})
    run(world)
    assert world.documents_of(DAY) == {}
    assert world.books.days.read([DAY])[DAY].dimensions_ms == 0


def test_a_day_waits_for_an_hour_whose_audience_a_hand_has_changed_and_the_hour_is_doubted(world):
    (place,) = Checkpoints(world.books).columns([HOUR])[HOUR].audience
    world.change(BLOCKS, people_key(HOUR, place, "a"), {blocks.cell(0, "hour"): b"nothing"})
    before = world.books.hours.read([HOUR])[HOUR]
    run(world)
    after = world.books.hours.read([HOUR])[HOUR]
    assert (after.doubted, after.touched) == (before.touched + 1,) * 2
    assert world.documents_of(DAY) == {}
    world.update(whole=[HOUR])
    world.roll_up()
    run(world)
    world.assert_dimensions()
