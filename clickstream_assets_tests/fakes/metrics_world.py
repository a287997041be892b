"""A pipeline up to ``url_country_metrics`` in memory, to be held against golden.py's reading of the same messages.

Not faked: what ``hbase.py`` and ``spark.py`` leave out; Elasticsearch is not there at all.
"""

import itertools
import json
from collections import Counter, defaultdict
from hashlib import sha256

from clickstream_assets.books import blocks, checkpoints, day_states
from clickstream_assets.books.audience import DIMENSIONS
from clickstream_assets.books.checkpoints import ID_BYTES, Checkpoints
from clickstream_assets.books.hour_states import COMPUTED, ENRICHED, INDEXED
from clickstream_assets.books.row_keys import metrics_key_range
from clickstream_assets.books.table_schemas import CLICKS as CLICKS_TABLE
from clickstream_assets.books.table_schemas import DAILY as DAILY_TABLE
from clickstream_assets.books.table_schemas import METRICS as METRICS_TABLE
from clickstream_assets.enrich import enriching
from clickstream_assets.enrich.enrichment import EnrichmentRules, user_agent_version
from clickstream_assets.events.days import days_of, key_of_day
from clickstream_assets.events.hours import hour_of_key, key_of_hour, rfc3339_of_hour
from clickstream_assets.events.url_limits import NO_LIMITS
from clickstream_assets.metrics import computing, rolling_up
from clickstream_assets.metrics.hourly_metrics import sketch_of
from clickstream_assets.metrics.page_rows import same_users
from clickstream_assets.metrics.people_columns import WHO_CAME, WHO_CLICKED
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.servers import CLICKS, HOUR_MS, World
from clickstream_assets_tests.fakes.spark import FakeSpark
from clickstream_assets_tests.hard_cases import BRITISH, CHROME, GERMAN, GOOGLEBOT

METRICS, BLOCKS = "clickstream_metrics", "clickstream_blocks"
FIRST = hour_of_key("2026-11-20-00:00")
NOW_MS = (FIRST + 30) * HOUR_MS
"""When every message is recorded: hours before are late."""
STAMPS = ("computed_at", "run_id")
CELL = {name: column.key for name, column in METRICS_TABLE.columns.items()}


def write_geoip(path, built=7):
    countries = {GERMAN: "DE", BRITISH: "GB"}
    records = {address: {"country": {"iso_code": code}} for address, code in countries.items()}
    return write_database(path, records, built=built)


def event(event_id, time_ms, user="u", url="x", **fields):
    """A message; None for an ``event_id`` that is not sent."""
    message = {"event_id": event_id, "user_id": user, "timestamp": time_ms, "url": f"https://h.example/{url}"}
    return json.dumps({"ip": GERMAN, "user_agent": CHROME} | message | fields).encode()


def bot(*of, **fields):
    return event(*of, user_agent=GOOGLEBOT, **fields)


class MetricsWorld(World):
    """Its steps do what the assets do, run by run, by the hours' marks."""

    def __init__(self, patch, geoip, partitions=1, limits=NO_LIMITS):
        super().__init__(FIRST, partitions)
        clock = itertools.count(NOW_MS + HOUR_MS, 1_000)
        self.hbase.clock = lambda: next(clock)
        for module in (checkpoints, day_states):
            patch.setattr(module, "time", lambda: next(clock) / 1000)
        self.spark = FakeSpark()
        self.rules = EnrichmentRules(str(geoip), (), ("GeoLite2-City 7", user_agent_version()))
        self.lines, self.geoip, self.limits = [], geoip, limits
        self.documents = {}
        """Rows by key, as :meth:`index` last took them."""

    def send(self, *values, partition=0):
        for value in values:
            self.topic.send(value, NOW_MS, partition)
            self.lines.append(json.dumps({"value": value.decode(), "kafka_timestamp_ms": NOW_MS}))

    def enrich(self, whole=()):
        states = self.books.hours.all()
        hours = [hour for hour, state in states.items() if hour in whole or state.lacks("enriched_clicks")]
        done = enriching.enrich(self.spark, self.books, hours, self.rules, whole)
        self.books.hours.mark(ENRICHED, {hour: states[hour].touched for hour in hours})
        return done

    def compute(self, whole=()):
        """By hour, what became of it."""
        self.runs += 1
        states, run_id = self.books.hours.all(), f"run-{self.runs}"
        hours = [hour for hour, state in states.items() if hour in whole or state.lacks("url_country_metrics")]
        done, unfit = computing.compute(self.spark, self.books, hours, run_id, whole, limits=self.limits)
        if left := [hour for hour in hours if hour not in done]:
            enriching.enrich(self.spark, self.books, left, self.rules, {place.hour for place in unfit})
            done |= computing.compute(self.spark, self.books, left, run_id, left, limits=self.limits)[0]
        assert done.keys() == set(hours)
        self.books.hours.mark(COMPUTED, {hour: states[hour].enriched for hour in hours})
        return done

    def roll_up(self, *days, whole=False):
        """Days, by default all, put together from their hours; what became of each."""
        days = days or days_of(self.hours)
        return {day: rolling_up.roll_up(self.spark, self.books, day, "of-days", whole=whole) for day in days}

    def index_all(self):
        """Have no hour wait for anything."""
        self.books.hours.mark(INDEXED, {hour: state.touched for hour, state in self.books.hours.all().items()})

    def update(self, whole=()):
        """All steps up to the metrics."""
        self.ingest()
        self.enrich(whole)
        return self.compute(whole)

    def index(self):
        """Take over the rows that the lists name, as the last step does; returns their keys."""
        checkpoints, named = Checkpoints(self.books), set()
        for hour in self.books.hours.all():
            lists = checkpoints.lists(hour)
            prefix, _ = metrics_key_range(hour, hour)
            for key, columns in lists.items():
                for ids in self.hbase.get(BLOCKS, [key], columns)[key].values():
                    assert ids
                    assert len(ids) % ID_BYTES == 0
                    named |= {prefix + ids[at : at + ID_BYTES].hex().encode() for at in range(0, len(ids), ID_BYTES)}
            checkpoints.forget(lists)
        rows = self.metrics()
        for key in named:
            self.documents.pop(key, None)
        self.documents |= {key: rows[key] for key in named if key in rows}
        return named

    @property
    def hours(self):
        return sorted(self.books.hours.all())

    def metrics(self):
        """Rows by key, as they are stored."""
        return {key: dict(cells) for key, cells in self.hbase.tables.get(METRICS, {}).items()}

    def plain(self):
        """Rows by key, without what says when and by whom they were computed, nor the bytes of their sketch."""
        left_out = {CELL[name] for name in (*STAMPS, "users_sketch")}
        return {key: {c: v for c, v in cells.items() if c not in left_out} for key, cells in self.metrics().items()}

    def change(self, table, key, puts=None, deletes=()):
        """As a hand does."""
        self.hbase.mutate(table, [RowMutation(key, puts or {}, deletes)])

    def places(self):
        """By place, the cells that lie there by the ledger."""
        parts = self.ledger.parts(self.hours)
        return {
            blocks.place_of(part, hour): part.block.cells
            for hour, of_hour in parts.items()
            for part in of_hour
            if part.block is not None
        }

    def key_of(self, hour, url="x", country="DE"):
        """Row key of a metric."""
        return _key(f"{rfc3339_of_hour(hour)}|https://h.example/{url}|{country}")

    # What must be true

    def assert_golden(self):
        """Rows and their sketches against golden.py, books against rows, blocks against rows."""
        first = rfc3339_of_hour(self.first_hour)[:13]
        expected = golden.expect(self.lines, str(self.geoip), first)
        stored = {}
        users = self._users()
        for key, cells in self.metrics().items():
            row = METRICS_TABLE.decode(cells)
            name = f"{rfc3339_of_hour(row['hour'])}|{row['url']}|{row['country']}"
            stored[name] = row
            assert key == _key(name)
            assert same_users(row["users_sketch"], sketch_of(sorted(users[name]))), name
            assert row["unique_users"] == len(users[name])
        assert golden.compare(expected["metrics"], stored) == []
        self.assert_people(users)
        self.assert_audience()
        self.assert_days(expected["daily"])
        self.assert_books_balance()
        self.assert_blocks_are_the_rows()

    def assert_people(self, users):
        """Who clicked what lies by column, each once."""
        found = defaultdict(list)
        for hour, columns in Checkpoints(self.books).columns(self.hours).items():
            for place in columns.people:
                for person in WHO_CLICKED.read(self.hbase, BLOCKS, hour, place).to_pylist():
                    name = f"{rfc3339_of_hour(hour)}|{person['url']}|{person['country']}"
                    found[name].append(person["user_key"])
        assert {name: sorted(of_page) for name, of_page in found.items()} == {n: sorted(u) for n, u in users.items()}

    def assert_audience(self):
        """Who came with what lies by column, as the rows say."""
        found, expected = Counter(), Counter()
        for hour, columns in Checkpoints(self.books).columns(self.hours).items():
            for place in columns.audience:
                for of_user in WHO_CAME.read(self.hbase, BLOCKS, hour, place).to_pylist():
                    *came, events, clicks = of_user.values()
                    found[hour, *came, "events"] += events
                    found[hour, *came, "clicks"] += clicks
        for cells in self.rows().values():
            row = CLICKS_TABLE.decode(cells)
            user = f"u{row['user_id']}" if "user_id" in row else f"a{row['anonymous_id']}"
            came = user, *(row.get(name, "") for name in DIMENSIONS), row["bot"] == "true"
            expected[row["timestamp"] // HOUR_MS, *came, "events"] += 1
            expected[row["timestamp"] // HOUR_MS, *came, "clicks"] += row["event_type"] in golden.CLICK_TYPES
        assert found == expected

    def assert_days(self, expected):
        """Days put together from hours against golden.py, which does so from events."""
        for of_day in self.roll_up().values():
            assert of_day.unfit == set()
        assert golden.compare(expected, self.days()) == []

    def days(self):
        """Totals of days by golden.py's keys."""
        rows = map(DAILY_TABLE.decode, self.hbase.tables.get(DAILY_TABLE.name, {}).values())
        return {golden._day_key({**row, "day": key_of_day(row["day"])}): row for row in rows}

    def assert_indexed(self):
        """What was taken over by lists is all that is stored, to the byte."""
        self.index()
        assert self.documents == self.metrics()

    def _users(self):
        """User keys of each metric that golden.py makes of the messages."""
        import maxminddb

        users, seen = defaultdict(set), set()
        with maxminddb.open_database(str(self.geoip)) as database:
            for line in self.lines:
                record = json.loads(line)
                one = golden.parse(record["value"].encode(), record["kafka_timestamp_ms"], FIRST * HOUR_MS)
                hour = one["ms"] // HOUR_MS
                same = (one["id"], hour, one["user"], one["type"], one["url"])
                if one["id"] is not None and same in seen:
                    continue
                seen.add(same)
                if one["ua"] == GOOGLEBOT or one["type"] not in golden.CLICK_TYPES:
                    continue
                code = (database.get(one["ip"]) or {}).get("country", {}).get("iso_code", "ZZ") if one["ip"] else "ZZ"
                kind, user = one["user"]
                users[f"{rfc3339_of_hour(hour)}|{one['url']}|{code}"].add(kind[0] + user)
        return users

    def assert_blocks_are_the_rows(self):
        """Every kept row is in the one block that its offset belongs to, as it is stored."""
        wanted, read = self.places(), defaultdict(list)
        for place, clicks in blocks.read(self.hbase, BLOCKS, blocks.BLOCK, wanted, blocks.CLICKS):
            assert clicks is not None, place
            read[place] += map(tuple, zip(*clicks.to_pydict().values(), strict=True))
        expected = defaultdict(list)
        for entry in self.entries():
            for cells in self.rows().values():
                row = CLICKS_TABLE.decode(cells)
                log_id, partition, offset = row["source"].split("/")
                is_in = (log_id, int(partition)) == (entry.topic_id, entry.partition)
                if is_in and entry.first <= int(offset) < entry.end:
                    place = blocks.Place(log_id, entry.partition, entry.first, row["timestamp"] // HOUR_MS)
                    expected[place].append((int(offset), _click(row)))
        assert dict(read) == {place: [click for _, click in sorted(clicks)] for place, clicks in expected.items()}
        assert len(self.rows()) == sum(cells.rows for cells in wanted.values())

    def rows_without(self, *names):
        return self.rows(*(CLICKS_TABLE.columns[name].key for name in names))


def _click(row):
    user = f"u{row['user_id']}" if "user_id" in row else f"a{row['anonymous_id']}"
    kinds = {"page_view": blocks.CLICK, "click": blocks.CLICK, "page_leave": blocks.LEAVE}
    return (
        row["timestamp"],
        user,
        row["url"],
        kinds.get(row["event_type"], blocks.OTHER_KIND),
        row.get("engagement_time_ms", -1),
        row["country"],
        row["bot"] == "true",
    )


def _key(name):
    hour = hour_of_key(f"{name[:10]}-{name[11:16]}")
    return f"{key_of_hour(hour)}|{sha256(name.encode()).hexdigest()}".encode()


__all__ = ["BLOCKS", "CLICKS", "FIRST", "METRICS", "NOW_MS", "MetricsWorld", "bot", "event", "write_geoip"]
