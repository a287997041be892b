"""What would become of messages: the pipeline's own decoding, without a server."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clickstream_assets.events.click_event import CLICK_TYPES
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.url_limits import NO_LIMITS, OTHER, UrlLimits
from clickstream_assets.ingest.outcomes import Decoded, Rules, decoded
from clickstream_assets.stores.kafka.client import Record

STORED, DUPLICATE, REFUSED = "stored", "duplicate", "refused"


class Judged(NamedTuple):
    """One message: the key of its row, and what to say of it if no earlier message has that key."""

    key: bytes
    words: dict[str, Any]


def judged(
    messages: Sequence[Record], rules: Rules, is_bot: Callable[[str], bool], limits: UrlLimits = NO_LIMITS
) -> list[Judged]:
    """Decode messages of a partition, each on its own, so that processes can share the work."""
    return [Judged(message.key, _words(message, is_bot, limits)) for message in decoded(messages, rules)]


def _words(message: Decoded, is_bot: Callable[[str], bool], limits: UrlLimits) -> dict[str, Any]:
    event, refused = message.event, message.refused
    if event is None:
        assert refused is not None
        return {"outcome": REFUSED, "reason": refused.reason, "detail": refused.detail}
    # How many urls its hour will have, a message cannot tell.
    others = {} if limits.takes_host_of(event.url) else {"counted_as": OTHER}
    return {
        "outcome": STORED,
        "hour": key_of_hour(event.hour),
        "url": event.url,
        **others,
        "user_key": f"anonymous_id:{event.anonymous_id}" if event.user_id is None else f"user_id:{event.user_id}",
        "click": event.event_type in CLICK_TYPES,
        "bot": is_bot(event.user_agent or ""),
    }


@dataclass(slots=True)
class Validation:
    """What became of all messages, in numbers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Messages stored, duplicates, refused."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Refused ones by reason."""
    hours: set[str] = field(default_factory=set)
    clicks: int = 0
    """Stored events of a click type that are no bot's: what the metrics add up to."""
    bots: int = 0
    """Stored events of bots."""
    _seen: set[bytes] = field(default_factory=set)
    """Row keys: some 80 bytes an event."""

    def add(self, message: Judged) -> dict[str, Any]:
        """Count a message, in order; returns what became of it, knowing those before it."""
        key, words = message
        if words["outcome"] == REFUSED:
            self.reasons[words["reason"]] += 1
        elif key in self._seen:
            words = words | {"outcome": DUPLICATE}
        else:
            self._seen.add(key)
            self.hours.add(words["hour"])
            self.bots += words["bot"]
            self.clicks += words["click"] and not words["bot"]
        self.outcomes[words["outcome"]] += 1
        return {"message": self.outcomes.total(), **words}
