"""An hour's own document: which state it has, what is said of it, in which index it lies."""

from dataclasses import replace

import pytest

from clickstream_assets.books.hour_states import Hold, HourState
from clickstream_assets.books.ledger_entries import HourCounts
from clickstream_assets.events.hours import HOUR_MS, hour_of_key
from clickstream_assets.index import hour_documents
from clickstream_assets.index.document_fields import INDEX_MAPPING
from clickstream_assets.index.hour_documents import (
    HourFigures,
    Moment,
    ensure_hours_template,
    hour_document,
    state_of,
    told_of,
    write_hours,
)
from clickstream_assets.index.hour_fields import HOUR_DOCUMENT, HOURS_MAPPING
from clickstream_assets.index.indexing import document_of

HOUR = hour_of_key("2026-11-29-14:00")
WITHIN, BEHIND = HOUR * HOUR_MS + 1, (HOUR + 1) * HOUR_MS
HELD = {"raw_clicks": Hold(("books_balance", "offsets_complete"), 2)}
UP_TO_DATE = HourState(2, 2, 2, 2, closed=2)
NOTHING = HourFigures(HourCounts(), 0, {})
NOW = Moment(BEHIND, lag=7, watermark_ms=WITHIN, contract_version=2)


@pytest.mark.parametrize(
    ("state", "now_ms", "wanted"),
    [
        (UP_TO_DATE, BEHIND, ("final", "")),
        (UP_TO_DATE, BEHIND - 1, ("open", "")),
        (HourState(3, 2, 2, 2), WITHIN, ("open", "")),
        (HourState(3, 2, 2, 2), WITHIN - HOUR_MS, ("open", "")),
        (
            HourState(3, 2, 2, 2, closed=2),
            BEHIND,
            ("stale", "documents lack what came last: enriched_clicks still to come"),
        ),
        (
            HourState(3, 3, 2, 1, closed=1),
            BEHIND,
            ("stale", "documents lack what came last: url_country_metrics, es_index still to come"),
        ),
        (HourState(2, 2, 2, 2), BEHIND, ("stale", "the hour has just ended: documents still say that it is open")),
        *(
            (
                HourState(3, 2, 2, indexed, holds=HELD),
                now_ms,
                ("held", "documents stay as they are: raw_clicks.books_balance, raw_clicks.offsets_complete failed"),
            )
            for indexed in (2, 3)
            for now_ms in (WITHIN, BEHIND)
        ),
    ],
)
def test_the_state_of_an_hour_is_the_first_that_matters_to_who_reads_its_numbers(state, now_ms, wanted):
    assert state_of(HOUR, state, now_ms) == wanted
    assert told_of(HOUR, state, now_ms) == ": ".join(filter(None, wanted))


def test_a_document_says_what_is_known_and_leaves_out_what_is_not():
    bare = hour_document(HOUR, UP_TO_DATE, HourFigures(HourCounts(), None, None), Moment(BEHIND, None, None, 2), {})
    assert bare == {
        "hour": "2026-11-29T14:00:00Z",
        "state": "final",
        **dict.fromkeys(("checks_passed", "checks_failed"), 0),
        "failed_checks": [],
        **dict.fromkeys(("day_checks_passed", "day_checks_failed"), 0),
        "day_failed_checks": [],
        **dict.fromkeys(("read", "kept", "duplicates", "refused", "late"), 0),
        "written_at": BEHIND,
        "contract_version": 2,
    }
    state = HourState(
        3,
        2,
        2,
        2,
        clicks=5,
        users=4,
        users_of=2,
        holds=HELD,
        told_by="run-1",
        checked={"raw_clicks": {"books_balance": "1 of 2"}},
    )
    figures = HourFigures(HourCounts(kept=8, late=1, other_types=2, duplicates=2, dead_lettered=3), 1, {"too_old": 3})
    full = hour_document(HOUR, state, figures, NOW, {})
    assert full.keys() == HOUR_DOCUMENT.keys() == HOURS_MAPPING["properties"].keys()
    counted = {name: full[name] for name in ("read", "kept", "duplicates", "refused", "late", "bots", "clicks")}
    assert counted == {"read": 13, "kept": 8, "duplicates": 2, "refused": 3, "late": 1, "bots": 1, "clicks": 5}
    assert (full["unique_users"], full["refused_by_reason"]) == (4, {"too_old": 3})
    assert (full["lag"], full["watermark"], full["run_id"]) == (7, WITHIN, "run-1")


def test_people_of_an_hour_that_was_computed_anew_are_not_known_until_its_day_has_counted_them():
    counted = HourState(2, 2, 2, 2, clicks=5, users=4, users_of=2)
    assert hour_document(HOUR, counted, NOTHING, NOW, {})["unique_users"] == 4
    for mark in (1, None):
        assert "unique_users" not in hour_document(HOUR, replace(counted, users_of=mark), NOTHING, NOW, {})
    within = replace(NOW, now_ms=WITHIN)
    of_open = hour_document(HOUR, replace(counted, users_of=1), NOTHING, within, {})
    assert of_open["unique_users"] == 4


def test_checks_are_counted_and_the_failed_ones_named_with_their_words():
    checked = {
        "raw_clicks": {"books_balance": "", "offsets_complete": "2 are missing"},
        "es_index": {"documents_match": "they differ"},
    }
    of_day = {"daily_metrics": {"clicks_add_up": "", "people_are_those_of_the_events": "5, not 6"}}
    document = hour_document(HOUR, HourState(1, 1, 1, 1, checked=checked), NOTHING, NOW, of_day)
    assert (document["checks_passed"], document["checks_failed"]) == (1, 2)
    assert (document["day_checks_passed"], document["day_checks_failed"]) == (1, 1)
    assert document["day_failed_checks"] == ["daily_metrics.people_are_those_of_the_events: 5, not 6"]
    assert document["failed_checks"] == [
        "es_index.documents_match: they differ",
        "raw_clicks.offsets_complete: 2 are missing",
    ]


def test_a_run_is_named_by_itself_and_remembered_by_others():
    state = HourState(1, 1, 1, 1, told_by="before")
    of_run = Moment(BEHIND, 0, None, 2, run_id="now")
    assert hour_document(HOUR, state, NOTHING, of_run, {})["run_id"] == "now"
    assert hour_document(HOUR, state, NOTHING, NOW, {})["run_id"] == "before"


@pytest.mark.parametrize(("now_ms", "wanted"), [(BEHIND - 1, "open"), (BEHIND, "final")])
def test_a_metrics_document_says_whether_its_hour_had_ended_when_it_was_written(now_ms, wanted):
    document = document_of(HOUR, {"url": "https://a.example/", "clicks": 1}, now_ms)
    assert document["state"] == wanted
    assert document.keys() == INDEX_MAPPING["properties"].keys()


class Indices:
    """What is asked of Elasticsearch's indices."""

    def __init__(self, version=None, has_alias=True):
        self.version, self.has_alias, self.put = version, has_alias, []

    indices = property(lambda self: self)
    body = property(lambda self: self.found)

    def options(self, **_):
        return self

    def get_index_template(self, name):
        more = {} if self.version == 0 else {"version": self.version}
        self.found = {} if self.version is None else {"index_templates": [{"name": name, "index_template": more}]}
        return self

    def exists_alias(self, name):
        return self.has_alias

    def put_mapping(self, index, properties):
        self.put.append(("mapping", index, properties.keys()))

    def put_index_template(self, name, version, index_patterns, template, **_):
        self.put.append(("template", name, version, index_patterns, template["aliases"]))


FIELDS = ("mapping", "x-clickstream-hours", HOURS_MAPPING["properties"].keys())
TEMPLATE = ("template", "x-clickstream-hours", 2, ["x-clickstream-hours-*"], {"x-clickstream-hours": {}})


@pytest.mark.parametrize(
    ("version", "has_alias", "wanted"),
    [(2, True, []), (None, False, [TEMPLATE]), (None, True, [FIELDS, TEMPLATE]), (1, True, [FIELDS, TEMPLATE])],
)
def test_the_template_is_put_where_it_is_missing_or_older_and_indices_that_are_there_get_its_fields(
    version, has_alias, wanted
):
    indices = Indices(version, has_alias)
    ensure_hours_template(indices, "x-clickstream-hours")
    assert indices.put == wanted


def test_documents_lie_in_their_years_index_by_the_hours_key_and_the_latest_look_wins(monkeypatch):
    sent = []
    monkeypatch.setattr(hour_documents, "bulk", lambda es, actions, **_: sent.extend(actions))
    write_hours(Indices(2), "clickstream-hours", {HOUR: {"read": 1}, HOUR + 24 * 40: {"read": 2}}, 99)
    assert [(a["_index"], a["_id"], a["_source"]["read"]) for a in sent] == [
        ("clickstream-hours-2026", "2026-11-29-14:00", 1),
        ("clickstream-hours-2027", "2027-01-08-14:00", 2),
    ]
    assert {(a["version"], a["version_type"]) for a in sent} == {(99, "external_gte")}
