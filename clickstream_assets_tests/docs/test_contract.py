"""docs/contract.md says what the code does: its examples, its lists, its tables."""

import json
import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from clickstream_assets.books.audience import DIMENSIONS
from clickstream_assets.books.table_schemas import TABLES
from clickstream_assets.events.click_event import NO_IDS, decode
from clickstream_assets.events.fields import FIELDS, SEGMENT_SPELLINGS
from clickstream_assets.events.message_files import parse_envelope
from clickstream_assets.events.refusals import REASONS, Refused
from clickstream_assets.events.urls import DROPPED_PARAMETERS, normalized_url
from clickstream_assets.index.dimension_document_fields import DIMENSION_DOCUMENT
from clickstream_assets.index.dimension_documents import dimension_document_id
from clickstream_assets.index.document_fields import DOCUMENT
from clickstream_assets.index.hour_fields import HOUR_DOCUMENT
from clickstream_assets.metrics.dimension_totals import BOT, MOST_VALUES
from clickstream_assets.settings import Settings
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.docs.test_links import ROOT

TEXT = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
RECORD_MS = int(datetime(2026, 11, 23, 10, 0, 2, tzinfo=UTC).timestamp()) * 1000
FIRST_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000


def section(heading):
    """The text under a heading, up to the next one of its level or above."""
    (level,) = re.findall(rf"^(#+) {re.escape(heading)}$", TEXT, re.MULTILINE)
    body = TEXT.split(f"\n{level} {heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def table(text):
    """The rows of the first table, cells as written."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    block = text[text.index(rows[0]) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block[2:]]


def code(cell):
    """The `names` in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_are_events_that_are_stored():
    examples = blocks("json")
    assert len(examples) == 3
    first, whole, segment = (decode(text.encode(), RECORD_MS + 86_400_000, FIRST_MS) for text in examples)
    assert (first.url, first.user_id, first.event_type) == ("https://shop.example/shoes?size=42", "u-17", "page_view")
    assert whole.engagement_time_ms == 12_500
    assert json.loads(whole.properties) == {"cart": {"items": 3}}
    assert set(json.loads(examples[1])) - {"cart"} == set(FIELDS)
    assert (segment.event_type, segment.user_id, segment.url) == ("page_view", "u1", "http://www.example.com/")
    assert segment.time_ms == int(datetime(2026, 11, 23, 3, 29, 59, 100_000, UTC).timestamp() * 1000)


def test_the_example_of_a_file_is_one_of_envelopes():
    (lines,) = blocks("jsonl")
    messages = [parse_envelope(line.encode()) for line in lines.splitlines()]
    assert [message.timestamp_ms for message in messages] == [1_795_429_531_000, 1_795_429_532_000, -1]
    assert decode(messages[0].value, messages[0].timestamp_ms, FIRST_MS).user_id == "u-17"
    assert [message.value for message in messages[1:]] == [b"\xff", None]


def test_every_field_is_described():
    described = [name for row in table(section("An event")) for name in code(row[0])]
    assert sorted(described) == sorted(FIELDS)


def test_segments_spelling_is_all_of_it():
    rows = [(code(names), code(spellings)) for names, spellings in table(section("Segment's spelling"))]
    written = {name for names, _ in rows for name in names}
    assert written == set(SEGMENT_SPELLINGS)
    spelled = {".".join(spelling) for spellings in SEGMENT_SPELLINGS.values() for spelling in spellings}
    assert {name for _, names in rows for name in names} - {"page", "screen", "page_view"} == spelled


def test_every_reason_is_described():
    assert [name for row in table(section("Refused")) for name in code(row[0])] == list(REASONS)


def test_the_words_that_mean_no_id_are_all_there():
    (words,) = re.findall(r"white space\naround: `([^`]+)`", section("Ids and users"))
    parts = words.replace("[object Object]", "[object_Object]").split()
    assert {word.replace("_Object", " object") for word in parts} | {""} == NO_IDS


def test_the_dropped_parameters_are_all_there():
    (names,) = re.findall(r"without an `amp;` before them: `([^`]+)`", section("Urls"))
    assert names.split() == DROPPED_PARAMETERS.split()


@pytest.mark.parametrize("row", table(section("Urls")), ids=lambda row: row[0])
def test_urls_are_counted_as_the_table_says(row):
    (sent,), (counted, *_) = code(row[0]), code(row[1])
    assert normalized_url(sent) == counted == golden._url(sent)


def times():
    """The rows of the table of clocks: fields to times of the day, and the event time."""
    before = {}
    for said, also, wanted, _ in table(section("Time")):
        fields = dict(re.findall(r"`(\w+)` ([\d:.]+)", said)) or before
        before = fields
        yield fields | dict(re.findall(r"`(\w+)` ([\d:.]+)", also)), wanted


@pytest.mark.parametrize(("fields", "wanted"), times())
def test_clocks_are_corrected_as_the_table_says(fields, wanted):
    event = {name: f"2026-11-23T{time}Z" for name, time in fields.items()} | {
        "user_id": "u",
        "url": "https://a.example",
    }
    value = json.dumps(event).encode()
    try:
        found = decode(value, RECORD_MS, FIRST_MS).time_ms
    except Refused as refused:
        assert (wanted, refused.reason) == ("refused", "timestamp_in_future")
        return
    assert datetime.fromtimestamp(found / 1000, UTC).strftime("%H:%M:%S") == wanted
    assert found == golden.parse(value, RECORD_MS, FIRST_MS)["ms"]


def test_time_is_spent_as_the_table_says():
    visit, spent = [], []
    for time, kind, url, says in table(section("Time spent")):
        moment = datetime.fromisoformat(f"2026-11-23T{time}+00:00")
        visit.append({"ms": int(moment.timestamp()) * 1000, "type": code(kind)[0], "url": url, "engaged": None})
        spent.append(says)
    for place, says in enumerate(spent):
        if visit[place]["type"] in golden.CLICK_TYPES:
            found = golden._spent(visit, place)
            assert says.startswith("unknown" if found is None else f"{found // 1000} s")
        else:
            assert says == ""


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("Documents in Elasticsearch", DOCUMENT),
        ("Hours in Elasticsearch", HOUR_DOCUMENT),
        ("Dimensions in Elasticsearch", DIMENSION_DOCUMENT),
    ],
)
def test_the_documents_fields_and_types_are_those_of_the_mapping(heading, fields):
    written = {}
    for names, types, _ in table(section(heading)):
        kinds = code(types)
        for place, name in enumerate(code(names)):
            written[name] = kinds[min(place, len(kinds) - 1)]
    assert written == {name: field.type for name, field in fields.items() if name != "_id"}


def test_the_dimensions_and_the_bound_on_their_values_are_those_of_the_code():
    text = section("Dimensions in Elasticsearch")
    (cell,) = [holds for name, _, holds in table(text) if name == "`dimension`"]
    assert code(cell) == [*DIMENSIONS, BOT]
    assert f"At most {MOST_VALUES:,} values" in text
    example = ("hour", "2026-11-23T10:00:00Z", "browser", "Firefox")
    assert dimension_document_id(*example) == sha256("|".join(example).encode()).hexdigest()
    assert f"`{'|'.join(example)}`" in text


def test_every_table_is_named():
    assert {table.name for table in TABLES} <= set(re.findall(r"\w+", TEXT))


def test_settings_that_are_named_exist():
    named = {name.lower() for name in re.findall(r"CLICKSTREAM_([A-Z_]*[A-Z])", TEXT)}
    assert named <= set(Settings.model_fields)


def test_what_is_not_built_is_not_described():
    assert "design.md" not in TEXT
