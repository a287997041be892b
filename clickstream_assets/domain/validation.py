"""What would become of messages: the pipeline's own decoding, without a server."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from clickstream_assets.clients.kafka import Message
from clickstream_assets.domain.click_event import CLICK_TYPES, ClickEvent
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.domain.settling import Decoded, Rules, decoded

_AT_A_TIME = 100
STORED, DUPLICATE, REFUSED = "stored", "duplicate", "refused"


def batched(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Lists of a few messages: what is decoded in one go."""
    remaining = iter(messages)
    while some := list(islice(remaining, _AT_A_TIME)):
        yield some


@dataclass(slots=True)
class Validation:
    """What became of all messages, in numbers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Messages stored, duplicates, refused."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Refused ones by reason."""
    hours: set[int] = field(default_factory=set)
    clicks: int = 0
    """Stored events of a click type that are no bot's: what the metrics add up to."""
    bots: int = 0
    """Stored events of bots."""


def validate(
    messages: Iterable[Message], rules: Rules, is_bot: Callable[[str], bool], total: Validation
) -> Iterator[dict[str, Any]]:
    """Say of each message what would become of it, and count it in ``total``.

    Messages are taken in order, as those of one partition. Those of one event after the first are duplicates; to know
    them takes some 80 bytes an event.
    """
    seen: set[bytes] = set()
    for number, one in enumerate(chain.from_iterable(decoded(some, rules) for some in batched(messages)), 1):
        if one.event is None:
            yield {"message": number} | _refused(one, total)
            continue
        outcome = DUPLICATE if one.key in seen else STORED
        seen.add(one.key)
        total.outcomes[outcome] += 1
        bot = is_bot(one.event.user_agent or "")
        click = one.event.event_type in CLICK_TYPES
        if outcome == STORED:
            total.hours.add(one.event.hour)
            total.bots += bot
            total.clicks += click and not bot
        yield {"message": number, "outcome": outcome, **_described(one.event), "click": click, "bot": bot}


def _refused(message: Decoded, total: Validation) -> dict[str, Any]:
    refused = message.refused
    assert refused is not None
    total.outcomes[REFUSED] += 1
    total.reasons[refused.reason] += 1
    return {"outcome": REFUSED, "reason": refused.reason, "detail": refused.detail}


def _described(event: ClickEvent) -> dict[str, Any]:
    user = f"anonymous_id:{event.anonymous_id}" if event.user_id is None else f"user_id:{event.user_id}"
    return {"hour": key_of_hour(event.hour), "url": event.url, "user_key": user}
