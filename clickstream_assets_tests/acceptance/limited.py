"""What metrics are to be under limits on urls, of golden.py's reading of the same messages: nothing here is ours.

Written to be read beside docs/contract.md ("Limits on a hostile producer"), not to be fast.
"""

import collections
import hashlib
import ipaddress
import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

import maxminddb
from crawleruseragents import is_crawler

from clickstream_assets_tests.acceptance import golden

DAY_MS = 86_400_000


def expect_limited(lines, geoip, first_hour, *, hosts=(), most=0, days=0):
    """Metrics by golden's keys, and how many messages are too old. User agents are told by ``is_crawler`` alone."""
    first_ms = int(datetime.fromisoformat(first_hour + ":00:00+00:00").timestamp() * 1000)
    events, seen, too_old = [], set(), 0
    for line in lines:
        record = json.loads(line)
        try:
            event = golden.parse(record["value"].encode(), record["kafka_timestamp_ms"], first_ms)
        except golden.Refused:
            continue
        if days and event["ms"] < record["kafka_timestamp_ms"] - days * DAY_MS:
            too_old += 1
            continue
        same = (event["id"], event["ms"] // 3_600_000, event["user"], event["type"], event["url"])
        if event["id"] is None or same not in seen:
            seen.add(same)
            events.append(event)
    with maxminddb.open_database(str(geoip)) as database:
        clicks = [(event, spent, _country(database, event["ip"])) for event, spent in _clicks(events)]
    return _rows(clicks, hosts, most), too_old


def _country(database, ip):
    if not ip or ipaddress.ip_address(ip).is_private:
        return "ZZ"
    return ((database.get(ip) or {}).get("country") or {}).get("iso_code", "ZZ")


def _clicks(events):
    """Clicks of people, each with the time spent on it: on the url that was sent, whatever counts."""
    people = collections.defaultdict(list)
    for event in events:
        if not is_crawler(event["ua"]):
            people[event["user"]].append(event)
    for visits in people.values():
        visits.sort(key=lambda event: event["ms"])
        for place, event in enumerate(visits):
            if event["type"] in golden.CLICK_TYPES:
                yield event, golden._spent(visits, place)


def _rows(clicks, hosts, most):
    by_url = collections.Counter((event["ms"] // 3_600_000, event["url"]) for event, _, _ in clicks)
    kept = collections.defaultdict(list)
    for hour, url in by_url:
        name = urlsplit(url).hostname
        of_host = any(name == h or (h.startswith("*.") and name.endswith(h[1:])) for h in hosts)
        if of_host or not hosts:
            kept[hour].append(url)
    for hour, urls in kept.items():
        urls.sort(key=lambda url, hour=hour: (-by_url[hour, url], hashlib.sha256(url.encode()).hexdigest()))
        del urls[most or len(urls) :]
    groups = {}
    for event, spent, country in clicks:
        hour = event["ms"] // 3_600_000
        url = event["url"] if event["url"] in kept[hour] else "(other)"
        moment = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:00:00Z")
        golden._add(groups, (moment, url, country), event, spent)
    return golden._measures(groups)
