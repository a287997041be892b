"""Everything at once under Dagster's own daemon: productions in random order, late events, people at the UI."""

import itertools
import json
from random import Random

import pytest

from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.orchestration.jobs import CHECKS
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.dagster_dev import DagsterDev
from clickstream_assets_tests.hard_cases import BRITISH, CHROME, FRENCH, GERMAN, GERMAN_6, GOOGLEBOT
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

EVENTS, SPAN, PRODUCTIONS = 10_000, 48, 20
LAST = NOW_MS // HOUR_MS
ASSETS = (["raw_clicks", "dead_letters"], ["enriched_clicks"], ["url_country_metrics"], ["es_index"])
EVERY_ASSET = [name for names in ASSETS for name in names]

EXECUTION = """{alias}: assetCheckExecutions(
  assetKey: {{path: ["{asset}"]}}, checkName: "{check}", partition: "{hour}", limit: 1) {{
    evaluation {{ success description partition }} }}"""
ASSET = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  freshnessStatusInfo { freshnessStatus }
  assetChecksOrError { ... on AssetChecks { checks { name blocking } } }
  metadataEntries { label ... on TableColumnLineageMetadataEntry { lineage { columnName
    columnDeps { assetKey { path } columnName } } } } } } }"""


def messages(random: Random) -> list[Message]:
    """10,000 events over 48 hours, in random order; 3 % come hours late, a few come weeks late."""
    made = []
    for i in range(EVENTS):
        time_ms = recorded = NOW_MS - random.randrange(SPAN * HOUR_MS)
        if i % 33 == 0:
            recorded = min(NOW_MS, time_ms + random.randrange(HOUR_MS, 12 * HOUR_MS))
        if i % 1500 == 0:
            time_ms -= random.choice((14, 15, 18)) * 24 * HOUR_MS
        value = {
            "event_id": f"live-{i}",
            "user_id" if i % 5 else "anonymous_id": f"user-{random.randrange(400)}",
            "timestamp": time_ms,
            "url": f"https://live.example/{random.randrange(12)}",
            "event_type": random.choice(("page_view", "page_view", "click", "scroll")),
            "ip": random.choice((GERMAN, BRITISH, FRENCH, GERMAN_6)),
            "user_agent": GOOGLEBOT if i % 50 == 0 else CHROME,
        }
        text = json.dumps(value).encode()
        made.append(Message(text, recorded))
    random.shuffle(made)
    return made


@pytest.fixture(scope="module")
def live(servers, tmp_path_factory):
    """A pipeline, and Dagster running on it with its sensors on."""
    pipeline = Pipeline(servers, "live", tmp_path_factory.mktemp("live") / "sent.jsonl")
    dagster = DagsterDev(tmp_path_factory.mktemp("dagster"), pipeline.environment())
    dagster.wait(dagster.is_idle)
    yield pipeline, dagster
    dagster.stop()


def at_rest(pipeline: Pipeline, dagster: DagsterDev) -> bool:
    return dagster.is_idle() and pipeline.behind() == (0, 0)


def test_whatever_order_events_come_in_and_whoever_materializes_meanwhile_it_ends_golden(live):
    pipeline, dagster = live
    random = Random(4)
    sent = messages(random)
    size = len(sent) // PRODUCTIONS
    for turn in range(PRODUCTIONS):
        pipeline.produce(sent[turn * size : (turn + 1) * size])
        if turn % 5 == 2:
            first = LAST - random.randrange(8, SPAN)
            dagster.backfill(random.choice(ASSETS), [key_of_hour(first + i) for i in range(random.randrange(1, 4))])
    dagster.wait(lambda: at_rest(pipeline, dagster), seconds=600)
    assert_golden(pipeline)
    runs = dagster.runs()
    assert {"new offsets", "stale hours"} <= {run.tags.get("clickstream/why") for run in runs}
    # Those of the backfills above; runs that sensors or schedules ask for need not say why, either.
    assert any("dagster/backfill" in run.tags for run in runs)


def evaluations(dagster: DagsterDev, asset: str, checks: list[str], hours: list[str]) -> dict:
    """The latest evaluation of each of an asset's checks for each of some hours, in one question."""
    asked = {f"a{i}": pair for i, pair in enumerate(itertools.product(checks, hours))}
    fields = (
        EXECUTION.format(alias=alias, asset=asset, check=check, hour=hour) for alias, (check, hour) in asked.items()
    )
    found = dagster.ask(f"{{ {' '.join(fields)} }}")
    return {pair: found[alias][0]["evaluation"] for alias, pair in asked.items()}


def test_a_backfill_of_five_hours_is_followed_by_the_sensor_and_shows_checks_freshness_and_lineage(live):
    pipeline, dagster = live
    first, last = LAST - 20, LAST - 16
    hours = [key_of_hour(hour) for hour in range(first, last + 1)]
    before = len(dagster.runs())
    assert dagster.backfill(["enriched_clicks"], hours)
    dagster.wait(lambda: dagster.followed(first, last, before), seconds=200)
    seen = 0
    for name in EVERY_ASSET:
        node = dagster.ask(ASSET, key={"path": [name]})["assetNodeOrError"]
        assert node["freshnessStatusInfo"]["freshnessStatus"] in ("HEALTHY", "UNKNOWN")
        (lineage,) = [entry["lineage"] for entry in node["metadataEntries"] if entry.get("lineage")]
        assert all(column["columnDeps"] for column in lineage)
        of_hours = [check["name"] for check in node["assetChecksOrError"]["checks"]]
        for (_, hour), evaluation in evaluations(dagster, name, of_hours, hours).items():
            assert evaluation["partition"] == hour
            assert evaluation["success"], evaluation
            seen += 1
    assert seen == 5 * sum(len(checks.checks) for checks in CHECKS)
    dagster.wait(lambda: at_rest(pipeline, dagster), seconds=200)
    assert_golden(pipeline)
