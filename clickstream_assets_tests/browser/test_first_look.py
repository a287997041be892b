"""The first look at a demo tells the truth: what Dagster's pages say while live clicks flow, read in a browser."""

import datetime as dt
import re
import urllib.request
from collections.abc import Iterable

import pytest

from clickstream_assets.local.stack import background
from clickstream_assets.settings import Settings
from clickstream_assets_tests.browser import chromium
from clickstream_assets_tests.browser.dagster_pages import LINEAGE_HEIGHT, LINEAGE_WIDTH, DagsterPages, until
from clickstream_assets_tests.browser.demo import STATES, Demo

HOURLY = ("raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")
DAILY = ("daily_metrics", "es_daily_index", "es_dimensions_index")
CLOSED_HOURS = 24
# Limits, for machines that are busy with something else: it takes a third of that.
FIRST_RUNS_SECONDS = 300
A_RUN_SECONDS = 180
HOUR = dt.timedelta(hours=1)
KEY = "%Y-%m-%d-%H:%M"


def hour_of(key: str) -> dt.datetime:
    return dt.datetime.strptime(key, KEY).replace(tzinfo=dt.UTC)


def hour_at(time: dt.datetime) -> dt.datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def open_hour() -> dt.datetime:
    return hour_at(dt.datetime.now(dt.UTC))


def hours_between(first: dt.datetime, last: dt.datetime) -> set[str]:
    return {(first + i * HOUR).strftime(KEY) for i in range((last - first) // HOUR + 1)}


def hours_of(demo: Demo) -> set[str]:
    """The hours that a demo is to show: from a day before it began to the open one."""
    return hours_between(hour_at(demo.begun) - CLOSED_HOURS * HOUR, open_hour())


def by_status(ranges: Iterable[dict]) -> dict[str, set[str]]:
    """The hours in each state, from Dagster's ranges of them."""
    found: dict[str, set[str]] = {}
    for part in ranges:
        hours = hours_between(hour_of(part["startKey"]), hour_of(part["endKey"]))
        found.setdefault(part["status"], set()).update(hours)
    return found


class States:
    """What Dagster's GraphQL says of each asset's hours, and of each check's: ``{(asset, check): {status: hours}}``."""

    def __init__(self, answer: dict) -> None:
        self.written: dict[str, set[str]] = {}
        self.checks: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.of_now: dict[tuple[str, str], str | None] = {}
        """Those of assets without hours."""
        for node in answer["assetNodes"]:
            (asset,) = node["assetKey"]["path"]
            ranges = (node["assetPartitionStatuses"] or {}).get("ranges", []) if asset in HOURLY else []
            self.written[asset] = by_status(ranges).get("MATERIALIZED", set())
            for check in node["assetChecksOrError"]["checks"]:
                key = (asset, check["name"])
                if asset in HOURLY:
                    self.checks[key] = by_status((check["partitionStatuses"] or {}).get("ranges", []))
                else:
                    self.of_now[key] = (check["executionForLatestMaterialization"] or {}).get("status")

    def wrong(self) -> list[str]:
        """Checks with an hour that failed or was skipped: never, whatever is under way."""
        allowed = {"SUCCEEDED", "IN_PROGRESS"}
        hours = [f"{key}: {state}" for key, state in self.checks.items() if state.keys() - allowed]
        return hours + [f"{key}: {state}" for key, state in self.of_now.items() if state not in {*allowed, None}]

    def unevaluated(self, hours: set[str]) -> list[str]:
        """Checks that have not succeeded in all of these hours and of those that their asset holds besides."""
        lacking = [
            f"{asset}.{check} of {sorted(missing)}"
            for (asset, check), state in self.checks.items()
            if (missing := (hours | self.written[asset]) - state.get("SUCCEEDED", set()))
        ]
        return lacking + [f"{key}: {state}" for key, state in self.of_now.items() if state != "SUCCEEDED"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo whose first runs are through: every hour has been written once, and documents are there."""
    chromium.find()
    with Demo(tmp_path_factory.mktemp("demo")) as demo:
        expected = hours_of(demo)

        def written() -> dict[str, set[str]]:
            states = States(demo.ask(STATES))
            assert not states.wrong()
            return {asset: expected - states.written[asset] for asset in HOURLY}

        until(written, lambda missing: not any(missing.values()), FIRST_RUNS_SECONDS)
        yield demo


@pytest.fixture(scope="module")
def pages(demo):
    with chromium.page(LINEAGE_WIDTH, LINEAGE_HEIGHT) as page:
        yield DagsterPages(page, demo.url)


def test_documents_are_there(demo):
    own = Settings(home=demo.home)
    address = background.env(own)["CLICKSTREAM_ELASTICSEARCH_URL"]
    with urllib.request.urlopen(f"{address}/{own.alias}/_count", timeout=20) as answer:
        assert re.search(rb'"count":[1-9]', answer.read())


def test_every_check_of_every_hour_has_succeeded_and_none_is_skipped(demo):
    def unevaluated() -> list[str]:
        states = States(demo.ask(STATES))
        assert not states.wrong()
        assert {asset for asset, _ in states.checks} == {*HOURLY}
        return states.unevaluated(hours_of(demo))

    until(unevaluated, lambda missing: not missing, A_RUN_SECONDS)


def test_the_lineage_graph_says_that_all_checks_passed_and_all_partitions_are_filled(pages):
    def says_so(nodes) -> bool:
        return all(node.all_passed and node.filled in (100, None) for node in nodes.values())

    nodes = until(pages.lineage, says_so, A_RUN_SECONDS)
    assert nodes.keys() == {"clickstream_topic", *HOURLY, *DAILY}
    assert {name for name, node in nodes.items() if node.filled == 100} == {*HOURLY, *DAILY}


@pytest.mark.parametrize("asset", ["raw_clicks", "es_index"])
def test_all_partitions_are_green_but_perhaps_the_open_one(demo, pages, asset):
    counts = until(lambda: pages.partitions(asset), lambda counts: not counts["Missing"], A_RUN_SECONDS)
    assert counts["Failed"] == 0
    assert counts["Materialized"] >= CLOSED_HOURS
    assert counts["Materialized"] + counts["Materializing"] in (CLOSED_HOURS + 1, CLOSED_HOURS + 2)  # an hour may turn


def test_latest_is_the_open_hour(pages):
    before, key, after = open_hour(), pages.latest("es_index"), open_hour()
    assert before <= hour_of(key) <= after


@pytest.mark.parametrize("asset", ["raw_clicks", "es_index"])
def test_the_list_of_checks_says_that_each_has_succeeded(pages, asset):
    states = until(lambda: pages.checks(asset), lambda states: {*states.values()} == {"Succeeded"}, A_RUN_SECONDS)
    assert "latest_closed_hour" in states


def test_each_check_of_an_asset_says_passed_for_the_open_hour(pages):
    states = until(
        lambda: pages.checks_in("es_index", open_hour().strftime(KEY)),
        lambda states: {*states.values()} == {"Passed"},
        A_RUN_SECONDS,
    )
    assert "documents_match" in states
