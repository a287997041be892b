"""Messages that an implementation of the contract is likely to get wrong, each with what must become of it.

The intended outcomes are written by hand from the contract, case by case; the acceptance tests compare the totals
with golden.py's and its metrics with Elasticsearch's. Inputs on which contract and golden.py differ are left out.

    python -m clickstream_assets_tests.traffic.hard_cases FILE     writes the envelopes, prints the first hour
"""

import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random

from clickstream_assets.traffic.message_files import Message, key_of, write_envelope

STORED, DUPLICATE = "stored", "duplicate"
REASONS = (
    "too_large",
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "invalid_text",
    "invalid_timestamp",
    "invalid_url",
    "timestamp_in_future",
    "before_first_partition",
)

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
SPAN_MS = 21 * DAY
MEBIBYTE = 1 << 20
SITE = "https://hard.example"

GERMAN, BRITISH, FRENCH, GERMAN_6, FRENCH_6 = "84.160.1.1", "86.140.1.1", "90.0.1.1", "2003:c0::1", "2a01:cb00::1"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BINGBOT = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"
DROP = object()
"""As a field's value: the field is left out."""


@dataclass(frozen=True, slots=True)
class HardCase:
    """A message and what must become of it: "stored", "duplicate" or a reason to refuse it."""

    name: str
    message: Message
    outcome: str
    has_id: bool


def hard_cases(now_ms: int) -> list[Message]:
    """The messages in the order to send them, with record times from three weeks before now until now."""
    return [case.message for case in cases(now_ms)]


def first_hour_ms(now_ms: int) -> int:
    """The first partition to run the cases with: the hour of the oldest record time there may be."""
    return (now_ms - SPAN_MS) // HOUR * HOUR


def first_hour(now_ms: int) -> str:
    """The same as golden.py's --first-hour spells it."""
    return datetime.fromtimestamp(first_hour_ms(now_ms) / 1000, UTC).strftime("%Y-%m-%dT%H")


def expected_counts(now_ms: int) -> Counter[str]:
    """How many cases end in each outcome."""
    return Counter(case.outcome for case in cases(now_ms))


def write_file(path: Path, now_ms: int, *, with_ids_only: bool = False) -> None:
    """Write the cases as envelopes; without id-less ones on request, for those count again when sent again."""
    with path.open("w", encoding="utf-8") as file:
        for case in cases(now_ms):
            if case.has_id or case.outcome != STORED or not with_ids_only:
                write_envelope(file, case.message)


def cases(now_ms: int) -> list[HardCase]:
    """Every case, in the order to send them."""
    book = _Book(now_ms)
    for chapter in (
        _broken_messages,
        _fields,
        _text_and_extras,
        _timestamps,
        _edges_of_time,
        _urls,
        _addresses,
        _agents,
        _segment,
        _duplicates,
        _sessions,
        _engagement,
        _device_clocks,
        _late_and_out_of_order,
        _users,
        _big_messages,
    ):
        chapter(book)
    return book.cases


def rfc3339(ms: int) -> str:
    """Epoch milliseconds as a client would write them."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Book:
    """Collects cases. One with no time of its own comes two minutes after the one before, in the last 20 hours."""

    def __init__(self, now_ms: int) -> None:
        self.now = now_ms
        self.first_ms = first_hour_ms(now_ms)
        self.cases: list[HardCase] = []
        self._names: set[str] = set()
        self._clock = now_ms - 20 * HOUR

    def hour(self, ago: int) -> int:
        """The start of the whole hour so many hours before the current one."""
        return self.now // HOUR * HOUR - ago * HOUR

    def tick(self) -> int:
        """The next record time."""
        self._clock += 2 * MINUTE
        return self._clock

    def event(self, name: str, at: int, **fields: object) -> dict[str, object]:
        """An event that is stored as it stands, with fields replaced; DROP leaves one out."""
        event: dict[str, object] = {
            "event_id": f"hard-{name}",
            "event_type": "page_view",
            "timestamp": rfc3339(at),
            "url": f"{SITE}/{name.split(':', 1)[0].replace(' ', '-')}",
            "user_id": f"user of {name}",
            "ip": GERMAN,
            "user_agent": CHROME,
        }
        event.update(fields)
        return {field: value for field, value in event.items() if value is not DROP}

    def add(
        self, name: str, outcome: str = STORED, *, at: int | None = None, record: int | None = None, **fields: object
    ) -> None:
        """An event at a time (by default: a second before its record), recorded 300 ms after it unless said."""
        if record is None:
            record = self.tick() if at is None else at + 300
        at = record - SECOND if at is None else at
        self.raw(name, outcome, json.dumps(self.event(name, at, **fields)).encode(), record=record)

    def raw(self, name: str, outcome: str, value: bytes | None, *, record: int | None = None) -> None:
        """A message of any bytes."""
        assert name not in self._names, f"two cases named {name}"
        self._names.add(name)
        record = self.tick() if record is None else record
        assert self.now - SPAN_MS <= record <= self.now, f"record time of {name}"
        key = key_of(value)
        self.cases.append(HardCase(name, Message(value, record, key), outcome, has_id=key is not None))

    def text(self, name: str, outcome: str, change: tuple[str, str], **fields: object) -> None:
        """A good event whose JSON text has one place replaced: for what json.dumps would not write."""
        record = self.tick()
        body = json.dumps(self.event(name, record - SECOND, **fields), ensure_ascii=False)
        assert change[0] in body
        self.raw(name, outcome, body.replace(*change, 1).encode("utf-8", "surrogatepass"), record=record)


def _broken_messages(book: _Book) -> None:
    good = json.dumps(book.event("broken", book.now - 10 * HOUR, title="Fjäll"), ensure_ascii=False)
    body = good.encode()
    for name, value in {
        "latin-1": good.encode("latin-1"),
        "cut in a character": body[: body.index("ä".encode()) + 1],
        "stray continuation": body + b"\x80",
        "overlong slash": body.replace("ä".encode(), b"\xc0\xaf"),
        "surrogate in bytes": body.replace("ä".encode(), b"\xed\xa0\x80"),
        "beyond U+10FFFF": body.replace("ä".encode(), b"\xf4\x90\x80\x80"),
        "utf-16 with its mark": good.encode("utf-16"),
        "gzip": b"\x1f\x8b\x08\x00" + body,
        "only 0xff": b"\xff",
    }.items():
        book.raw(f"encoding: {name}", "invalid_encoding", value)
    for name, value in {
        "empty message": b"",
        "only white space": b" \t\n ",
        "byte order mark": b"\xef\xbb\xbf" + body,
        "utf-16 without a mark": json.dumps({"a": 1}).encode("utf-16-le"),
        "truncated": body[:-1],
        "two objects": body + body,
        "two objects on two lines": body + b"\n" + body,
        "trailing comma": body[:-1] + b",}",
        "trailing nul": body + b"\0",
        "trailing semicolon": body + b";",
        "single quotes": good.replace('"', "'").encode(),
        "unquoted key": body.replace(b'"title"', b"title"),
        "comment": b"/* hello */" + body,
        "not JSON": b"hello",
        "python literals": b"None",
        "upper-case literal": body[:-1] + b',"x":True}',
        "lone brace": b"{",
    }.items():
        book.raw(f"json: {name}", "invalid_json", value)
    for number in (
        "NaN", "-NaN", "Infinity", "-Infinity", "1e400", "-1E+400", "1.8e308", "1e999999999", "01", "-01", "+1", "1.",
        ".5", "1e", "0x10", "1_000", "--1", "-",
        "1" + "0" * 5000,
    ):  # fmt: skip
        book.text(f"json: number {number[:12]}", "invalid_json", ('"?"', number), x="?")
    book.text("json: NaN where no one looks", "invalid_json", ('"?"', '[{"deep":[NaN]}]'), x="?")
    for name, text in {
        "lone high surrogate": r'"\ud800"',
        "lone low surrogate": r'"\udc00 x"',
        "surrogates reversed": r'"\udc00\ud800"',
        "high twice": r'"\ud83d\ud83d\ude00"',
        "upper-case surrogate": r'"\uD83D"',
        "surrogate in a key": r'{"\udfff":1}',
        "raw line feed in a string": '"a\nb"',
        "raw tab in a string": '"a\tb"',
        "raw nul in a string": '"a\0b"',
        "bad escape": r'"\x41"',
        "short unicode escape": r'"\u12"',
        "unclosed string": '"abc',
    }.items():
        book.text(f"json: {name}", "invalid_json", ('"?"', text), x="?")
    book.text("json: surrogate in the user", "invalid_json", ('"?"', r'"\ud800"'), user_id="?")
    book.text("json: surrogate in the id", "invalid_json", ('"?"', r'"\udbff"'), event_id="?")
    for name, value in {
        "array": b"[" + body + b"]",
        "empty array": b"[]",
        "string": b'"hello"',
        "string of an object": json.dumps(good).encode(),
        "number": b"12",
        "negative float": b" -1.5e3 ",
        "true": b"true",
        "false": b"false",
        "null": b"null",
    }.items():
        book.raw(f"object: {name}", "not_an_object", value)
    for number in range(3):
        book.raw(f"object: tombstone {number}", "not_an_object", None)
    # Allowed, strict as JSON is
    book.text("json ok: escaped pair", STORED, ('"?"', r'"\ud83d\ude00"'), x="?")
    book.text("json ok: white space around", STORED, ("{", " \r\n\t{ "))
    book.text("json ok: tiny number", STORED, ('"?"', "1e-400"), x="?")
    book.text("json ok: biggest double", STORED, ('"?"', "1.7976931348623157e308"), x="?")
    book.text("json ok: minus zero", STORED, ('"?"', "[-0, -0.0, 0e9]"), x="?")
    book.text("json ok: solidus escaped", STORED, ("https://", r"https:\/\/"))
    book.text("json ok: name escaped", STORED, ('"url"', r'"\u0075rl"'))
    book.text("json ok: duplicate key unread", STORED, ('"?"', '1, "x": 2'), x="?")
    book.text("json ok: duplicate url, the last counts", STORED, ('"?"', f'"ftp://no", "url": "{SITE}/last"'), url="?")
    book.text("json ok: delete character", STORED, ('"?"', '"a\x7fb"'), x="?")


def _fields(book: _Book) -> None:  # noqa: C901 - a list of cases
    book.raw("missing: everything", "missing_field", b"{}")
    for field in ("timestamp", "url", "user_id"):
        for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
            book.add(f"missing: {field} {name}", "missing_field", **{field: value})
    book.add("missing: both users null", "missing_field", user_id=None, anonymous_id=None)
    book.add("missing: both users empty", "missing_field", user_id="", anonymous_id="")
    book.add("missing: names in upper case", "missing_field", url=DROP, URL=f"{SITE}/x")
    for field in ("event_id", "event_type", "sent_at", "engagement_time_ms", "ip", "user_agent", "referrer"):
        for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
            if field != "event_id":
                book.add(f"optional: {field} {name}", **{field: value})
    for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
        book.add(f"without id: {name}", event_id=value)
    at = book.hour(9) + 7 * MINUTE
    for number in range(3):  # the same bytes, the same record time: three events all the same
        book.add(f"without id: same again {number}", at=at, event_id=DROP, url=f"{SITE}/no-id", user_id="no id")

    wrong: dict[str, object] = {"true": True, "false": False, "array": ["x"], "object": {"x": 1}}
    for field in ("timestamp", "sent_at"):
        for name, value in wrong.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for field in ("user_id", "anonymous_id"):
        numbers: dict[str, object] = {"float": 1.0, "2^63": 1 << 63, "-2^63-1": -(1 << 63) - 1, "2^64": 1 << 64}
        for name, value in {**wrong, **numbers, "1e30": 10**30}.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for field in ("url", "event_id", "event_type", "ip", "user_agent", "referrer"):
        for name, value in {**wrong, "zero": 0, "number": 7, "float": 1.5}.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for name, value in {**wrong, "string": "12", "negative": -1, "a bit negative": -0.001, "-inf-ish": -1e308}.items():
        book.add(f"type: engagement {name}", "wrong_type", engagement_time_ms=value)
    book.add("type: id too long", "wrong_type", event_id="x" * 129)
    book.add("type: id too long in characters", "wrong_type", event_id="é" * 129)
    book.add("type: anonymous bad beside a good user", "wrong_type", anonymous_id=1.5)

    book.add("id: 128 characters", event_id="y" * 128)
    book.add("id: 128 characters of four bytes", event_id="😀" * 128)
    book.add("id: white space", event_id=" ")
    book.add("id: with separators", event_id="a|b/c:d\x01e\nf\u2028g")
    book.add("id: looks like a number", event_id="0")
    book.add("id: looks like null", event_id="null")
    book.add("id: composed", event_id="caf\u00e9")
    book.add("id: decomposed is another", event_id="cafe\u0301")
    book.add("id: case counts, lower", at=book.hour(8) + MINUTE, event_id="case")
    book.add("id: case counts, upper", at=book.hour(8) + MINUTE, event_id="CASE")
    book.add("id: trailing space counts", at=book.hour(8) + MINUTE, event_id="case ")


def _text_and_extras(book: _Book) -> None:
    for field in ("user_id", "anonymous_id", "event_id", "event_type", "ip", "user_agent", "referrer"):
        for name, value in {"alone": "\0", "inside": "a\0b", "at the end": "x\0"}.items():
            book.add(f"nul: {field} {name}", "invalid_text", **{field: value})
    book.add("nul: ok in an extra property", x="a\0b")
    book.add("nul: ok in an extra name", **{"a\0b": 1})
    book.add("text: control characters", user_id="a\x01\x1f\x7fb", referrer="\x08", event_type="\x1b[31m")
    book.add("text: right to left", user_id="مستخدم", url=f"{SITE}/سلام", referrer="https://دوکان.example/")
    book.add("text: emoji", user_id="👩‍👩‍👧‍👦", event_type="page_view", url=f"{SITE}/👍🏽?q=🎒")
    book.add("text: last of Unicode", user_id="\U0010ffff\uffff\ufffe", x="\ufeff")
    book.add("text: an event type of another case", event_type="Page_View")
    book.add("text: an event type with a space", event_type="click ")
    book.add("text: an event type of 3 kB", event_type="t" * 3000)
    book.add("text: a user of 5 kB", user_id="u" * 5000)
    book.add("text: a referrer that is no url", referrer="not a url at all")
    book.add("text: a referrer of 20 kB", referrer="https://r.example/" + "r" * 20_000)
    nested: object = "bottom"
    for _ in range(50):
        nested = {"n": [nested]}
    extras: dict[str, dict[str, object]] = {
        "nested": {"deep": nested},
        "numbers": {"big": 10**300, "negative": -(10**40), "u64": (1 << 64) - 1, "i64": -(1 << 63), "f": 1e-320},
        "beyond 2^53": {"exact": 9007199254740993, "float": 0.1},
        "odd names": {"": 1, " ": 2, "a.b": 3, "a:b": 4, "é": 5, "__proto__": 6, "click_data:url": "x"},
        "names of ours": {"properties": {"x": 1}, "hour": 5, "country": "XX", "row_key": "x", "bot": True},
        "many": {f"p{number}": number for number in range(2000)},
        "null and empty": {"a": None, "b": "", "c": [], "d": {}},
        "context that is a string": {"context": "web"},
        "context that is a list": {"context": [1, 2]},
        "page that is null": {"context": {"page": None, "ip": None}},
    }
    for name, fields in extras.items():
        book.add(f"extra: {name}", **fields)


def _timestamps(book: _Book) -> None:
    day = datetime.fromtimestamp(book.hour(30) / 1000, UTC).strftime("%Y-%m-%d")
    bad = {
        "words": "yesterday",
        "30 February": "2026-02-30T12:00:00Z",
        "29 February of no leap year": "2025-02-29T12:00:00Z",
        "month 13": "2026-13-01T12:00:00Z",
        "month 0": "2026-00-10T12:00:00Z",
        "day 0": "2026-01-00T12:00:00Z",
        "hour 24": f"{day}T24:00:00Z",
        "minute 60": f"{day}T12:60:00Z",
        "leap second": "2016-12-31T23:59:60Z",
        "no separator": f"{day}120000Z",
        "underscore": f"{day}_12:00:00Z",
        "only a day": day,
        "only a time": "12:00:00Z",
        "no seconds": f"{day}T12:00Z",
        "basic format": f"{day.replace('-', '')}T120000Z",
        "week date": "2026-W01-1T12:00:00Z",
        "two-digit year": "26-01-01T12:00:00Z",
        "five-digit year": "12026-01-01T12:00:00Z",
        "one-digit hour": f"{day}T1:00:00Z",
        "comma": f"{day}T12:00:00,5Z",
        "point without digits": f"{day}T12:00:00.Z",
        "offset without a colon": f"{day}T12:00:00+0100",
        "offset of hours": f"{day}T12:00:00+01",
        "offset of a day": f"{day}T12:00:00+24:00",
        "named zone": f"{day}T12:00:00[Europe/Berlin]",
        "zone by name": f"{day}T12:00:00 UTC",
        "space before the zone": f"{day}T12:00:00 +01:00",
        "space in front": f" {day}T12:00:00Z",
        "line feed behind": f"{day}T12:00:00Z\n",
        "digits of epoch": str(book.now),
        "http date": "Mon, 23 Nov 2026 10:00:00 GMT",
        "slashes": "2026/11/23 10:00:00",
        "only white space": " ",
        "null in words": "null",
        "minus in front": f"-{day}T12:00:00Z",
    }
    for name, value in bad.items():
        book.add(f"time: {name}", "invalid_timestamp", timestamp=value)
    for name in ("words", "30 February", "no seconds", "digits of epoch", "offset of hours"):
        book.add(f"sent_at: {name}", "invalid_timestamp", sent_at=bad[name])

    def local(offset_minutes: int, pattern: str = "%Y-%m-%dT%H:%M:%S") -> str:
        zone = timezone(timedelta(minutes=offset_minutes))
        return datetime.fromtimestamp(whole / 1000, zone).strftime(pattern)

    # Every spelling of one and the same second; a fraction is cut to the millisecond, so the visit of each "user"
    # below tells by its gap to the click a second and a half later what was made of it.
    whole = book.hour(7) + 20 * MINUTE
    utc = local(0)
    spellings: dict[str, object] = {
        "Z": f"{utc}Z",
        "no offset": utc,
        "lower case": f"{utc.lower()}z",
        "space": utc.replace("T", " ") + "Z",
        "space and no offset": utc.replace("T", " "),
        "+00:00": f"{utc}+00:00",
        "-00:00": f"{utc}-00:00",
        "+05:30": f"{local(330)}+05:30",
        "+05:45": f"{local(345)}+05:45",
        "-03:30": f"{local(-210)}-03:30",
        "+14:00": f"{local(840)}+14:00",
        "-12:00": f"{local(-720)}-12:00",
        "+23:59": f"{local(1439)}+23:59",
        "-23:59": f"{local(-1439)}-23:59",
        "integer": whole,
        "float": float(whole),
    }
    for digits in range(1, 10):
        spellings[f"fraction of {digits}"] = f"{utc}.{'987654321'[:digits]}Z"
        spellings[f"zeros of {digits}"] = f"{utc}.{'0' * digits}+00:00"
    spellings["fraction of 30"] = f"{utc}.{'9' * 30}Z"
    spellings["fraction that rounds"] = f"{utc}.9999Z"
    spellings["fraction that a float loses"] = f"{utc}.001Z"
    spellings["float that rounds"] = whole + 0.999
    for name, value in spellings.items():
        page = f"{SITE}/spelling/{name.replace(' ', '-').replace('+', 'plus-')}"
        user = f"spells {name}"
        book.add(f"spelling: {name}", timestamp=value, record=whole + 1200, url=page, user_id=user)
        book.add(f"spelling: {name}, next", at=whole + 1500, url=f"{SITE}/next", user_id=user)


def _edges_of_time(book: _Book) -> None:
    # 15:00 exactly is one hour, a millisecond earlier the other
    edge = book.hour(6)
    for name, at in {"last ms of an hour": edge - 1, "first ms of an hour": edge, "its second ms": edge + 1}.items():
        book.add(f"edge: {name}", at=at)
    book.add("edge: a fraction short of the hour", record=edge + SECOND, timestamp=edge - 0.25)
    book.add("edge: recorded in the hour after", at=edge - 50, record=edge + 50)

    # Ahead of the record time
    ahead = {"1 ms": 1, "4:59": 299 * SECOND, "5:00 exactly": 300 * SECOND}
    for name, lead in ahead.items():
        record = book.tick()
        book.add(f"ahead: {name}", record=record, at=record + lead)
    record = edge - 2 * MINUTE
    book.add("ahead: over the hour, so back into it", record=record, at=record + 4 * MINUTE)
    book.add("ahead: the two meet at one time, 1", record=record, at=record + 3 * MINUTE, user_id="ahead twice")
    book.add("ahead: the two meet at one time, 2", record=record, at=record + 1 * MINUTE, user_id="ahead twice")
    future: dict[str, object] = {
        "1e300": 1e300,
        "10^300": 10**300,
        "2^63": 1 << 63,
        "year 9999": "9999-12-31T23:59:59Z",
    }
    future |= {"year 9999 west of UTC": "9999-12-31T23:59:59.999-23:59", "microseconds": book.now * 1000}
    for name, value in future.items():
        book.add(f"future: {name}", "timestamp_in_future", timestamp=value)
    for name, lead in {"5:00.001": 300_001, "5:01": 301_000, "an hour": HOUR, "a year": 365 * DAY}.items():
        record = book.tick()
        book.add(f"future: {name}", "timestamp_in_future", record=record, at=record + lead)

    book.add("first: the hour's first ms", at=book.first_ms, record=book.now - SPAN_MS + HOUR)
    book.add("first: the next", at=book.first_ms + 1, record=book.now - 3 * HOUR)
    long_ago: dict[str, object] = {
        "1 ms before": book.first_ms - 1,
        "a fraction of a ms before": book.first_ms - 0.5,
        "an hour before": rfc3339(book.first_ms - HOUR),
        "zero": 0,
        "minus one": -1,
        "a negative float": -0.5,
        "-1e300": -1e300,
        "-10^300": -(10**300),
        "seconds instead of milliseconds": book.now // 1000,
        "seconds with a fraction": book.now / 1000,
        "1970": "1970-01-01T00:00:00Z",
        "1969 with a fraction": "1969-12-31T23:59:59.999Z",
        "year 1": "0001-01-01T00:00:00Z",
        "year 1 east of UTC": "0001-01-01T00:00:00+23:59",
    }
    for name, value in long_ago.items():
        book.add(f"first: {name}", "before_first_partition", timestamp=value)


def _urls(book: _Book) -> None:
    bad = {
        "ftp": "ftp://hard.example/x",
        "mailto": "mailto:me@hard.example",
        "javascript": "javascript:alert(1)",
        "data": "data:text/html,x",
        "httpx": "httpx://hard.example/",
        "relative": "/x/y",
        "no scheme": "hard.example/x",
        "scheme-relative": "//hard.example/x",
        "one slash": "https:/hard.example/x",
        "no slashes": "https:hard.example",
        "no host": "https:///x",
        "no host but a query": "https://?q=1",
        "no host but a user": "https://me@/x",
        "no host but a port": "https://:8080/x",
        "only the scheme": "https://",
        "space in the path": "https://hard.example/a b",
        "space in the host": "https://hard example/",
        "space in front": " https://hard.example/",
        "space behind": "https://hard.example/ ",
        "only a space": " ",
        "tab": "https://hard.example/a\tb",
        "line feed behind": "https://hard.example/\n",
        "carriage return": "https://hard.example/a\rb",
        "escape": "https://hard.example/\x1b",
        "delete": "https://hard.example/\x7f",
        "next line": "https://hard.example/\x85",
        "no-break space": "https://hard.example/\xa0",
        "line separator": "https://hard.example/\u2028",
        "paragraph separator in the query": "https://hard.example/?q=\u2029",
        "space in the fragment": "https://hard.example/#a b",
        "port of letters": "https://hard.example:abc/",
        "port too high": "https://hard.example:65536/",
        "negative port": "https://hard.example:-1/",
        "port and letters": "https://hard.example:80a/",
        "IPv6 not closed": "https://[2001:db8::1/",
        "IPv6 not opened": "https://2001:db8::1]/",
        "IPv6 of letters": "https://[zz::1]/",
        "8193 bytes": "https://hard.example/" + "x" * (8193 - 21),
        "few characters, many bytes": "https://hard.example/" + "é" * 4100,
    }
    for name, value in bad.items():
        book.add(f"url: {name}", "invalid_url", url=value)

    # Each line: spellings of one page, which must meet in one document
    same = {
        "plain": ["https://hard.example/same", "HTTPS://HARD.example/same", "https://Hard.Example:443/same#top",
                  "https://me:pa:ss@hard.example/same", "https://a@b@hard.example/same", "https://hard.example:/same",
                  "https://hard.example:0443/same", "https://hard.example/same?", "https://hard.example/same?#",
                  "https://hard.example/same?&", "https://hard.example/same?&&&",
                  "https://hard.example/same?utm_source=a&utm_=&UTM_X=1&utm_source", "https://hard.example/same#?a=1",
                  "https://hard.example/same?gclid=1&gbraid=1&wbraid=1&dclid=1&fbclid=1&msclkid=1&yclid=1&mc_cid=1"
                  "&mc_eid=1&igshid=1&_ga=1", "https://hard.example/same?GCLID=1&FbClId=2&_GA=3&gclid#"],
        "http": ["http://hard.example/same", "http://hard.example:80/same", "hTTp://hard.example:080/same"],
        "other port": ["https://hard.example:80/same", "https://HARD.example:0080/same"],
        "http on 443": ["http://hard.example:443/same"],
        "empty path": ["https://empty.hard.example", "https://empty.hard.example/", "https://EMPTY.hard.example#x",
                       "https://empty.hard.example?", "https://empty.hard.example?utm_id=1"],
        "empty path and query": ["https://empty.hard.example?a=1", "https://empty.hard.example/?a=1&",
                                 "https://empty.hard.example/?&a=1&gclid=x"],
        "kept query": ["https://hard.example/q?a=1&b=2", "https://hard.example/q?a=1&&b=2&utm_term=x",
                       "https://hard.example/q?&a=1&b=2&", "https://hard.example/q?Gclid=9&a=1&_ga=2&b=2#z"],
        "other order": ["https://hard.example/q?b=2&a=1"],
        "IPv6": ["https://[2001:DB8::A]/x", "https://[2001:db8::a]:443/x", "https://u@[2001:dB8::a]/x#f"],
        "IPv6 and port": ["http://[2001:db8::a]:8080/x"],
        "IPv4": ["http://192.0.2.1/x", "http://192.0.2.1:80/x"],
        "unicode host": ["https://BÜCHER.example/Ä", "https://bücher.example/Ä"],
        "cyrillic host": ["https://МАГАЗИН.example/", "https://магазин.example"],
        "idn": ["https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example"],
        "trailing dot": ["https://hard.example./same"],
    }  # fmt: skip
    for page, spellings in same.items():
        for number, url in enumerate(spellings):
            book.add(f"page: {page} {number}", url=url)
    # Each of these is a page of its own: nothing in it may be touched
    for number, rest in enumerate((
        "/%7Euser", "/~user", "/%7euser", "/a/../b", "/a/./b", "/a//b", "//a", "/a/", "/A", "/a;p=1", "/a;p=1?x",
        "/a%2Fb", "/a%20b",
        "/a+b", "/é", "/%C3%A9", "/e\u0301", "/?a", "/?a=", "/?=a", "/?=", "/?a=b=c", "/?a=b?c", "/?a;b",
        "/?utm%5Fsource=1", "/?xutm_a=1", "/?utm=1", "/?gclid2=1", "/?gclid%3D1", "/?ga=1", "/?_gac=1", "/?__ga=1",
        "/?a=utm_x", "/?a=%26&b", "/?a[]=1&a[]=2", "/?A=1", "/?q='\"<>", "/?q=%zz", "/%", "/{x}", "/|", "/^`",
        "/?a=/b//c",
        "/?q=http://x.example/?utm_a=1", "/:80/", "/@", "/*", "/?mc_cidx=1", "/?_gaq=1", "/?+utm_a=1",
    )):  # fmt: skip
        book.add(f"kept: {number} {rest}", url=f"https://kept.hard.example{rest}")
    prefix = "https://hard.example/long?q="
    book.add("url ok: 8192 bytes", url=prefix + "x" * (8192 - len(prefix)))
    book.add("url ok: 8192 bytes of two", url="https://hard.example/lang" + "é" * 4083 + "x")
    book.add("url ok: long only before it is shortened", url=f"{SITE}/shortened?utm_x=" + "x" * 8000)
    book.add("url ok: host of one label", url="http://localhost/x")
    book.add("url ok: port 0", url="http://hard.example:0/x")
    book.add("url ok: highest port", url="http://hard.example:65535/x")


def _addresses(book: _Book) -> None:
    mapped = "::ffff:84.160.1.1"
    addresses: dict[str, str] = {
        "German": GERMAN,
        "British": BRITISH,
        "French": FRENCH,
        "IPv6": GERMAN_6,
        "IPv6 in capitals": FRENCH_6.upper(),
        "IPv6 in full": "2a01:cb00:0000:0000:0000:0000:0000:0001",
        "mapped": mapped,
        "mapped in hex": "::ffff:54a0:101",
        "mapped in brackets with a port": f"[{mapped}]:443",
        "mapped private": "::ffff:10.0.0.1",
        "mapped private behind a client": f"{FRENCH}, ::ffff:192.168.0.1",
        "IPv4 with a port": f"{BRITISH}:51234",
        "IPv6 with a port": f"[{FRENCH_6}]:51234",
        "IPv6 in brackets": f"[{FRENCH_6}]",
        "IPv4 in brackets": f"[{FRENCH}]:80",
        "white space": f"  {FRENCH}\t",
        "list": f"{BRITISH}, {FRENCH}",
        "list without spaces": f"{BRITISH},{FRENCH}",
        "client and proxies": f"{FRENCH}, 10.0.0.1, 172.31.255.255, 192.168.1.1, 127.0.0.1, 169.254.1.1, 100.127.0.1",
        "client and IPv6 proxies": f"{FRENCH_6}, fe80::1, fd12:3456::1, ::1",
        "spoofed in front": f"8.8.8.8, {FRENCH}, 10.1.1.1",
        "private in front": f"192.168.1.7, {FRENCH}",
        "ports in a list": f"{FRENCH}:1234, 10.0.0.1:80, [::1]:443",
        "garbage behind": f"{FRENCH}, unknown, -, _hidden, 999.1.1.1, 1.2.3, 1.2.3.4.5",
        "garbage in front": f"unknown, {FRENCH}",
        "empty places": f", ,{FRENCH},, ,",
        "leading zeros are no address": f"{FRENCH}, 086.140.001.001",
        "a number is no address": f"{FRENCH}, 1418461441",
        "hex is no address": f"{FRENCH}, 0x56.0x8c.1.1",
        "a network is no address": f"{FRENCH}, 86.140.0.0/16",
        "forwarded syntax": f"{FRENCH}, for={BRITISH}",
        "300 proxies": f"{FRENCH}, " + ", ".join(f"10.0.{number % 256}.1" for number in range(300)),
        "edge below 172.16/12": "172.15.255.255",
        "edge above 172.16/12": f"{FRENCH}, 172.32.0.1",
        "edge below 100.64/10": f"{FRENCH}, 100.63.255.255",
        "edge above 100.64/10": f"{FRENCH}, 100.128.0.1",
        "edge above 169.254/16": f"{FRENCH}, 169.255.0.1",
        "edge below 10/8": f"{FRENCH}, 9.255.255.255",
        "edge above 10/8": f"{FRENCH}, 11.0.0.1",
        "6to4": "2002:54a0:0101::1",
        "private": "10.1.2.3",
        "all private": "10.1.2.3, 192.168.0.1, ::1",
        "loopback": "::1",
        "unspecified": "0.0.0.0",
        "unspecified IPv6": "::",
        "broadcast": "255.255.255.255",
        "multicast": "224.0.0.1",
        "documentation": "192.0.2.1",
        "unknown IPv6": "2001:db8::1",
        "words": "unknown",
        "only white space": "  ",
        "only commas": ",,",
        "a host name": "proxy.example.com",
        "digits of another script": "\uff18\uff14.160.1.1",
    }
    for name, value in addresses.items():
        book.add(f"ip: {name}", ip=value, url=f"{SITE}/ip")


def _agents(book: _Book) -> None:
    agents: dict[str, object] = {
        "Googlebot": GOOGLEBOT,
        "bingbot": BINGBOT,
        "AhrefsBot": "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
        "Googlebot on a phone": "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, "
        "like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl": "curl/8.5.0",
        "python": "python-requests/2.32.3",
        "iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.6 Mobile/15E148 Safari/604.1",
        "missing": DROP,
        "null": None,
        "empty": "",
        "white space": "   ",
        "10 kB": "Mozilla/5.0 " + "x" * 10_000,
        "10 kB of brackets": "Mozilla/5.0 " + "(" * 10_000,
        "10 kB of Android": "Mozilla/5.0 (Linux; Android 10; " * 300,
        "unicode": "Möwe/1.0 (北京; 😀)",
        "control characters": "Mozilla/5.0\x01\x02\r\n(Windows NT 10.0)",
        "percent-encoded": "Mozilla%2F5.0%20(Windows%20NT%2010.0)",
    }
    for name, value in agents.items():
        book.add(f"agent: {name}", user_agent=value, url=f"{SITE}/agent")


def _segment(book: _Book) -> None:
    def spelled(name: str, at: int, **fields: object) -> dict[str, object]:
        event: dict[str, object] = {
            "messageId": f"hard-{name}",
            "userId": f"user of {name}",
            "type": "page_view",
            "originalTimestamp": rfc3339(at),
            "context": {
                "ip": FRENCH,
                "userAgent": CHROME,
                "page": {"url": f"{SITE}/segment", "referrer": "https://r.example/"},
            },
        }
        event.update(fields)
        return {field: value for field, value in event.items() if value is not DROP}

    def add(name: str, outcome: str = STORED, **fields: object) -> None:
        record = book.tick()
        body = json.dumps(spelled(f"segment: {name}", record - SECOND, **fields)).encode()
        book.raw(f"segment: {name}", outcome, body, record=record)

    page = {"url": f"{SITE}/segment"}
    add("as it comes")
    add("anonymous", userId=None, anonymousId="segment anonymous")
    add("a number for a user", userId=77)
    add("its type is no click", type="track")
    add("without a type", type=DROP)
    add("without an id", messageId=DROP)
    add("plain url wins", url=f"{SITE}/plain")
    add("plain ip wins", ip=BRITISH)
    add("plain user wins", user_id="plain user")
    add("plain type wins", event_type="scroll")
    add("plain agent wins", user_agent=GOOGLEBOT)
    add("plain time wins", timestamp=rfc3339(book.hour(5) + 5 * MINUTE))
    add("plain id wins", event_id="hard-segment plain id")
    add("plain wins over a wrong type", user_id="plain user 2", userId=["no"])
    add("plain wins over a bad time", timestamp=rfc3339(book.hour(5) + 6 * MINUTE), originalTimestamp="yesterday")
    nothing = dict.fromkeys(
        (
            "event_id",
            "user_id",
            "anonymous_id",
            "event_type",
            "timestamp",
            "sent_at",
            "ip",
            "user_agent",
            "url",
            "referrer",
        )
    )
    add("plain is null", **nothing)
    add("plain is empty", **dict.fromkeys(nothing, ""))
    add("context with more in it", context={"page": page | {"title": "T", "path": 5}, "library": {"name": "js"}})
    add("plain url in an odd context", context=5, url=f"{SITE}/plain")
    record = book.tick()
    late = spelled("segment: sentAt", record - HOUR, sentAt=rfc3339(record - HOUR + 250))
    book.raw("segment: sentAt", STORED, json.dumps(late).encode(), record=record)
    mixed = book.event("segment: mixed", book.tick(), ip=DROP, user_id=DROP, userId="mixed", context={"ip": FRENCH})
    book.raw("segment: mixed", STORED, json.dumps(mixed).encode())

    add("no context", "missing_field", context=DROP)
    add("context is a string", "missing_field", context="web")
    add("page is a list", "missing_field", context={"page": [f"{SITE}/x"]})
    add("url is null", "missing_field", context={"page": {"url": None}})
    add("no user", "missing_field", userId=DROP)
    add("no time, only another's", "missing_field", originalTimestamp=DROP, receivedAt=rfc3339(book.now))
    add("id is a number", "wrong_type", messageId=5)
    add("user is a float", "wrong_type", userId=5.5)
    add("user is true", "wrong_type", userId=True)
    add("ip is a list", "wrong_type", context={"ip": [FRENCH], "page": page})
    add("agent is an object", "wrong_type", context={"userAgent": {}, "page": page})
    add("url is a number", "wrong_type", context={"page": {"url": 5}})
    add("referrer is false", "wrong_type", context={"page": page | {"referrer": False}})
    add("type is null in words", type="null")
    add("nul in its ip", "invalid_text", context={"ip": "\0", "page": page})
    add("nul in its user", "invalid_text", userId="a\0")
    add("bad time", "invalid_timestamp", originalTimestamp="now")
    add("bad sentAt", "invalid_timestamp", sentAt="now")
    add("bad url", "invalid_url", context={"page": {"url": "/cart"}})
    add("bad plain url beats a good one", "invalid_url", url="/cart")


def _duplicates(book: _Book) -> None:
    start = book.hour(12)

    def add(name: str, outcome: str, at: int, shared_id: str, **fields: object) -> None:
        fields = {"event_id": shared_id, "url": f"{SITE}/twice", "user_id": f"user of {shared_id}"} | fields
        book.add(f"twice: {name}", outcome, at=start + at, **fields)

    add("a", STORED, MINUTE, "twice-a")
    add("a again", DUPLICATE, MINUTE, "twice-a")
    add("a a third time, hours later", DUPLICATE, MINUTE, "twice-a", x=3)
    # The first in the file stays, whatever the others say
    add("b, the first", STORED, 2 * MINUTE, "twice-b", url=f"{SITE}/first", ip=FRENCH)
    add("b, another page", DUPLICATE, 2 * MINUTE, "twice-b", url=f"{SITE}/second")
    add("b, another user", DUPLICATE, 2 * MINUTE, "twice-b", user_id="someone else")
    add("b, another type", DUPLICATE, 3 * MINUTE, "twice-b", event_type="scroll")
    add("b, an earlier time", DUPLICATE, 1 * MINUTE, "twice-b")
    add("b, by a bot", DUPLICATE, 2 * MINUTE, "twice-b", user_agent=GOOGLEBOT)
    # In another hour it is another event
    add("c", STORED, 59 * MINUTE, "twice-c")
    add("c in the next hour", STORED, 61 * MINUTE, "twice-c")
    add("c in the next hour again", DUPLICATE, 119 * MINUTE, "twice-c")
    add("c in its hour again", DUPLICATE, 0, "twice-c")
    book.add("twice: c, weeks earlier", at=book.first_ms + 2 * HOUR, record=book.now - HOUR, event_id="twice-c")
    # A refused one leaves its id free
    add("d, bad", "invalid_url", 5 * MINUTE, "twice-d", url="/relative")
    add("d, good", STORED, 5 * MINUTE, "twice-d")
    add("d, bad again", "wrong_type", 5 * MINUTE, "twice-d", referrer=5)
    add("d, good again", DUPLICATE, 5 * MINUTE, "twice-d")
    # First a bot's or a scroll, and then a click that must not count
    add("e, a scroll", STORED, 6 * MINUTE, "twice-e", event_type="scroll")
    add("e, a click", DUPLICATE, 6 * MINUTE, "twice-e", event_type="click")
    add("f, a bot", STORED, 7 * MINUTE, "twice-f", user_agent=BINGBOT)
    add("f, a person", DUPLICATE, 7 * MINUTE, "twice-f")
    # The same id in both spellings
    add("g", STORED, 8 * MINUTE, "twice-g")
    add("g in Segment's spelling", DUPLICATE, 8 * MINUTE, DROP, messageId="twice-g", user_id="user of twice-g")
    # The corrected time decides the hour
    sent = {"sent_at": rfc3339(start + 10 * MINUTE + 5 * SECOND)}
    add("h", STORED, 10 * MINUTE, "twice-h", **sent)
    shifted = book.event("twice: h", start - 5 * DAY, event_id="twice-h", sent_at=rfc3339(start - 5 * DAY + SECOND))
    book.raw("twice: h by a clock five days slow", DUPLICATE, json.dumps(shifted).encode(), record=start + 20 * MINUTE)
    book.raw("twice: h by that clock, an hour on", STORED, json.dumps(shifted).encode(), record=start + 80 * MINUTE)
    for number in range(30):  # many of one
        add(f"i {number}", DUPLICATE if number else STORED, 12 * MINUTE + number, "twice-i", x=number)
    # Ids that only the bytes tell apart
    for number, odd in enumerate(("twice-j", "twice-J", "twice-j ", "twice-j\u200b", "twice-\uff4a", "twice-j\n")):
        add(f"j {number}", STORED, 13 * MINUTE, odd)


def _sessions(book: _Book) -> None:
    """Time spent. Each visit is one user's; pages are shared, so that sums catch a wrong one."""

    def visit(name: str, start: int, *steps: tuple[int, str] | tuple[int, str, dict[str, object]]) -> None:
        for number, (offset, kind, *more) in enumerate(steps):
            fields: dict[str, object] = {
                "event_type": kind,
                "user_id": f"visit {name}",
                "url": f"{SITE}/visit/{number}",
            }
            fields |= more[0] if more else {}
            book.add(f"visit: {name} {number}", at=start + offset, **fields)

    half, at = 30 * MINUTE, book.hour(11) + 5 * MINUTE
    view, click, scroll = "page_view", "click", "scroll"
    visit("simple", at, (0, view), (10 * SECOND, view), (25 * SECOND, click), (26 * SECOND, view))
    visit("alone", at, (0, view))
    visit("only signs of life", at, (0, scroll), (SECOND, "heartbeat"))
    visit("gap of 30 min", at, (0, view), (half, view))
    visit("gap of 30 min and 1 ms", at, (0, view), (half + 1, view))
    visit("gap of 30 min less 1 ms", at, (0, view), (half - 1, view))
    visit("sign of life at 30 min", at, (0, view), (half, scroll))
    visit("sign of life after 30 min", at, (0, view), (half + 1, scroll))
    visit(
        "the last sign of life", at, (0, view), (MINUTE, scroll), (5 * MINUTE, "heartbeat"), (29 * MINUTE, "purchase")
    )
    visit("signs of life, some too late", at, (0, view), (MINUTE, scroll), (half + 1, scroll), (half + 2, view))
    visit("click among signs of life", at, (0, view), (MINUTE, scroll), (2 * MINUTE, click), (3 * MINUTE, scroll))
    visit("life after the click but the click counts", at, (0, view), (SECOND, click), (20 * MINUTE, scroll))
    visit("chain over 30 min", at, (0, view), (20 * MINUTE, scroll), (40 * MINUTE, scroll), (41 * MINUTE, view))
    visit("1 ms", at, (0, view), (1, view), (2, view))
    visit("equal times", at, (0, view), (0, view), (0, click), (10 * SECOND, view))
    visit("equal times, only scrolls", at, (0, view), (0, scroll), (0, view))
    visit("equal times at the end", at, (0, view), (SECOND, scroll), (SECOND, view))
    visit("all at once", at, (0, view), (0, view))
    visit("same page", at, (0, view, {"url": f"{SITE}/visit/0"}), (9 * SECOND, view, {"url": f"{SITE}/visit/0#b"}))
    visit("from another country", at, (0, view, {"ip": FRENCH}), (30 * SECOND, view, {"ip": BRITISH}))
    visit("with another browser", at, (0, view), (30 * SECOND, view, {"user_agent": "curl/8.5.0"}))
    bot: dict[str, object] = {"user_agent": GOOGLEBOT}
    visit("a bot in between", at, (0, view), (10 * SECOND, view, bot), (30 * SECOND, view), (31 * SECOND, scroll, bot))
    visit("a bot behind", at, (0, view), (10 * SECOND, click, bot))
    visit("only a bot", at, (0, view, bot), (10 * SECOND, view, bot))
    visit("an unknown type", at, (0, view), (7 * SECOND, "Click"), (9 * SECOND, "pageview"))
    visit("a refused one in between", at, (0, view), (30 * SECOND, view))
    book.add(
        "visit: a refused one in between, refused",
        "invalid_url",
        at=at + 5 * SECOND,
        url="/x",
        user_id="visit a refused one in between",
    )
    visit("a duplicate in between", at, (0, view, {"event_id": "visit-dup"}), (30 * SECOND, view))
    book.add("visit: a duplicate in between, duplicate", DUPLICATE, at=at + 9 * SECOND, event_id="visit-dup",
             user_id="visit a duplicate in between")  # fmt: skip

    # Over the hour's end: the time belongs to the view's own hour
    end = book.hour(9)
    visit("over the hour", end - MINUTE, (0, view), (2 * MINUTE, view), (3 * MINUTE, view))
    visit("over the hour by 1 ms", end - 1, (0, view), (1, view))
    visit("over the hour, 30 min", end - 1, (0, view), (half, view))
    visit("over the hour, 30 min and 1 ms", end - 1, (0, view), (half + 1, view))
    visit("over the hour, a sign of life", end - 10 * MINUTE, (0, view), (5 * MINUTE, scroll), (25 * MINUTE, scroll))
    visit("over the hour, at its 30th minute", end - 5 * MINUTE, (0, view), (half, scroll), (half + 5 * MINUTE, view))
    visit("over the hour, then a click", end - 10 * MINUTE, (0, view), (15 * MINUTE, scroll), (20 * MINUTE, view))
    visit("over two hours", end - MINUTE, (0, view), (61 * MINUTE, view), (62 * MINUTE, view))
    visit("the last minute and the first", end - 1, (0, click), (2, click))
    visit("nothing but the other side", end - 20 * MINUTE, (0, view), (21 * MINUTE, scroll, bot), (25 * MINUTE, scroll))

    # The next hour's minutes come first, those before them later: a closed hour is opened again
    record = book.hour(3)
    for number, offset in enumerate((20 * MINUTE, 1, -10 * MINUTE, -1, 5 * MINUTE)):
        book.add(f"visit: backwards {number}", at=book.hour(8) + offset, record=record + number, user_id="backwards",
                 url=f"{SITE}/visit/{number}")  # fmt: skip
    # A long visit with every kind in it
    rng = Random(7)
    offset = 0
    for number in range(60):
        offset += rng.choice((1, 500, 20 * SECOND, 3 * MINUTE, half, half + 1))
        kind = rng.choice((view, view, click, scroll, "heartbeat"))
        who = rng.choice(("long visit", "long visit", "other long visit"))
        book.add(f"visit: long {number}", at=book.now - 15 * HOUR + offset, event_type=kind, user_id=who,
                 url=f"{SITE}/long/{number % 7}", ip=rng.choice((GERMAN, FRENCH)))  # fmt: skip


def _engagement(book: _Book) -> None:
    at = book.hour(10) + 10 * MINUTE
    values: dict[str, object] = {
        "0": 0, "1": 1, "1234": 1234, "a float": 1234.9, "a small float": 0.9, "minus zero": -0.0, "exponent": 1e3,
        "30 min": 30 * MINUTE, "30 min and 1": 30 * MINUTE + 1, "an hour": HOUR, "2^63": 1 << 63, "1e308": 1e308,
        "10^300": 10**300, "null": None, "empty": "",
    }  # fmt: skip
    for name, value in values.items():
        page = f"{SITE}/engaged/{name.replace(' ', '-').replace('^', '')}"
        who = f"engaged {name}"
        book.add(f"engaged: {name}", at=at, engagement_time_ms=value, url=page, user_id=who)
        book.add(f"engaged: {name}, next", at=at + 20 * SECOND, url=f"{SITE}/engaged/next", user_id=who)
    book.add("engaged: alone", at=at, engagement_time_ms=5000, url=f"{SITE}/engaged/alone")
    book.add("engaged: a scroll's is no view's", at=at, event_type="scroll", engagement_time_ms=9999)
    book.add("engaged: a bot's", at=at, user_agent=GOOGLEBOT, engagement_time_ms=9999)


def _device_clocks(book: _Book) -> None:
    year = 365 * DAY
    record = book.hour(5) + 40 * MINUTE
    clocks = {
        "three years slow": (record - 3 * year, 2 * SECOND),
        "thirty years fast": (record + 30 * year, 2 * SECOND),
        "in 1970": (12_345, 3 * SECOND),
        "before 1970": (-5 * year, 3 * SECOND),
        "right": (record - SECOND, 900),
        "sent at once": (record - 9 * HOUR, 0),
        "a day on the device": (record - 26 * HOUR, 24 * HOUR),
        "over the hour": (record + 5 * HOUR, 41 * MINUTE),
        "just into the hour": (record + 5 * HOUR, 40 * MINUTE),
    }
    for name, (stamped, delay) in clocks.items():
        book.add(f"clock: {name}", at=stamped, record=record, sent_at=rfc3339(stamped + delay), url=f"{SITE}/clock")
    # Sent before it happened: the device is not to be trusted on that, and its time stands as it is
    book.add("clock: sent before", at=record - HOUR, record=record, sent_at=rfc3339(record - 2 * HOUR))
    book.add("clock: sent 1 ms before", at=record - HOUR, record=record, sent_at=rfc3339(record - HOUR - 1))
    fast = record + year
    book.add("clock: sent before, and ahead", "timestamp_in_future", at=fast, record=record, sent_at=rfc3339(fast - 1))
    book.add("clock: sent in 1970", at=record - MINUTE, record=record, sent_at=0)
    book.add("clock: sent by a float", record=record, timestamp=record - 5000.9, sent_at=record - 3000.2)
    book.add("clock: two notations", record=record, timestamp=record - HOUR, sent_at=rfc3339(record - HOUR + SECOND))
    before = "before_first_partition"
    book.add("clock: months on the device", before, at=record - year, record=record, sent_at=rfc3339(record))
    book.add("clock: sent in 9999", before, at=record - SECOND, record=record, sent_at="9999-12-31T23:59:59Z")
    book.add("clock: sent at 1e300", before, at=record - SECOND, record=record, sent_at=1e300)
    book.add("clock: stamped -1e300", before, timestamp=-1e300, record=record, sent_at=rfc3339(record))
    # Two devices of one user, one an hour slow: the order is that of the corrected times
    for number, (offset, slow) in enumerate(((0, HOUR), (20 * SECOND, 0), (50 * SECOND, HOUR))):
        moment = record + 2 * MINUTE + offset
        book.add(f"clock: two devices {number}", at=moment - slow - 400, record=moment, user_id="two devices",
                 sent_at=rfc3339(moment - slow), url=f"{SITE}/clock/{number}")  # fmt: skip


def _late_and_out_of_order(book: _Book) -> None:
    for number, lateness in enumerate((3 * MINUTE, HOUR, 5 * HOUR, 26 * HOUR, 20 * DAY)):
        record = book.now - (number + 1) * SECOND
        for step in range(3):
            book.add(f"late: {number}.{step}", at=record - lateness + step * 11 * SECOND, record=record,
                     user_id=f"late {number}", url=f"{SITE}/late/{step}")  # fmt: skip
    # Three weeks late, in the first minutes of an hour, for a visit that was on time in the hour before
    hour = book.first_ms + 30 * HOUR
    book.add("late: on time, weeks ago", at=hour - MINUTE, user_id="late visit", url=f"{SITE}/late/0")
    book.add("late: what followed", at=hour + 30 * SECOND, record=book.now - SECOND, user_id="late visit")
    book.add("late: a sign of life, too late to matter", at=hour + 60 * SECOND, record=book.now, event_type="scroll",
             user_id="late visit")  # fmt: skip
    # Record times that go back, as several producers' do
    for number in range(40):
        at = book.hour(14) + (number * 37 % 40) * 4 * MINUTE
        book.add(f"order: {number}", at=at, user_id=f"order {number % 4}", url=f"{SITE}/order/{number % 5}")
    book.add("now: exactly", at=book.now, record=book.now)
    book.add("now: oldest record there is", at=book.now - SPAN_MS, record=book.now - SPAN_MS)


def _users(book: _Book) -> None:
    at, page = book.hour(4) + 10 * MINUTE, f"{SITE}/users"
    people: list[dict[str, object]] = [
        {"user_id": "same"},
        {"user_id": DROP, "anonymous_id": "same"},  # another one
        {"user_id": "same", "anonymous_id": "other"},  # the first again
        {"user_id": "", "anonymous_id": "same"},  # the second again
        {"user_id": None, "anonymous_id": "same"},
        {"user_id": 42},
        {"user_id": "42"},  # an integer is its digits
        {"user_id": DROP, "anonymous_id": 42},
        {"user_id": 0},
        {"user_id": -1},
        {"user_id": (1 << 63) - 1},
        {"user_id": -(1 << 63)},
        {"user_id": str((1 << 63) - 1)},
        {"user_id": DROP, "anonymous_id": (1 << 63) - 1},
        {"user_id": "042"},  # no integer, so not 42
        {"user_id": " "},
        {"user_id": "Same"},
        {"user_id": "same "},
        {"user_id": "user_id:same"},
        {"user_id": "anonymous_id:same"},
        {"user_id": "u|same"},
        {"user_id": "a|same"},
        {"user_id": "null"},
        {"user_id": "None"},
        {"user_id": "caf\u00e9"},
        {"user_id": "cafe\u0301"},
        {"user_id": "false", "anonymous_id": 0},
    ]
    for number, fields in enumerate(people):
        book.add(f"users: {number}", at=at + number * 7 * SECOND, url=page, **fields)
    for number in range(300):  # enough for a sketch to have something to do
        book.add(f"users: crowd {number}", at=at + number * 100, url=f"{SITE}/crowd", user_id=number % 150)


def _big_messages(book: _Book) -> None:
    def padded(name: str, size: int, filler: str = "x") -> bytes:
        event = book.event(f"big: {name}", book.now - 2 * HOUR, url=f"{SITE}/big", pad="")
        space = size - len(json.dumps(event))
        event["pad"] = filler * (space // len(filler)) + "y" * (space % len(filler))
        body = json.dumps(event, ensure_ascii=False).encode()
        assert len(body) == size
        return body

    record = book.now - 2 * HOUR + SECOND
    for number in range(4):  # several, one after another: more than a Thrift frame of 2 MB takes
        book.raw(f"big: 1 MiB {number}", STORED, padded(f"1 MiB {number}", MEBIBYTE), record=record + number)
    book.raw("big: 1 MiB less a byte", STORED, padded("1 MiB less a byte", MEBIBYTE - 1), record=record)
    book.raw("big: 1 MiB and a byte", "too_large", padded("1 MiB and a byte", MEBIBYTE + 1), record=record)
    book.raw("big: 1.5 MB", "too_large", padded("1.5 MB", 1_500_000), record=record)
    noise = "".join(hashlib.blake2b(str(number).encode()).hexdigest() for number in range(27_000))
    book.raw(
        "big: 3.4 MB that don't compress",
        "too_large",
        padded("3.4 MB that don't compress", len(noise) + 500, noise),
        record=record,
    )
    few = "é" * 600_000  # 600,000 characters, but more than 1 MiB
    body = json.dumps(book.event("big: bytes count", record, pad=few), ensure_ascii=False).encode()
    book.raw("big: bytes count", "too_large", body, record=record)
    spaces = json.dumps(book.event("big: white space counts", record)).encode()
    book.raw("big: white space counts", "too_large", spaces + b" " * MEBIBYTE, record=record)
    book.add(
        "big: many small things", record=record, at=record, things=[[number, {"k": "v"}] for number in range(20_000)]
    )


if __name__ == "__main__":
    now = int(time.time() * 1000)
    write_file(Path(sys.argv[1]), now)
    print(first_hour(now))
