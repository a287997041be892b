"""What Dagster's webserver says of each check of each hour, however the run came about that looked at it."""

import time

import pytest

from clickstream_assets.books.row_keys import metrics_key_range
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.partitions import tags_of
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.dagster_dev import DagsterDev
from clickstream_assets_tests.hard_cases import FRENCH, GERMAN
from clickstream_assets_tests.integration.pipeline import Pipeline, page_view

ASSETS = ("clickstream_topic", "raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")
HOURS = 6
"""Hours that have ended before Dagster starts."""
STATES = """query ($keys: [AssetKeyInput!]!) { assetNodes(assetKeys: $keys) { assetKey { path }
  partitionStats { numPartitions numMaterialized }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status }
    partitionStatuses { ... on AssetCheckTimePartitionStatuses { ranges { status startKey endKey } } } } } } } }"""
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on PythonError { message } ... on InvalidSubsetError { message } } }"""


class Shown:
    """A pipeline, Dagster running on it, and what its webserver shows."""

    def __init__(self, pipeline: Pipeline, dagster: DagsterDev, first: int) -> None:
        self.pipeline, self.dagster, self.first = pipeline, dagster, first

    def rest(self) -> None:
        """Wait until nothing is left to do."""
        self.dagster.wait(lambda: self.dagster.is_idle() and self.pipeline.behind() == (0, 0), seconds=300)

    def nodes(self) -> dict[str, dict]:
        keys = [{"path": [name]} for name in ASSETS]
        found = self.dagster.ask(STATES, keys=keys)["assetNodes"]
        return {node["assetKey"]["path"][0]: node for node in found}

    def checks(self) -> dict[tuple[str, str], dict]:
        return {
            (asset, check["name"]): check
            for asset, node in self.nodes().items()
            for check in node["assetChecksOrError"]["checks"]
        }

    def states(self) -> dict[tuple[str, str], dict[int, str]]:
        """Of each check, by hour what is shown; a check that is not of hours under hour 0."""
        found = {}
        for key, check in self.checks().items():
            if check["partitionStatuses"] is None:
                latest = check["executionForLatestMaterialization"]
                found[key] = {0: latest["status"] if latest else "NOT_EVALUATED"}
                continue
            found[key] = {
                hour: part["status"]
                for part in check["partitionStatuses"]["ranges"]
                for hour in range(hour_of_key(part["startKey"]), hour_of_key(part["endKey"]) + 1)
            }
        return found

    def not_passed(self) -> dict[tuple[str, str], dict[int, str]]:
        """Of each check, the hours that do not say SUCCEEDED; all closed hours are asked for."""
        this_hour = int(time.time() * 1000) // HOUR_MS
        wrong = {}
        for key, by_hour in self.states().items():
            asked = [0] if set(by_hour) == {0} else sorted({*range(self.first, this_hour), *by_hour})
            said = {hour: by_hour.get(hour, "NOT_EVALUATED") for hour in asked}
            if others := {hour: status for hour, status in said.items() if status != "SUCCEEDED"}:
                wrong[key] = others
        return wrong

    def launch(self, job: str, tags: dict[str, str], asset: str | None = None) -> None:
        """Launch a run as the UI does, of an asset with all its checks or of a whole job, and wait for what follows."""
        selector: dict = {
            "repositoryLocationName": "clickstream_assets.definitions",
            "repositoryName": "__repository__",
        }
        selector["pipelineName"] = job
        if asset:
            checks = [{"assetKey": {"path": [asset]}, "name": name} for of, name in self.checks() if of == asset]
            selector |= {"assetSelection": [{"path": [asset]}], "assetCheckSelection": checks}
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": pairs}, "runConfigData": {}}
        before = len(self.dagster.runs())
        answer = self.dagster.ask(LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        self.dagster.wait(lambda: len(self.dagster.runs()) > before and self.dagster.is_idle())

    def followed(self, first: int, last: int, before: int) -> None:
        """Wait until the sensor has had hours done as stale, by a run after the first ``before``."""
        self.dagster.wait(lambda: self.dagster.followed(first, last, before), seconds=200)


@pytest.fixture(scope="module")
def shown(servers, tmp_path_factory):
    """Six hours, of which two hold events, before Dagster is first started on them."""
    pipeline = Pipeline(servers, "states", tmp_path_factory.mktemp("states") / "sent.jsonl")
    this_hour = int(time.time() * 1000) // HOUR_MS
    first = this_hour - HOURS
    views = [page_view(this_hour - 3, i, "https://states.example/", (GERMAN, FRENCH)[i % 2]) for i in range(30)]
    pipeline.produce([*views, page_view(this_hour, 0, "https://states.example/now", GERMAN)])
    # An audit, at 03:30, would heal what a test has damaged before it looks.
    no_audit = {"CLICKSTREAM_AUDIT_DAYS": "0"}
    own = pipeline.environment() | {"CLICKSTREAM_FIRST_HOUR": key_of_hour(first)} | no_audit
    dagster = DagsterDev(tmp_path_factory.mktemp("dagster"), own)
    try:
        dagster.wait(dagster.is_idle)
        yield Shown(pipeline, dagster, first)
    finally:
        dagster.stop()


def test_the_sensors_first_runs_leave_every_check_of_every_hour_passed_from_the_first_partition_on(shown):
    shown.rest()
    assert shown.not_passed() == {}
    # The open hour has one state too, and the topic's check has one from the first look on.
    states = shown.states()
    assert all(hour >= shown.first for by_hour in states.values() for hour in by_hour if hour)
    assert states["clickstream_topic", "nothing_lost_unread"] == {0: "SUCCEEDED"}
    for name, node in shown.nodes().items():
        stats = node["partitionStats"]
        assert name == "clickstream_topic" or stats["numMaterialized"] >= stats["numPartitions"] - 1
    # One run for what was new, one for all the hours that hold nothing; one more for each hour that ended meanwhile.
    asked_for = [run for run in shown.dagster.runs() if "clickstream/why" in run.tags]
    ended = int(time.time() * 1000) // HOUR_MS - (shown.first + HOURS)
    assert 0 < len(asked_for) <= 4 + ended


def test_one_hour_by_hand_and_a_backfill_leave_them_passed(shown):
    shown.rest()
    before = len(shown.dagster.runs())
    shown.launch("__ASSET_JOB", {"dagster/partition": key_of_hour(shown.first + 3)}, "enriched_clicks")
    shown.followed(shown.first + 3, shown.first + 3, before)
    shown.rest()
    assert shown.not_passed() == {}

    before = len(shown.dagster.runs())
    shown.dagster.backfill(["enriched_clicks"], [key_of_hour(shown.first + 2 + i) for i in range(3)])
    shown.followed(shown.first + 2, shown.first + 4, before)
    shown.rest()
    assert shown.not_passed() == {}


def test_a_failure_is_shown_in_its_hour_alone_until_it_is_mended(shown):
    shown.rest()
    hour = shown.first + 3
    pipeline = shown.pipeline
    with pipeline.resources["hbase"].client() as client:
        table = pipeline.table("clickstream_metrics")
        key, cells = next(client.scan(table, *metrics_key_range(hour, hour)))
        wrong = str(int(cells[b"metrics:clicks"]) + 1).encode()
        client.mutate(table, [RowMutation(key, {b"metrics:clicks": wrong})])
    shown.launch("clickstream_checks", tags_of(hour, hour))
    failed = shown.not_passed()
    assert failed.pop(("es_index", "held_back"), {hour: "FAILED"}) == {hour: "FAILED"}
    assert failed == {
        ("url_country_metrics", "clicks_add_up"): {hour: "FAILED"},
        ("es_index", "documents_match"): {hour: "FAILED"},
    }
    shown.launch("clickstream_checks", tags_of(hour - 1, hour + 1))
    failed = shown.not_passed()
    assert failed.pop(("es_index", "held_back"), {hour: "FAILED"}) == {hour: "FAILED"}
    assert set(failed) == {("url_country_metrics", "clicks_add_up"), ("es_index", "documents_match")}
    assert all(by_hour == {hour: "FAILED"} for by_hour in failed.values())

    before = len(shown.dagster.runs())
    shown.dagster.backfill(["url_country_metrics"], [key_of_hour(hour)])
    shown.followed(hour, hour, before)
    shown.rest()
    assert shown.not_passed() == {}
