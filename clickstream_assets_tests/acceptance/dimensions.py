"""Expected totals of dimensions (docs/contract.md), from the messages, by nothing of the product."""

import base64
import functools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from clickstream_assets_tests.acceptance import golden

_CAMPAIGN = ("utm_source", "utm_medium", "utm_campaign")
_UNSAID, _OTHERS, _MOST = "(none)", "(other)", 1_000


def expect(lines, geoip_path, first_hour):
    """Messages (as golden.py's) to {span|start|dimension|value: {events, clicks, unique_users}}."""
    import maxminddb
    from crawleruseragents import is_crawler
    from ua_parser import parse as parse_ua

    database = maxminddb.open_database(geoip_path)

    @functools.lru_cache(None)
    def city(ip):
        address = golden._address(ip)
        try:
            record = database.get(address) if address else None
        except ValueError:
            record = None
        return ((record or {}).get("city") or {}).get("names", {}).get("en") or ""

    @functools.lru_cache(None)
    def client(agent):
        parsed = parse_ua(agent)
        families = [part.family if part else "Other" for part in (parsed.user_agent, parsed.os, parsed.device)]
        return families, families[2] == "Spider" or is_crawler(agent)

    first_hour_ms = int(datetime.fromisoformat(first_hour + ":00:00+00:00").timestamp() * 1000)
    seen, totals = set(), defaultdict(lambda: [0, 0, set()])
    for line in lines:
        record = json.loads(line)
        text = record.get("value")
        message = base64.b64decode(record["value_base64"]) if "value_base64" in record else text
        message = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
        try:
            event = golden.parse(message, record["kafka_timestamp_ms"], first_hour_ms)
        except golden.Refused:
            continue
        same = event["id"], event["ms"] // 3_600_000, event["user"], event["type"], event["url"]
        if event["id"] is not None and same in seen:
            continue
        seen.add(same)
        families, is_bot = client(event["ua"])
        values = dict(zip(("browser", "os", "device"), families, strict=True))
        values |= {"event_type": event["type"], "city": city(event["ip"]), **_origin(json.loads(message))}
        counted = {"bot": families[0]} if is_bot else values
        moment = datetime.fromtimestamp(event["ms"] / 1000, UTC)
        is_click = event["type"] in golden.CLICK_TYPES
        for span, start in (("hour", f"{moment:%Y-%m-%dT%H:00:00Z}"), ("day", f"{moment:%Y-%m-%dT00:00:00Z}")):
            for dimension, value in counted.items():
                total = totals[span, start, dimension, value or _UNSAID]
                total[0] += 1
                total[1] += is_click
                if not is_bot and (is_click or dimension == "event_type"):
                    total[2].add(event["user"])
    return _bounded(totals)


def _origin(message):
    """How the visitor came, of a message that is taken."""
    referrer, url = golden._pick(message, "referrer"), golden._pick(message, "url")
    try:
        host = urlsplit(referrer[: golden.LONG]).hostname if referrer else ""
    except ValueError:
        host = ""
    campaign = {}
    for pair in url.partition("#")[0].partition("?")[2].split("&"):
        name = pair.partition("=")[0].lower().removeprefix("amp;")
        ((_, value),) = parse_qsl("x=" + pair.partition("=")[2], keep_blank_values=True)
        if value.strip():
            campaign.setdefault(name, value.strip()[:128])
    return {"referrer_host": host or "", **{name: campaign.get(name, "") for name in _CAMPAIGN}}


def _bounded(totals):
    """Of each span and dimension the values with most clicks; the rest as one, whose people nobody counts."""
    of_dimension, found = defaultdict(list), {}
    for (*group, value), (events, clicks, users) in totals.items():
        of_dimension[tuple(group)].append((-clicks, -events, value, len(users)))
    for (span, start, dimension), rows in of_dimension.items():
        rest = Counter()
        for number, (clicks, events, value, users) in enumerate(sorted(rows)):
            if number >= _MOST or value == _OTHERS:
                rest.update(events=-events, clicks=-clicks)
            else:
                people = None if dimension == "bot" else users
                row = {"events": -events, "clicks": -clicks, "unique_users": people}
                found["|".join((span, start, dimension, value))] = row
        if rest:
            row = {"events": rest["events"], "clicks": rest["clicks"], "unique_users": None}
            found["|".join((span, start, dimension, _OTHERS))] = row
    return found


def key_of(document):
    """The key of a document in Elasticsearch."""
    start = document["start"]
    moment = datetime.fromisoformat(start) if isinstance(start, str) else datetime.fromtimestamp(start / 1000, UTC)
    return "|".join((document["span"], f"{moment:%Y-%m-%dT%H:00:00Z}", document["dimension"], document["value"]))
