"""A document explained event by event adds up to what golden.py and the pipeline's own time_spent_ms say."""

from base64 import b64encode
from collections import defaultdict
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.hour_states import Hold, HourState
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.ledger_entries import READ, Entry, HourCounts
from clickstream_assets.books.row_keys import event_key, metrics_key
from clickstream_assets.books.table_schemas import CLICKS, METRICS
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS, hour_of_key, key_of_hour
from clickstream_assets.evidence import explanation, page_events
from clickstream_assets.evidence.explanation import Explanation, explain, judge
from clickstream_assets.evidence.page_events import (
    LEFT,
    MEASURED,
    MEASURED_CAPPED,
    NEXT_CLICK,
    SIGN_OF_LIFE,
    UNKNOWN_END,
    Source,
    Subject,
    events_of,
    views,
)
from clickstream_assets.evidence.recomputation import (
    add_up,
    compare,
    compare_sketches,
    misplaced,
    ranges_of,
    stored_metrics,
)
from clickstream_assets.metrics.hourly_metrics import sketch_of
from clickstream_assets.metrics.time_spent import UNKNOWN, time_spent_ms
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR = hour_of_key("2026-11-23-05:00")
START = HOUR * HOUR_MS
PAGES, COUNTRIES = ("https://a.example/", "https://b.example/x?y=[1]"), ("DE", "ZZ")
TARGET = Subject(HOUR, PAGES[0], "DE")


def cells(**columns):
    """A row as HBase has it; None leaves a cell out."""
    return {CLICKS.columns[name].key: str(value).encode() for name, value in columns.items() if value is not None}


def stored(*events):
    """HBase with rows of events: dictionaries of columns, over those of a plain view in the target."""
    hbase = FakeHBase()
    rows = hbase.tables[CLICKS.name] = {}
    for number, event in enumerate(events):
        plain = {
            "timestamp": START,
            "url": PAGES[0],
            "user_id": "ada",
            "event_type": "page_view",
            "source": f"topic/0/{number}",
            "country": "DE",
            "device": "Other",
            "geoip_version": "g1",
            "user_agent_version": "u1",
            "record_time": START,
        }
        row = plain | event
        row["bot"] = {"Spider": "true", None: None}.get(row["device"], "false")
        identity = f"e{number}", "uada", row["event_type"], row["url"]
        rows[event_key(row["timestamp"] // HOUR_MS, *identity)] = cells(**row)
    return hbase


def explained(*events, target=TARGET):
    """The views of the target, by time."""
    return views(events_of(Books(stored(*events), TableNames.of()), target)[1], target)


def ends(*events):
    """Of each view: milliseconds, what ended it, and how long after it that lies."""
    return [
        (view.spent_ms, view.ended_by, view.end and view.end.time_ms - view.time_ms)
        for view in explained(*events)
        if view.counts
    ]


# Few distinct times and users, so that ties and visits over the hour's end are the rule.
times = st.one_of(
    st.integers(0, 4).map(lambda at: at * 1_000),
    st.integers(0, 5).map(lambda at: at * TIMEOUT_MS // 2),
    st.sampled_from([TIMEOUT_MS - 1, TIMEOUT_MS + 1, HOUR_MS - 1, HOUR_MS + TIMEOUT_MS - 1, HOUR_MS + TIMEOUT_MS]),
    st.integers(-HOUR_MS, 2 * HOUR_MS - 1),
).map(START.__add__)
users = st.sampled_from(
    [
        {"user_id": "same"},
        {"user_id": None, "anonymous_id": "same"},
        {"user_id": "ada", "anonymous_id": "same"},
        {"user_id": "user_id:same"},
    ]
)
drawn_events = st.builds(
    lambda user, rest: user | rest,
    users,
    st.fixed_dictionaries(
        {
            "timestamp": times,
            "url": st.sampled_from(PAGES),
            "country": st.sampled_from(COUNTRIES),
            "event_type": st.sampled_from(["page_view", "page_view", "click", "scroll", "Click", "pageleave"]),
            "device": st.sampled_from(["Other", "Other", "Other", "Spider", None]),
            "engagement_time_ms": st.sampled_from([None] * 4 + [0, 1, TIMEOUT_MS, TIMEOUT_MS + 1, (1 << 63) - 1]),
        }
    ),
)


def golden_views(events):
    """By target: (user, milliseconds or None) of each view, as golden.py's own functions find them."""
    people = defaultdict(list)
    for event in events:
        if event["device"] not in ("Spider", None):
            user = ("u", event["user_id"]) if event["user_id"] is not None else ("a", event["anonymous_id"])
            ms, kind, engaged = event["timestamp"], event["event_type"], event["engagement_time_ms"]
            people[user].append({"ms": ms, "type": kind, "engaged": engaged, "url": event["url"], "of": event})
    found = defaultdict(list)
    for user, visits in people.items():
        visits.sort(key=lambda one: one["ms"])
        for place, one in enumerate(visits):
            if one["type"] in golden.CLICK_TYPES:
                target = Subject(one["ms"] // HOUR_MS, one["url"], one["of"]["country"])
                found[target].append((user, golden._spent(visits, place)))
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(drawn_events, max_size=25))
def test_every_document_adds_up_to_what_golden_expects(drawn):
    hbase, expected = stored(*drawn), golden_views(drawn)
    for target in {Subject(HOUR, url, country) for url in PAGES for country in COUNTRIES}:
        want = expected.get(target, [])
        found = views(events_of(Books(hbase, TableNames.of()), target)[1], target)
        counted = [view for view in found if view.counts]
        assert sorted(str(view.spent_ms) for view in counted) == sorted(str(ms) for _, ms in want)
        values = add_up(found)
        if not want:
            assert values is None
            continue
        spent = [ms for _, ms in want if ms is not None]
        assert values == {
            "clicks": len(want),
            "unique_users": len({user for user, _ in want}),
            "measured_views": len(spent),
            "time_spent_seconds": sum(spent) / 1000,
            "average_time_spent": sum(spent) / 1000 / len(spent) if spent else None,
        }


@pytest.mark.slow
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(drawn_events, max_size=25))
def test_what_ended_a_view_lies_as_far_behind_it_as_time_was_spent(drawn):
    hbase = stored(*drawn)
    every = [page_events.to_event(key, row) for key, row in hbase.tables[CLICKS.name].items()]
    people = sorted((e for e in every if e.is_persons), key=lambda e: (e.user_key, e.time_ms))
    names = sorted({event.user_key for event in people})
    columns = [
        (
            names.index(e.user_key),
            PAGES.index(e.url),
            e.time_ms,
            e.is_click,
            e.event_type == "pageleave",
            UNKNOWN if e.engagement_time_ms is None else e.engagement_time_ms,
        )
        for e in people
    ]
    kinds = (np.int64, np.int64, np.int64, np.bool_, np.bool_, np.int64)
    whole = time_spent_ms(*map(np.array, zip(*columns, strict=True) if columns else ((),) * 6, kinds))
    spent = {event.row_key: at for event, at in zip(people, whole.tolist(), strict=True)}
    for view in views(events_of(Books(hbase, TableNames.of()), TARGET)[1], TARGET):
        end = view.end
        if not view.counts:
            assert view.left_out
            assert not (view.is_persons and view.is_click)
            assert (view.spent_ms, view.ended_by, end) == (None, None, None)
            continue
        assert spent[view.row_key] == (UNKNOWN if view.spent_ms is None else view.spent_ms)
        assert (end is None) == (view.ended_by not in (NEXT_CLICK, LEFT, SIGN_OF_LIFE))
        if end is None:
            assert (view.ended_by == UNKNOWN_END) == (view.spent_ms is None)
            assert view.ended_by == UNKNOWN_END or view.engagement_time_ms is not None
            continue
        assert (end.user_key, end.time_ms) == (view.user_key, view.time_ms + view.spent_ms)
        later = [o for o in people if o.user_key == view.user_key and view.time_ms < o.time_ms]
        in_reach = [o for o in later if o.time_ms <= view.time_ms + TIMEOUT_MS]
        stops = [o.time_ms for o in in_reach if o.is_click or o.leaves(view.url)]
        assert bool(stops) == (view.ended_by in (NEXT_CLICK, LEFT))
        assert end.is_click == (view.ended_by == NEXT_CLICK)
        assert not stops or end.time_ms == min(stops)


def at(ms, event_type="page_view", **columns):
    return {"timestamp": START + ms, "event_type": event_type, **columns}


def test_a_view_ends_at_the_next_click_else_at_the_last_sign_of_life_else_nobody_knows():
    found = ends(at(0), at(10, "scroll"), at(20, "click"), at(30, "scroll"), at(90, "scroll"))
    assert found == [(20, NEXT_CLICK, 20), (70, SIGN_OF_LIFE, 70)]
    assert ends(at(0), at(TIMEOUT_MS + 1, url=PAGES[1])) == [(None, UNKNOWN_END, None)]


def test_a_click_is_named_where_a_sign_of_life_has_the_same_time():
    assert ends(at(0), at(10, "scroll"), at(10, url=PAGES[1]))[0] == (10, NEXT_CLICK, 10)


def test_leaving_the_page_ends_its_view():
    page, other = PAGES
    found = ends(at(0), at(10, "page_leave", url=other), at(20, "page_leave", url=page), at(30, "click", url=other))
    assert found == [(20, LEFT, 20)]


def test_the_clients_own_measurement_is_named_and_whether_it_was_capped():
    found = ends(at(0, engagement_time_ms=5), at(1, engagement_time_ms=TIMEOUT_MS + 1))
    assert found == [(5, MEASURED, None), (TIMEOUT_MS, MEASURED_CAPPED, None)]


def test_the_event_that_ends_a_view_may_lie_in_the_hour_that_follows():
    assert ends(at(HOUR_MS - 1), at(HOUR_MS + 1, url=PAGES[1], country="FR")) == [(2, NEXT_CLICK, 2)]


def test_bots_and_signs_of_life_on_the_page_are_shown_and_do_not_count():
    found = explained(at(0, device="Spider", user_id="crawler"), at(1, "scroll"), at(2))
    assert [(view.counts, view.is_bot, view.event_type) for view in found] == [
        (False, True, "page_view"),
        (False, False, "scroll"),
        (True, False, "page_view"),
    ]


def test_only_events_of_the_documents_own_users_are_kept():
    crowd = [at(n, user_id=f"u{n}", url=PAGES[1]) for n in range(500)]
    elsewhere = [at(n, user_id="ada", url=PAGES[1]) for n in range(3)]
    _, kept = events_of(Books(stored(*crowd, *elsewhere, at(9)), TableNames.of()), TARGET)
    assert {event.user_key for event in kept} == {"user_id:ada"}
    assert len(kept) == 4


# The ledger


def book(hbase):
    """A ledger with two entries of partition 0 (offsets 0 to 10 and 20 to 30) and one of partition 1."""
    ledger = Ledger(hbase, "ledger")
    for partition, first, run_id in ((0, 0, "r1"), (0, 20, "r2"), (1, 0, "r3")):
        kept = {HOUR: 4}
        hours = {hour: HourCounts(kept=count) for hour, count in kept.items()}
        ledger.write([Entry("topic", partition, first, first + 10, READ, 4, hours, run_id)])
    return ledger


def test_each_event_is_traced_to_the_range_and_the_run_that_brought_it():
    ledger = book(FakeHBase())
    sources = [Source("topic", 0, 29), Source("topic", 1, 3), Source("topic", 0, 20), Source("topic", 0, 0)]
    found, unbooked = ranges_of(ledger, ledger.parts([HOUR])[HOUR], sources)
    assert [(one["partition"], one["first"], one["run_id"], one["events"]) for one in found] == [
        (0, 0, "r1", 1),
        (0, 20, "r2", 2),
        (1, 0, "r3", 1),
    ]
    assert unbooked == 0


@pytest.mark.parametrize(
    "source",
    [Source("topic", 0, 10), Source("topic", 0, 30), Source("topic", 2, 0), Source("another", 0, 5), None],
    ids=str,
)
def test_an_event_that_no_range_holds_is_counted(source):
    ledger = book(FakeHBase())
    assert ranges_of(ledger, ledger.parts([HOUR])[HOUR], [source]) == ([], 1)


# Values and words

VALUES = {
    "clicks": 3,
    "unique_users": 2,
    "measured_views": 2,
    "time_spent_seconds": 1.5,
    "average_time_spent": 0.75,
}


def differing(*four):
    return [name for name, values in compare(*four).items() if not values["same"]]


def test_one_value_off_in_any_place_is_named():
    assert differing(VALUES, VALUES, VALUES, VALUES) == []
    for place in range(4):
        for name in VALUES:
            four = [dict(VALUES) for _ in range(4)]
            four[place][name] += 1e-9
            assert differing(*four) == [name]


def test_nothing_anywhere_is_the_same_and_a_missing_document_is_not():
    assert differing(None, None, None, None) == []
    assert differing(None, VALUES, VALUES, VALUES) == list(VALUES)
    assert differing(*[VALUES | {"average_time_spent": None}] * 4) == []


@pytest.mark.parametrize("users", [1, 5, 300, 20_000])
def test_sketches_are_compared_by_the_users_they_hold_and_not_by_their_bytes(users):
    names = [f"u{at}" for at in range(users)]
    sketch, turned, other = (sketch_of(keys) for keys in (names, names[::-1], [f"v{at}" for at in range(users)]))

    def compared(document, row, now):
        stored = [None if value is None else {"users_sketch": value} for value in (document, row, now)]
        values = compare_sketches(*stored)
        return values["same"], values["document"], values["metrics_row"], values["recomputed"]

    same, *estimates = compared(b64encode(sketch).decode(), turned, sketch)
    assert same
    assert estimates == [pytest.approx(users, rel=0.05)] * 3
    assert not compared(b64encode(sketch).decode(), other, sketch)[0]
    assert compared(b64encode(sketch).decode(), b"no sketch at all", sketch)[::2] == (False, "unreadable")
    assert not compared(b64encode(sketch).decode(), sketch, None)[0]
    assert compared(None, None, None) == (True, None, None, None)


def test_a_metrics_cell_that_is_no_number_is_shown_as_it_is():
    hbase = FakeHBase()
    cell = {METRICS.columns[name].key: value for name, value in (("clicks", b"many"), ("unique_users", b"2"))}
    hbase.tables[METRICS.name] = {metrics_key(HOUR, PAGES[0], "DE"): cell}
    found = stored_metrics(Books(hbase, TableNames.of()), TARGET)
    assert (found["clicks"], found["unique_users"], found["users_sketch"]) == ("many", 2, None)
    assert stored_metrics(Books(hbase, TableNames.of()), Subject(HOUR, PAGES[0], "FR")) is None


def test_a_document_in_another_ones_place_is_told():
    fields = {"hour": "2026-11-23T05:00:00Z", "url": PAGES[0], "country": "DE"}
    good = {"_index": "index", "_id": TARGET.document_id, "_source": fields}
    assert misplaced([good], TARGET) == []
    (words,) = misplaced([good, {"_index": "index-2", "_id": "stray", "_source": fields}], TARGET)
    assert "second document" in words
    assert "index-2/stray" in words
    (words,) = misplaced([good | {"_source": fields | {"country": "FR"}}], TARGET)
    assert "country is 'FR'" in words


def nothing(*events, state=HourState(), refused=0, moved=False, unbooked=0, first_hour=HOUR):  # noqa: B008  # frozen
    """The remarks on a target that has no document and no metrics row."""
    first_look, kept = events_of(Books(stored(*events), TableNames.of()), TARGET)
    listed = views(kept, TARGET)
    values = add_up(listed)
    explained = Explanation(
        hour=key_of_hour(HOUR),
        url=TARGET.url,
        country=TARGET.country,
        document_id=TARGET.document_id,
        values=compare(None, None, values, values),
        events=listed,
        events_in_no_range=unbooked,
        state={**asdict(state), "stale": state.stale, "refused": refused, "moved": moved},
    )
    judge(explained, [], first_look, first_hour)
    assert explained.same == (values is None)
    assert explained.verdict.startswith("There is no document" if explained.same else "Not the same everywhere")
    return "\n".join(explained.remarks)


UP_TO_DATE = HourState(3, 3, 3, 3)


def test_what_all_stores_say_of_a_document_comes_together(monkeypatch):
    books = Books(stored(at(0), at(10, "scroll"), at(20, geoip_version="g2")), TableNames.of())
    books.hours.touch([HOUR])
    counts = HourCounts(kept=2, dead_lettered=3)
    books.ledger.write([Entry("topic", 0, 0, 2, READ, 5, {HOUR: counts}, "reading")])
    values = {"clicks": 2, "unique_users": 1, "measured_views": 1}
    values |= {"time_spent_seconds": 0.02, "average_time_spent": 0.02}
    written = {"computed_at": START, "run_id": "computing"}
    key = metrics_key(HOUR, TARGET.url, TARGET.country)
    row = RowMutation(key, METRICS.encode(**values | written | {"clicks": 7}))
    books.hbase.mutate(books.tables.metrics, [row])
    hit = {"_index": "index", "_id": TARGET.document_id, "_source": TARGET.fields | values | written}

    def recomputed(clicks, target):
        books.hours.touch([target.hour])  # while it is looked at
        return values

    monkeypatch.setattr(explanation, "documents_of", lambda *_: [hit])
    monkeypatch.setattr(explanation, "recomputed", recomputed)
    monkeypatch.setattr(explanation, "compare_sketches", lambda *_: {"document": 1, "same": True})
    told = explain(TARGET, HOUR, books=books, es=None, alias="")

    assert (told.hour, told.url, told.country) == (key_of_hour(HOUR), TARGET.url, TARGET.country)
    assert [view.spent_ms for view in told.events if view.counts] == [20, None]
    assert told.values["clicks"] == {
        "document": 2, "metrics_row": 7, "recomputed": 2, "from_events": 2, "same": False
    }  # fmt: skip
    assert [name for name, compared in told.values.items() if not compared["same"]] == ["clicks"]
    assert list(told.values)[-1] == "users_sketch"
    assert [(booked["events"], booked["read"]) for booked in told.ranges] == [(2, 5)]
    assert told.events_in_no_range == 1
    assert [(run["run_id"], run["did"]) for run in told.runs] == [
        ("reading", "read its events"),
        ("computing", "computed it"),
    ]
    assert told.enrichment == [
        {"geoip_version": "g1", "user_agent_version": "u1", "events": 2},
        {"geoip_version": "g2", "user_agent_version": "u1", "events": 1},
    ]
    computed = {"computed_at": "2026-11-23T05:00:00.000Z", "run_id": "computing"}
    assert told.metrics_row == computed
    assert told.document == {"index": "index", "id": TARGET.document_id} | computed
    assert (told.state["stale"], told.state["refused"], told.state["moved"]) == (True, 3, True)
    assert told.remarks[0] == "differs: clicks: document 2, metrics row 7, recomputed 2, from events 2"
    assert (told.same, told.verdict) == (False, "Not the same everywhere.")


def test_a_hour_never_touched_is_told_with_its_refused_messages():
    words = nothing(refused=7)
    assert "2026-11-23-05:00 was never touched" in words
    assert "refused (see the dead letters): 7" in words
    assert "clickstream doctor" in words


def test_a_stale_hour_is_told_with_what_it_waits_for():
    words = nothing(at(0), state=HourState(5, 5, 4, 4))
    assert "no document, though there are events that count" in words
    assert "touched 5 times, indexed up to touch 4" in words
    assert "Not yet up to date: url_country_metrics, es_index" in words


def test_an_hour_that_failed_checks_hold_back_is_told_with_the_checks():
    held = HourState(5, 4, 4, 4, holds={"raw_clicks": Hold(("books_balance",), 5)})
    words = nothing(at(0), state=held)
    assert "held back by checks of raw_clicks that failed (books_balance)" in words
    assert "Not yet up to date: enriched_clicks, url_country_metrics, es_index" in words


def test_a_missing_document_of_an_hour_up_to_date_is_told_with_what_to_do():
    words = nothing(at(0), state=UP_TO_DATE)
    assert "differs: clicks: document none, metrics row none, recomputed 1" in words
    assert "materialize url_country_metrics" in words


def test_a_page_without_events_of_that_country_is_told_with_where_its_clicks_came_from():
    words = nothing(at(0, country="FR"), at(1, country="FR"), at(2, country="ZZ"), state=UP_TO_DATE)
    assert "In this hour the url has clicks from: FR (2), ZZ (1)." in words


def test_a_page_seen_by_bots_only_or_not_yet_enriched_is_told():
    words = nothing(
        at(0, device="Spider"), at(1, "scroll"), at(2, device=None, country=None), state=HourState(1, 0, 0, 0)
    )
    assert "by bots, which are left out: 1" in words
    assert "signs of life, no clicks: 1" in words
    assert "country is not known: 1" in words


def test_a_page_nobody_saw_and_an_hour_before_the_first_partition_are_told():
    assert "No event of this url is stored in this hour." in nothing(at(0, url=PAGES[1]), state=UP_TO_DATE)
    assert "before the first partition, 2026-11-23-06:00" in nothing(first_hour=HOUR + 1)


def test_an_hour_that_moves_under_the_look_and_events_the_ledger_does_not_know_are_told():
    words = nothing(at(0), state=UP_TO_DATE, moved=True, unbooked=1)
    assert "run it again" in words
    assert "in no range of the ledger (see `books_balance` of 2026-11-23-05:00): 1" in words
    assert "materialize" not in words
