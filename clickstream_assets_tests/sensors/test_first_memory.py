"""What the sensor's first look begins with."""

from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.sensors import kafka_offsets
from clickstream_assets.sensors.kafka_offsets import first_memory
from clickstream_assets.settings import Settings

NOW = 1_795_878_474.0
THIS_HOUR = hour_of_key("2026-11-28-15:00")


def memory(monkeypatch, first_hour):
    monkeypatch.setattr(kafka_offsets, "settings", lambda: Settings(first_hour=first_hour))
    return first_memory(THIS_HOUR, NOW)


def test_a_demo_looks_at_every_hour_from_its_first_partition_on(monkeypatch):
    assert memory(monkeypatch, "2026-11-27-15:00").closed_up_to + 1 == hour_of_key("2026-11-27-15:00")


def test_years_of_hours_are_left_alone_but_for_the_latest(monkeypatch):
    assert memory(monkeypatch, "2026-01-01-00:00").closed_up_to + 1 == THIS_HOUR - 1
