"""Real-looking events for one hour: visits to a shop, with long-tailed urls, addresses and user agents.

Drawn by numpy, hundreds of thousands at once, where :mod:`clickstream_assets.local.demo.visits` draws visit by visit.
Same seed and hour, same events. Of the messages 0.5 % are redelivered and 0.2 % are refused; 2.5 % of the visitors are
crawlers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from clickstream_assets.events.click_event import CLICK_TYPES
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.message_files import Message
from clickstream_assets.local.demo.browsers import draw_browser, draw_crawler
from clickstream_assets.local.demo.places import draw_address
from clickstream_assets.local.demo.shop import HOST, PAGES

REDELIVERED, REFUSED = 0.005, 0.002
SLICE = 100_000
"""Events drawn at once, for a stretch of the hour: what bounds memory."""

_PAGES, _PAGES_EXPONENT = 5_000, 1.0
_USER_AGENTS, _USER_AGENTS_EXPONENT = 4_000, 0.9
_EVENTS_PER_VISITOR = 4
_VISITORS_PER_ADDRESS, _ADDRESSES_EXPONENT = 1.3, 0.5
_VISITORS_EXPONENT = 0.4
_CRAWLER_EVERY = 40
_EVENTS_PER_VISIT = 4.5
_TYPES = ("page_view", "click", "scroll", "heartbeat")
_TYPE_SHARES = (0.72, 0.08, 0.15, 0.05)
_CAMPAIGN, _CLIENT_ID = "utm_source=google&utm_medium=cpc&utm_campaign=autumn", "gclid"
_REFERRERS = (
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://l.instagram.com/",
    f"{HOST}/",
    f"{HOST}/sale",
)

Skew = Literal["url", "user"]
"""What has half of all events in one value."""

Ints = NDArray[np.int64]


def long_tail(size: int, exponent: float) -> NDArray[np.float64]:
    """Cumulated Zipf weights of ranks 1 to ``size``, the last one 1."""
    weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    cumulated = np.cumsum(weights)
    return cumulated / cumulated[-1]


@dataclass(slots=True)
class Distinct:
    """How many different values messages hold, as a share of all messages."""

    messages: int = 0
    values: dict[str, set[Any]] = field(default_factory=dict)

    def add(self, name: str, found: Sequence[Any]) -> None:
        """Values of some messages."""
        self.values.setdefault(name, set()).update(found)

    def shares(self) -> dict[str, float]:
        """By name."""
        return {name: len(found) / self.messages for name, found in self.values.items()}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages of a part of the hour, in order of their record times."""

    messages: list[Message]
    counted: list[bool]
    """Whether a message is one more click in the metrics; meant for clean stretches, where each event comes once."""


class Shop:
    """Pages, visitors and what they browse with, enough of each for so many events."""

    def __init__(self, seed: int, events: int, skew: Skew | None = None) -> None:
        self._rng, draw = np.random.default_rng(seed), Random(f"bench/{seed}")
        self._skew = skew
        visitors = max(100, events // _EVENTS_PER_VISITOR)
        self._urls = [HOST + page for page in PAGES]
        self._urls += [f"{HOST}/p/article-{number:05}" for number in range(_PAGES - len(PAGES))]
        self._pages_tail = long_tail(len(self._urls), _PAGES_EXPONENT)
        self._visitors_tail = long_tail(visitors, _VISITORS_EXPONENT)
        addresses = [draw_address(draw) for _ in range(max(1, round(visitors / _VISITORS_PER_ADDRESS)))]
        found = self._draw(long_tail(len(addresses), _ADDRESSES_EXPONENT), visitors)
        self._ip = [addresses[at] for at in found.tolist()]
        agents = [_variant(draw, draw_browser(draw)) for _ in range(_USER_AGENTS)]
        found = self._draw(long_tail(len(agents), _USER_AGENTS_EXPONENT), visitors)
        self._user_agent = [
            draw_crawler(draw) if self._crawls(visitor) else agents[at] for visitor, at in enumerate(found.tolist())
        ]
        self.distinct = Distinct()

    @staticmethod
    def _crawls(visitor: int) -> bool:
        return visitor % _CRAWLER_EVERY == _CRAWLER_EVERY - 1

    def _draw(self, tail: NDArray[np.float64], size: int) -> Ints:
        return np.searchsorted(tail, self._rng.random(size)).astype(np.int64)

    def hour(self, hour: int, events: int) -> Iterator[Stretch]:
        """``events`` messages of an hour, recorded in it, in stretches."""
        yield from self.span(hour * HOUR_MS, HOUR_MS, events)

    def span(self, start_ms: int, length_ms: int, events: int, *, clean: bool = False) -> Iterator[Stretch]:
        """``events`` messages recorded in a span of time; ``clean``: none of them redelivered or refused."""
        parts = -(-events // SLICE)
        bounds = [start_ms + length_ms * part // parts for part in range(parts + 1)]
        for part in range(parts):
            size = events * (part + 1) // parts - events * part // parts
            times, visitors, first = self._visits(bounds[part + 1] - bounds[part], size)
            records = np.minimum(times + 20 + self._rng.exponential(180, size).astype(np.int64), HOUR_MS - 1)
            records = np.minimum(records, bounds[part + 1] - bounds[part] - 1)
            yield self._stretch(
                bounds[part] + np.minimum(times, records), bounds[part] + records, visitors, first, clean
            )

    def late(self, hour: int, events: int) -> Stretch:
        """Events of an hour that were recorded in the half hour after it."""
        times, visitors, first = self._visits(HOUR_MS, events)
        records = HOUR_MS + np.sort(self._rng.integers(0, HOUR_MS // 2, events))
        start = hour * HOUR_MS
        return self._stretch(start + times, start + records, visitors, first, clean=True)

    def _visits(self, length_ms: int, events: int) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Times from 0 to ``length_ms``, visitors, and which events begin a visit: as many as asked for, by time."""
        rng = self._rng
        times, visitors, first = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
        while len(times) < events:
            visits = int(1.2 * events / _EVENTS_PER_VISIT) + 10
            counts = rng.geometric(1 / _EVENTS_PER_VISIT, visits)
            visit = np.repeat(np.arange(visits), counts)
            begins = np.cumsum(counts) - counts
            waits = rng.lognormal(10.1, 1.15, len(visit)).astype(np.int64)  # half of them under 25 s
            passed = np.cumsum(waits) - waits
            at = rng.integers(0, length_ms, visits)[visit] + passed - passed[begins][visit]
            who = self._draw(self._visitors_tail, visits)
            if self._skew == "user":
                who[rng.random(visits) < 0.5] = 0
            is_first = np.zeros(len(visit), np.bool_)
            is_first[begins] = True
            inside = at < length_ms
            times = np.concatenate((times, at[inside]))
            visitors = np.concatenate((visitors, who[visit][inside]))
            first = np.concatenate((first, is_first[inside]))
        chosen = rng.permutation(len(times))[:events]
        chosen = chosen[np.argsort(times[chosen], kind="stable")]
        return times[chosen], visitors[chosen], first[chosen]

    def _stretch(self, times: Ints, records: Ints, visitors: Ints, first: NDArray[np.bool_], clean: bool) -> Stretch:
        rng, size = self._rng, len(times)
        pages = self._draw(self._pages_tail, size)
        if self._skew == "url":
            pages[rng.random(size) < 0.5] = 0
        lands = first & (rng.random(size) < 0.25)
        kinds = rng.choice(len(_TYPES), size, p=_TYPE_SHARES)
        engaged = np.where((kinds == 0) & (rng.random(size) < 0.2), rng.lognormal(9.5, 1, size).astype(np.int64), -1)
        referrers = np.where(rng.random(size) < 0.6, rng.integers(0, len(_REFERRERS), size), -1)
        numbered = rng.random(size) < 0.1
        spoiled = np.zeros(size, np.bool_) if clean else rng.random(size) < REFUSED
        ids = rng.bytes(16 * size).hex()
        stamps = np.datetime_as_string(times.astype("datetime64[ms]"), unit="ms", timezone="UTC").tolist()
        columns = (pages, visitors, lands, kinds, engaged, referrers, numbered, spoiled)
        messages, counted, urls = [], [], set()
        for at, values in enumerate(zip(*(column.tolist() for column in columns), records.tolist(), strict=True)):
            page, visitor, landed, kind, engaged_ms, referrer, has_number, bad, record_ms = values
            event_id = ids[32 * at : 32 * at + 32]
            url = self._urls[page]
            if landed:
                url = f"{url}{'&' if '?' in url else '?'}{_CAMPAIGN}&{_CLIENT_ID}={event_id[:16]}"
            urls.add(url)
            event: dict[str, object] = {
                "event_id": event_id,
                "event_type": _TYPES[kind],
                "timestamp": stamps[at],
                "url": url,
                "anonymous_id": f"device-{visitor:07}",
                "ip": self._ip[visitor],
                "user_agent": self._user_agent[visitor],
            }
            if visitor % 3 == 0:
                event["user_id"] = f"u{visitor:07}"
            if engaged_ms >= 0:
                event["engagement_time_ms"] = engaged_ms
            if referrer >= 0:
                event["referrer"] = _REFERRERS[referrer]
            if has_number:
                event["page_number"] = at % 9 + 1
            if bad:
                del event["url"]
            messages.append(Message(orjson.dumps(event), record_ms))
            counted.append(not bad and _TYPES[kind] in CLICK_TYPES and not self._crawls(visitor))
        if not clean:
            self._redeliver(messages, counted)
        self._note(visitors, pages, urls, size)
        return Stretch(messages, counted)

    def _redeliver(self, messages: list[Message], counted: list[bool]) -> None:
        """Some messages come once more, in place of others soon after."""
        size = len(messages)
        for at in self._rng.integers(0, max(1, size - 50), int(size * REDELIVERED)).tolist():
            to = min(at + 37, size - 1)
            again = messages[at]
            messages[to] = Message(again.value, messages[to].timestamp_ms)
            counted[to] = False

    def _note(self, visitors: Ints, pages: Ints, urls: set[str], size: int) -> None:
        seen = np.unique(visitors).tolist()
        self.distinct.messages += size
        self.distinct.add("urls", np.unique(pages).tolist())
        self.distinct.add("urls as sent", list(urls))
        self.distinct.add("users", seen)
        self.distinct.add("addresses", [self._ip[visitor] for visitor in seen])
        self.distinct.add("user agents", [self._user_agent[visitor] for visitor in seen])


def _variant(rng: Random, user_agent: str) -> str:
    """A user agent as one of many builds of its browser sends it."""
    return user_agent.replace(".0.0.0 ", f".0.{rng.randrange(7000, 7500)}.{rng.randrange(40, 240)} ", 1)
