"""The totals of the hard cases' dimensions against the independent reading of the same messages."""

import base64
import json

from clickstream_assets.events.days import days_of, key_of_day
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.metrics.counting_dimensions import count_dimensions
from clickstream_assets_tests.acceptance import dimensions, golden
from clickstream_assets_tests.fakes.metrics_world import FIRST, NOW_MS, MetricsWorld, write_geoip
from clickstream_assets_tests.hard_cases import hard_cases


def line_of(value, time_ms):
    said = {"value": None} if value is None else {"value_base64": base64.b64encode(value).decode()}
    return json.dumps({**said, "kafka_timestamp_ms": time_ms})


def counted(world):
    """Totals by the keys of the expected ones."""
    found = {}
    for day in days_of(world.hours):
        totals, unfit = count_dimensions(world.spark, world.books, day)
        assert unfit == set()
        for row in totals.to_pylist():
            is_day = row["hour"] is None
            span = ("day", f"{key_of_day(day)}T00:00:00Z") if is_day else ("hour", rfc3339_of_hour(row["hour"]))
            found["|".join((*span, row["dimension"], row["value"]))] = row
    return found


def test_totals_of_the_hard_cases_are_those_of_the_messages(tmp_path, monkeypatch):
    geoip, lines = write_geoip(tmp_path / "City.mmdb"), []
    world = MetricsWorld(monkeypatch, geoip)
    for message in hard_cases(NOW_MS):
        time_ms = message.timestamp_ms or NOW_MS
        world.topic.send(message.value, time_ms, 0)
        lines.append(line_of(message.value, time_ms))
    world.update()
    expected = dimensions.expect(lines, str(geoip), rfc3339_of_hour(FIRST)[:13])
    assert {key.split("|")[2] for key in expected} > {"event_type", "browser", "bot", "utm_source"}
    assert golden.compare(expected, counted(world)) == []
