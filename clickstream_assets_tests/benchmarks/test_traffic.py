"""Events of the benchmarks look like traffic, and are what the contract accepts."""

from collections import Counter

import orjson
import pytest

from benchmarks.traffic import REDELIVERED, REFUSED, Shop
from clickstream_assets.enrich.enrichment import BOT_DEVICE
from clickstream_assets.events.click_event import CLICK_TYPES, decode
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.refusals import Refused

HOUR = 495_000
EVENTS = 30_000


def messages(shop, hour=HOUR, events=EVENTS):
    return [message for stretch in shop.hour(hour, events) for message in stretch.messages]


@pytest.fixture(scope="module")
def shop():
    return Shop(1, EVENTS)


@pytest.fixture(scope="module")
def sent(shop):
    return messages(shop)


@pytest.mark.slow
def test_the_hour_holds_as_many_messages_as_asked_for_all_of_it(sent):
    assert len(sent) == EVENTS
    records = [message.timestamp_ms for message in sent]
    assert min(records) >= HOUR * HOUR_MS
    assert max(records) < (HOUR + 1) * HOUR_MS
    by_quarter = Counter(4 * (at - HOUR * HOUR_MS) // HOUR_MS for at in records)
    assert min(by_quarter.values()) > EVENTS / 8


@pytest.mark.slow
def test_the_same_seed_gives_the_same_events(sent):
    assert messages(Shop(1, EVENTS)) == sent
    assert messages(Shop(2, EVENTS)) != sent


@pytest.mark.slow
def test_all_but_a_few_are_accepted_within_their_hour(sent):
    refused = 0
    for message in sent:
        try:
            event = decode(message.value, message.timestamp_ms, 0)
        except Refused as reason:
            assert reason.reason == "missing_field"
            refused += 1
        else:
            assert event.hour == HOUR
    assert 0.3 * REFUSED < refused / EVENTS < 3 * REFUSED


def test_some_messages_are_redelivered(sent):
    ids = Counter(message.key for message in sent)
    again = sum(count - 1 for count in ids.values())
    assert 0.5 * REDELIVERED < again / EVENTS <= REDELIVERED


def test_urls_addresses_user_agents_and_users_have_a_long_tail(sent, shop):
    events = [orjson.loads(message.value) for message in sent]
    for name in ("url", "ip", "user_agent", "anonymous_id"):
        counts = Counter(event.get(name) for event in events)
        ordered = sorted(counts.values(), reverse=True)
        assert len(ordered) > 500, name
        assert sum(ordered[: len(ordered) // 10]) > 0.2 * EVENTS, f"a tenth of {name} has much more than a tenth"
        assert sum(count == 1 for count in ordered) > 0.05 * len(ordered), f"many {name} come once"
    shares = shop.distinct.shares()
    assert set(shares) == {"urls", "urls as sent", "users", "addresses", "user agents"}
    distinct = {event["anonymous_id"] for event in events}
    assert shares["users"] == pytest.approx(len(distinct) / EVENTS, rel=0.02)
    assert all(0 < share < 1 for share in shares.values())


@pytest.mark.slow
@pytest.mark.parametrize(("skew", "name"), [("url", "url"), ("user", "anonymous_id")])
def test_a_skewed_hour_has_half_of_its_events_in_one_value(skew, name):
    values = [orjson.loads(message.value).get(name) or "" for message in messages(Shop(1, EVENTS, skew))]
    (_, most), *_ = Counter(value.partition("?")[0] for value in values).most_common(1)
    assert 0.45 < most / EVENTS < 0.58


def test_late_events_are_of_the_hour_and_recorded_after_it(shop):
    late = shop.late(HOUR, 300).messages
    assert len(late) == 300
    assert all(decode(message.value, message.timestamp_ms, 0).hour == HOUR for message in late)
    assert all(message.timestamp_ms >= (HOUR + 1) * HOUR_MS for message in late)


def test_a_clean_span_tells_its_clicks():
    from ua_parser import parse

    (stretch,) = Shop(1, 2_000).span(HOUR * HOUR_MS, 60_000, 2_000, clean=True)
    assert len({message.key for message in stretch.messages}) == 2_000
    for message, counted in zip(stretch.messages, stretch.counted, strict=True):
        event = orjson.loads(message.value)
        device = parse(event["user_agent"]).device
        is_bot = device is not None and device.family == BOT_DEVICE
        assert counted == (event["event_type"] in CLICK_TYPES and not is_bot)
