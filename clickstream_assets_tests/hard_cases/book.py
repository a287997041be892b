"""What hard cases are written with: an event that is good as it stands, and a clock."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from clickstream_assets.events.message_files import NO_TIME_MS, Message
from clickstream_assets_tests.acceptance import golden

STORED, DUPLICATE = "stored", "duplicate"
REASONS = (
    "too_large",
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "too_long",
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


def first_hour_ms(now_ms: int) -> int:
    """The first partition to run the cases with: the hour of the oldest record time there may be."""
    return (now_ms - SPAN_MS) // HOUR * HOUR


def first_hour(now_ms: int) -> str:
    """The same as golden.py's --first-hour spells it."""
    return datetime.fromtimestamp(first_hour_ms(now_ms) / 1000, UTC).strftime("%Y-%m-%dT%H")


def rfc3339(ms: int) -> str:
    """Epoch milliseconds as a client would write them."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Book:
    """Collects cases. One with no time of its own comes two minutes after the one before, in the last 20 hours."""

    def __init__(self, now_ms: int) -> None:
        self.now = now_ms
        self.first_ms = first_hour_ms(now_ms)
        self.cases: list[HardCase] = []
        self._names: set[str] = set()
        self._clock = now_ms - 20 * HOUR
        self._events_drawn: set[tuple[object, ...]] = set()

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
        assert record == NO_TIME_MS or self.now - SPAN_MS <= record <= self.now, f"record time of {name}"
        message = Message(value, record)
        self.cases.append(HardCase(name, message, outcome, has_id=message.key is not None))

    def text(self, name: str, outcome: str, change: tuple[str, str], **fields: object) -> None:
        """A good event whose JSON text has one place replaced: for what json.dumps would not write."""
        record = self.tick()
        body = json.dumps(self.event(name, record - SECOND, **fields), ensure_ascii=False)
        assert change[0] in body
        self.raw(name, outcome, body.replace(*change, 1).encode("utf-8", "surrogatepass"), record=record)

    def drawn(self, name: str, record: int, fields: Mapping[str, object] | bytes) -> None:
        """A drawn message, as JSON of its fields or as it stands. What becomes of it is golden.py's to say."""
        sent = fields if isinstance(fields, bytes) else _json({k: v for k, v in fields.items() if v is not DROP})
        try:
            event = golden.parse(sent, record, self.first_ms)
        except golden.Refused as reason:
            self.raw(name, str(reason), sent, record=record)
            return
        identity = event["ms"] // HOUR, *(event[part] for part in ("id", "user", "type", "url"))
        again = event["id"] is not None and identity in self._events_drawn
        self._events_drawn.add(identity)
        self.raw(name, DUPLICATE if again else STORED, sent, record=record)


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
