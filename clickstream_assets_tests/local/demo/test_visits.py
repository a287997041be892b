import itertools
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from clickstream_assets.local.demo.browsers import BROWSERS, CRAWLERS
from clickstream_assets.local.demo.places import COUNTRIES
from clickstream_assets.local.demo.shop import PAGES
from clickstream_assets.local.demo.visits import demo_messages, live_messages
from clickstream_assets.settings import settings
from clickstream_assets_tests.acceptance import golden

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
HOUR_MS = 3_600_000
EVENTS = 40_000


@pytest.fixture(scope="module")
def history():
    return list(demo_messages(3, START, events=EVENTS))


@pytest.fixture(scope="module")
def outcomes(history):
    """Each message with what golden.py makes of it: an event, or the reason why not."""
    found = []
    for message in history:
        try:
            found.append((message, golden.parse(message.value, message.timestamp_ms, 1_767_225_600_000)))
        except golden.Refused as reason:
            found.append((message, str(reason)))
    return found


@pytest.fixture(scope="module")
def events(outcomes):
    return [(message, event) for message, event in outcomes if isinstance(event, dict)]


@pytest.mark.slow
def test_same_seed_and_start_same_messages(history):
    assert list(demo_messages(3, START, events=EVENTS)) == history


@pytest.mark.slow
def test_another_seed_or_start_has_no_event_id_in_common(history):
    ids = {message.key for message in history}
    for seed, start in ((4, START), (3, START + timedelta(milliseconds=1))):
        other = {message.key for message in demo_messages(seed, start, events=1000)}
        assert ids & other <= {None}


def test_a_history_has_its_number_and_ends_at_start(history):
    times = [message.timestamp_ms for message in history]
    assert len(history) == EVENTS
    assert times == sorted(times)
    assert times[0] == START_MS - 6 * HOUR_MS
    assert START_MS - 5 * 60_000 < times[-1] <= START_MS


@pytest.mark.parametrize(("number", "hours"), [(1, 6), (7, 0.5), (300, 48), (2000, 0.01)])
def test_small_long_and_dense_histories_keep_to_their_hours(number, hours):
    times = [message.timestamp_ms for message in demo_messages(1, START, events=number, hours=hours)]
    assert len(times) == number
    assert times == sorted(times)
    assert START_MS - round(hours * HOUR_MS) <= times[0] <= times[-1] <= START_MS


def test_every_hour_of_a_history_has_its_part(history):
    per_hour = Counter(message.timestamp_ms // HOUR_MS for message in history)
    assert len(per_hour) == 6
    assert max(per_hour.values()) < 1.3 * EVENTS / 6


@pytest.mark.slow
def test_bad_messages_are_few_and_of_every_reason(outcomes):
    reasons = Counter(event for _, event in outcomes if isinstance(event, str))
    assert 0.003 < reasons.total() / EVENTS < 0.007
    assert reasons.keys() == {
        "too_large", "invalid_encoding", "invalid_json", "not_an_object", "missing_field", "wrong_type",
        "invalid_text", "invalid_timestamp", "invalid_url", "timestamp_in_future", "before_first_partition",
    }  # fmt: skip


@pytest.mark.slow
def test_some_are_redelivered_a_moment_later_byte_for_byte(events):
    firsts, again = {}, 0
    for message, _ in events:
        first = firsts.setdefault(message.key, message)
        if first is not message:
            again += 1
            assert first.value == message.value
            assert message.timestamp_ms - first.timestamp_ms < 60_000
    assert 0.003 < again / EVENTS < 0.007


def test_some_are_late_by_hours_and_say_so(events):
    late = [message for message, event in events if message.timestamp_ms - event["ms"] > 30 * 60_000]
    assert 0.005 < len(late) / EVENTS < 0.02
    assert not any(b"sent_at" in message.value or b"sentAt" in message.value for message in late)


def test_the_rest_arrives_as_it_happens(events):
    delays = sorted(message.timestamp_ms - event["ms"] for message, event in events)
    assert delays[0] >= 0
    assert delays[len(delays) // 2] < 1000


def test_crawlers_are_about_three_in_a_hundred(events):
    from ua_parser import parse

    def family(agent):
        device = parse(agent).device
        return device.family if device else None

    assert all(family(agent) == "Spider" for agent, _ in CRAWLERS)
    assert not any(family(agent) == "Spider" for agent, _ in BROWSERS)
    assert 55 <= len({agent for agent, _ in BROWSERS + CRAWLERS}) <= 75
    crawlers = {agent for agent, _ in CRAWLERS}
    assert 0.015 < sum(event["ua"] in crawlers for _, event in events) / EVENTS < 0.05


@pytest.mark.slow
def test_types_users_and_spellings_are_mixed(events):
    types = Counter(event["type"] for _, event in events)
    assert types.keys() == {"page_view", "click", "scroll", "heartbeat", "purchase"}
    users = Counter(event["user"] for _, event in events)
    assert len(users) > 2000
    assert {kind for kind, _ in users} == {"user_id", "anonymous_id"}
    share = Counter()
    for message, _ in events:
        event = json.loads(message.value)
        share.update(name for name in ("messageId", "sent_at", "engagement_time_ms") if name in event)
        share["number"] += isinstance(event.get("user_id"), int)
        share["list"] += "," in (event.get("ip") or "")
        share["epoch"] += isinstance(event.get("timestamp"), int)
    assert min(share[name] for name in ("messageId", "sent_at", "engagement_time_ms", "number", "list", "epoch")) > 500


def test_pages_have_a_head_and_a_long_tail(events):
    assert 380 <= len(set(PAGES)) == len(PAGES) <= 450
    pages = Counter(event["url"] for _, event in events if event["type"] == "page_view")
    assert len(pages) > 380
    assert pages.most_common(10)[-1][1] > 5 * sorted(pages.values())[len(pages) // 2]
    assert {urlsplit(url).hostname for url in pages} == {"www.wanderlust.example"}
    raw = b"\n".join(message.value for message, _ in events)
    assert re.search(rb"WWW\.Wanderlust", raw)
    assert re.search(rb"utm_source=", raw)


@pytest.mark.slow
def test_most_clicks_have_a_known_time(events):
    visits = {}
    for _, event in events:
        visits.setdefault(event["user"], []).append(event)
    clicks = [
        golden._spent(sorted(visit, key=lambda event: event["ms"]), place)
        for visit in visits.values()
        for place, event in enumerate(sorted(visit, key=lambda event: event["ms"]))
        if event["type"] in golden.CLICK_TYPES
    ]
    known = [spent for spent in clicks if spent is not None]
    assert 0.5 < len(known) / len(clicks) < 0.98
    assert 5_000 < sorted(known)[len(known) // 2] < 60_000


@pytest.mark.slow
def test_addresses_geolocate_to_many_countries(events):
    maxminddb = pytest.importorskip("maxminddb")
    path = settings().geoip_database
    if not path.exists():
        pytest.skip(f"no GeoIP database at {path}")
    with maxminddb.open_database(path) as database:
        found = Counter()
        for _, event in events:
            address = golden._address(event["ip"])
            country = ((address and database.get(address)) or {}).get("country", {}).get("iso_code")
            found[country or "ZZ"] += 1
    assert found.keys() >= COUNTRIES.keys() - {"NZ", "UY"}
    assert found["ZZ"] / EVENTS < 0.1


def test_live_traffic_is_held_back_until_its_time_and_stamped_when_sent():
    clock = [1000.0]
    waits = []

    def wait(seconds):
        waits.append(seconds)
        clock[0] += seconds

    live = live_messages(1, rate=50, now=lambda: clock[0], wait=wait)
    messages = list(itertools.islice(live, 500))
    assert all(message.timestamp_ms is None for message in messages)
    assert clock[0] - 1000 == pytest.approx(10, abs=1.5)
    assert max(waits) < 1


def test_live_traffic_is_the_same_for_the_same_seed_and_start():
    def live():
        return live_messages(1, rate=1e4, start=datetime(2026, 1, 1, tzinfo=UTC))

    assert list(itertools.islice(live(), 100)) == list(itertools.islice(live(), 100))
