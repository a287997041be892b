"""A pipeline up to the documents of dimensions in memory, and what these must be by the messages that were sent.

What a message says of its dimensions is written beside it by hand: nothing here derives it as the code does.
"""

from collections import Counter, defaultdict
from hashlib import sha256

from clickstream_assets.events.days import days_of, key_of_day
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.index.dimension_documents import DimensionDay, ensure_dimensions_template, write_dimensions
from clickstream_assets.index.indexing import Target
from clickstream_assets.metrics.counting_dimensions import count_dimensions
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.indices_in_memory import Indices
from clickstream_assets_tests.fakes.metrics_world import NOW_MS, MetricsWorld, event
from clickstream_assets_tests.fakes.servers import HOUR_MS
from clickstream_assets_tests.hard_cases import BRITISH, CHROME, GERMAN, GOOGLEBOT

ALIAS = "clickstream-dimensions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CLIENTS = {
    CHROME: {"browser": "Chrome", "os": "Windows", "device": "Other"},
    FIREFOX: {"browser": "Firefox", "os": "Linux", "device": "Other"},
    GOOGLEBOT: {"browser": "Googlebot", "os": "Other", "device": "Spider"},
    None: {"browser": "Other", "os": "Other", "device": "Other"},
}
CITIES = {GERMAN: "Cologne", BRITISH: ""}
NAMES = ("event_type", "browser", "os", "device", "city", "referrer_host", "utm_source", "utm_medium", "utm_campaign")
CLICK_TYPES = ("page_view", "click")
SPANS = {"hour": 1, "day": 24}
ROLLED_UP_MS = NOW_MS + HOUR_MS
"""Days are rolled up from then on, and within minutes."""


def write_cities(path):
    records = {
        GERMAN: {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Cologne"}}},
        BRITISH: {"country": {"iso_code": "GB"}},
    }
    return write_database(path, records)


class DimensionsWorld(MetricsWorld):
    """Days are rolled up and their dimensions written as the assets do."""

    def __init__(self, patch, geoip):
        super().__init__(patch, geoip)
        self.indices, self.said, self.version = Indices(), {}, 1_000

    def visit(self, number, time_ms, user="u", *, agent=CHROME, ip=GERMAN, kind="page_view", says=None, **fields):
        """Send an event; ``says`` is what it says beside what its client, address and type say."""
        url = fields.pop("url", "x")
        self.send(event(f"id-{number}", time_ms, user, url, user_agent=agent, ip=ip, event_type=kind, **fields))
        said = dict.fromkeys(NAMES, "") | CLIENTS[agent] | {"city": CITIES[ip], "event_type": kind} | (says or {})
        self.said[number] = time_ms // HOUR_MS, user, said, agent == GOOGLEBOT

    def write_dimensions(self, *days):
        """As the asset does it; by day, what was written."""
        done = {}
        with self.indices.client() as es:
            ensure_dimensions_template(es, ALIAS)
            self.version += 1
            for day, state in self.books.days.read(days or days_of(self.hours)).items():
                totals, unfit = count_dimensions(self.spark, self.books, day)
                assert unfit == set()
                of = DimensionDay(day, state.rolled_up_ms, f"run-{self.version}")
                done[day] = write_dimensions(es, Target("", ALIAS, self.version), of, totals)
                self.books.days.mark_dimensions(day, state.rolled_up_ms)
        return done

    def all_steps(self):
        self.update()
        self.roll_up()
        return self.write_dimensions()

    def documents_of(self, day):
        """As they are stored, by id, without what says when and by whom."""
        stored = self.indices.found(f"{ALIAS}-{key_of_day(day)[:4]}")
        return {
            key: {name: value for name, value in document.items() if name not in ("computed_at", "run_id")}
            for key, document in stored.items()
            if document["day"] == key_of_day(day)
        }

    def expected(self, day, most=1_000):
        """The same by the messages."""
        events, clicks, users, state = Counter(), Counter(), defaultdict(set), {}
        for hour, user, said, is_bot in self.said.values():
            if hour // 24 != day:
                continue
            values = {"bot": said["browser"]} if is_bot else said
            for name, value in values.items():
                for span, start in (("hour", hour), ("day", day * 24)):
                    key = span, rfc3339_of_hour(start), name, value or "(none)"
                    state[key[:2]] = "final" if (start + SPANS[span]) * HOUR_MS <= ROLLED_UP_MS else "open"
                    events[key] += 1
                    clicks[key] += said["event_type"] in CLICK_TYPES
                    if said["event_type"] in CLICK_TYPES or name == "event_type":
                        users[key].add(user)
        documents = {}
        for group in {key[:3] for key in events}:
            of_group = [key for key in events if key[:3] == group]
            of_group.sort(key=lambda key: (key[3] == "(other)", -clicks[key], -events[key], key[3]))
            kept = [key for key in of_group[:most] if key[3] != "(other)"]
            documents |= {key: (events[key], clicks[key], len(users[key])) for key in kept}
            if rest := [key for key in of_group if key not in set(kept)]:
                documents[*group, "(other)"] = sum(events[key] for key in rest), sum(clicks[key] for key in rest), None
        return {
            sha256("|".join(key).encode()).hexdigest(): _document(day, key, counts, state[key[:2]])
            for key, counts in documents.items()
        }

    def assert_dimensions(self):
        for day in days_of(self.hours):
            found, expected = self.documents_of(day), self.expected(day)
            differ = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
            assert [(found.get(key), expected.get(key)) for key in differ][:5] == [], len(differ)


def _document(day, key, counts, state):
    names = ("span", "start", "dimension", "value", "events", "clicks", "unique_users")
    document = dict(zip(names, (*key, *counts), strict=True)) | {"day": key_of_day(day), "state": state}
    if key[2] == "bot" or counts[2] is None:
        del document["unique_users"]
    return document
