"""The same under Dagster's own processes: webserver, daemon, backfills and runs, asked as the UI asks them."""

import pytest

from clickstream_assets.automation import FOLLOWED
from clickstream_assets_tests.automation.assets_of_paper import hours
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.dagster_dev import DagsterDev

OPEN = NOW_MS // 3_600_000
KEYS = hours(OPEN - 300, 5)

TICKS = """{ sensorOrError(sensorSelector: {repositoryLocationName: "paper", repositoryName: "__repository__",
  sensorName: "follow_hand_made_hours"}) { ... on Sensor { sensorState { status ticks { status } } } } }"""
WHY = """query ($key: AssetKeyInput!) { assetConditionEvaluationRecordsOrError(assetKey: $key, limit: 20) {
  ... on AssetConditionEvaluationRecords { records { numRequested evaluationNodes { userLabel expandedLabel } } } } }"""


class PaperDagster(DagsterDev):
    """With assets that only pretend to write."""

    def ticks(self):
        state = self.ask(TICKS)["sensorOrError"]["sensorState"]
        assert state["status"] == "RUNNING"
        return len([tick for tick in state["ticks"] if tick["status"] in ("SUCCESS", "SKIPPED")])


@pytest.fixture
def dagster(tmp_path):
    made = PaperDagster(tmp_path, "clickstream_assets_tests.automation.assets_of_paper", "paper")
    yield made
    made.stop()


def test_a_backfill_of_one_asset_from_the_ui_carries_the_later_ones_along_in_one_run(dagster):
    dagster.wait(dagster.ticks)
    assert dagster.backfill(["raw_clicks", "dead_letters"], KEYS)
    by_hand, first, *rest = dagster.wait(lambda: (runs := dagster.runs()) and len(runs) >= 2 and runs)
    assert by_hand[0] == {"raw_clicks", "dead_letters"}
    # The blocking check of enriched_clicks has never looked at these hours: what is behind it waits for that.
    rest = rest or dagster.wait(lambda: (runs := dagster.runs()) and runs[2:])
    for (assets, tags), expected in zip([first, *rest], [{FOLLOWED[0]}, set(FOLLOWED[1:])], strict=True):
        assert assets == expected
        assert tags["clickstream/why"] == "followed by hand"
        assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == (
            KEYS[0],
            KEYS[-1],
        )

    before = dagster.ticks()
    dagster.wait(lambda: dagster.ticks() >= before + 3)
    assert len(dagster.runs()) == 3, "and then it is quiet"
    found = dagster.ask(WHY, key={"path": [FOLLOWED[1]]})["assetConditionEvaluationRecordsOrError"]["records"]
    assert [record["numRequested"] for record in found if record["numRequested"]] == [5]
    labels = {node["userLabel"] for record in found for node in record["evaluationNodes"]}
    assert {"waits", "dependency_updated_alone", "any_deps_in_progress"} <= labels
