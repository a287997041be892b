"""Drawn: devices' and collectors' clocks, in both spellings, and records without a time."""

from random import Random

from clickstream_assets.events.message_files import NO_TIME_MS
from clickstream_assets_tests.hard_cases.book import DAY, DROP, HOUR, MINUTE, SECOND, SITE, Book, rfc3339

ERRORS = (0, 0, 400, -1300, 2 * HOUR, -2 * HOUR, 30 * DAY, -3 * 365 * DAY, 45 * MINUTE)
"""How far a device's clock is off."""
DELAYS = (0, 0, 1, 300, 900, 5 * MINUTE, 50 * MINUTE, 5 * HOUR)
"""How long a device keeps an event before it sends it."""
ROUNDED = (0, 0, 0, 1, 600, 1999, 2000, 2001, 3000, HOUR)
"""How much earlier than it was sent an event says that it was."""


def clocks(book: Book) -> None:
    """Each of 200 events happened at a time that its clocks tell more or less well."""
    rng = Random("clocks")
    for number in range(200):
        at = book.now - rng.randrange(7 * HOUR, 15 * HOUR)
        delay = rng.choice(DELAYS)
        device = at + rng.choice(ERRORS)
        sent = device + delay - rng.choice(ROUNDED)
        received = at + delay + rng.randrange(SECOND)
        record = received + rng.choice((5, 70, 2 * SECOND, HOUR))
        fields = _segment if rng.random() < 0.5 else _plain
        event = {"user_id": f"clock {number % 9}", "url": f"{SITE}/drawn/clock/{number % 3}"}
        event |= fields(rng, device, sent, received, at)
        if rng.random() < 0.3:
            event["event_id"] = f"drawn-clock-{number}"
        book.drawn(f"drawn clock: {number}", rng.choice((record, record, NO_TIME_MS)), event)


def _plain(rng: Random, device: int, sent: int, received: int, at: int) -> dict[str, object]:
    return {
        "timestamp": _spelled(rng, device),
        "sent_at": rng.choice((DROP, None, "", _spelled(rng, sent), _spelled(rng, sent), rfc3339(sent)[:19] + "Z")),
        "received_at": rng.choice((DROP, DROP, "", _spelled(rng, received), "soon", True)),
    }


def _segment(rng: Random, device: int, sent: int, received: int, at: int) -> dict[str, object]:
    """Segment's four times: ``timestamp`` is what the collector made of the other three."""
    corrected = received - (sent - device)
    return {
        "type": rng.choice(("page", "screen", "track")),
        "originalTimestamp": rng.choice((_spelled(rng, device), _spelled(rng, device), _spelled(rng, device), "")),
        "sentAt": rng.choice((DROP, _spelled(rng, sent), _spelled(rng, sent))),
        "receivedAt": rng.choice((DROP, _spelled(rng, received), _spelled(rng, received))),
        "timestamp": rng.choice((DROP, DROP, "", _spelled(rng, corrected), _spelled(rng, at))),
    }


def _spelled(rng: Random, ms: int) -> object:
    text = rfc3339(ms)
    return rng.choice((text, text, text[:19] + "Z", text[:22] + "+00:00", ms, ms + 0.75))
