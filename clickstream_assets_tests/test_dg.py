"""Dagster's own command line in a clone, as a newcomer calls it: ``.venv/bin/dg``, without activating anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clickstream_assets

pytestmark = pytest.mark.slow


CLONE = Path(clickstream_assets.__file__).parents[1]


def _dg(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [Path(sys.executable).with_name("dg"), *arguments]
    return subprocess.run(
        command, cwd=CLONE, env=environment | variables, capture_output=True, text=True, timeout=120, check=False
    )


def test_dg_list_defs_names_the_assets_and_says_nothing_else():
    done = _dg("list", "defs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    names = {asset["asset_key"] for asset in json.loads(done.stdout)["assets"]}
    assert {
        "clickstream_topic",
        "raw_clicks",
        "dead_letters",
        "enriched_clicks",
        "url_country_metrics",
        "es_index",
    } <= names


def test_dg_check_defs_passes_and_fails_where_definitions_cannot_be_loaded():
    done = _dg("check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr
    broken = _dg("check", "defs", CLICKSTREAM_FIRST_HOUR="yesterday")
    assert broken.returncode != 0
    assert "CLICKSTREAM_FIRST_HOUR=yesterday" in broken.stdout + broken.stderr
