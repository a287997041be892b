"""The baseline: the loop that this project began with, one event at a time with each library's own defaults."""

import json
from collections.abc import Iterable
from time import perf_counter
from typing import Any

import geoip2.database
import geoip2.errors
import happybase
import user_agents

from benchmarks.statistics import Timing

_STORED = ("event_id", "timestamp", "url", "user_id", "anonymous_id", "event_type")


def seed_loop(messages: Iterable[bytes], connection: happybase.Connection, table: str, geoip_database: str) -> Timing:
    """Store and enrich messages: ``json``, a ``geoip2`` look-up, ``user_agents``, one put for each of both.

    It checks nothing, looks for no duplicates and keeps no books.
    """
    store = connection.table(table)
    count = 0
    with geoip2.database.Reader(geoip_database) as places:
        begun = perf_counter()
        for message in messages:
            event = json.loads(message)
            key = event["event_id"].encode()
            store.put(key, {f"click_data:{name}": event[name] for name in _STORED if name in event})
            store.put(key, _enriched(event, places))
            count += 1
        return Timing(count, perf_counter() - begun)


def _enriched(event: dict[str, Any], places: geoip2.database.Reader) -> dict[str, str]:
    try:
        place = places.city(event["ip"])
        country, city = place.country.iso_code or "", place.city.name or ""
    except (geoip2.errors.AddressNotFoundError, ValueError):
        country, city = "", ""
    agent = user_agents.parse(event["user_agent"])
    return {
        "geo_data:country": country,
        "geo_data:city": city,
        "user_agent_data:browser": agent.browser.family,
        "user_agent_data:os": agent.os.family,
        "user_agent_data:device": agent.device.family,
    }
