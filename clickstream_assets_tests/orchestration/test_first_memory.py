"""What the sensor's first look begins with."""

from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.orchestration.planning import first_memory

NOW = 1_795_878_474.0
THIS_HOUR = hour_of_key("2026-11-28-15:00")


def closed_up_to(first_hour):
    return first_memory(hour_of_key(first_hour), THIS_HOUR, NOW).closed_up_to


def test_a_demo_looks_at_every_hour_from_its_first_partition_on():
    assert closed_up_to("2026-11-27-15:00") + 1 == hour_of_key("2026-11-27-15:00")


def test_years_of_hours_are_left_alone_but_for_the_latest():
    assert closed_up_to("2026-01-01-00:00") + 1 == THIS_HOUR - 1
