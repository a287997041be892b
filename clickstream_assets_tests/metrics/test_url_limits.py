"""Metrics under limits on urls: what an independent computation says, whatever came in which pieces before."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.events.url_limits import NO_LIMITS, OTHER, UrlLimits
from clickstream_assets.metrics import computing
from clickstream_assets.metrics.hourly_metrics import to_sketch
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.acceptance.limited import expect_limited
from clickstream_assets_tests.fakes.metrics_world import FIRST, MetricsWorld, bot, event, write_geoip
from clickstream_assets_tests.fakes.servers import HOUR_MS
from clickstream_assets_tests.hard_cases import BRITISH, GERMAN

HOUR = FIRST + 3
AT = HOUR * HOUR_MS
MINUTE = 60_000
HOSTS = ("shop.example", "*.shop.example")
URLS = tuple(
    f"https://{host}/{page}" for host in ("shop.example", "m.shop.example", "evil.example:81") for page in "abc"
)


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    return write_geoip(tmp_path_factory.mktemp("geoip") / "City.mmdb")


@pytest.fixture
def make(geoip, monkeypatch):
    return lambda **more: MetricsWorld(monkeypatch, geoip, **more)


def on(url, number, minute, user, **fields):
    return json.dumps(json.loads(event(number, AT + minute * MINUTE, user, **fields)) | {"url": url}).encode()


def rows_of(world):
    rows = {}
    for cells in world.metrics().values():
        row = METRICS.decode(cells)
        rows[f"{rfc3339_of_hour(row['hour'])}|{row['url']}|{row['country']}"] = row
    return rows


def assert_as_expected(world, *, hosts=(), most=0):
    expected, _ = expect_limited(world.lines, world.geoip, rfc3339_of_hour(FIRST)[:13], hosts=hosts, most=most)
    rows = rows_of(world)
    assert golden.compare(expected, rows) == []
    for name, row in rows.items():
        assert round(to_sketch(row["users_sketch"]).get_estimate()) == row["unique_users"], name
    world.assert_indexed()


def differences(world):
    found, unfit = computing.compute(
        world.spark, world.books, world.hours, "", world.hours, limits=world.limits, dry_run=True
    )
    assert not unfit
    return {hour: of_hour.named for hour, of_hour in found.items() if of_hour.named}


batches = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(URLS),
            st.integers(0, 70),
            st.sampled_from("abc"),
            st.fixed_dictionaries(
                {
                    "event_type": st.sampled_from(["page_view", "page_view", "click", "scroll", "page_leave"]),
                    "ip": st.sampled_from([GERMAN, BRITISH]),
                }
            ),
        ),
        max_size=8,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=80, derandomize=True)
@given(batches, st.sampled_from([(), HOSTS]), st.integers(0, 4), st.booleans())
def test_any_events_in_any_pieces_end_as_computed_at_once(geoip, drawn, hosts, most, in_slices):
    limits = UrlLimits.of(hosts, most)
    with pytest.MonkeyPatch.context() as patch:
        if in_slices:
            patch.setattr(computing, "LARGE_BYTES", 300)
        world = MetricsWorld(patch, geoip, limits=limits)
        for at, batch in enumerate(drawn):
            world.send(*(on(url, f"{at} {n}", minute, user, **f) for n, (url, minute, user, f) in enumerate(batch)))
            world.update()
            assert_as_expected(world, hosts=hosts, most=most)
            assert differences(world) == {}


def test_another_hosts_urls_are_one_whose_users_count_once_and_whose_time_is_that_of_its_views(make):
    world = make(limits=UrlLimits.of(HOSTS))
    world.send(
        on("https://shop.example/a", "1", 0, "ada"),
        on("https://evil.example/a", "2", 1, "ada"),
        on("https://evil.example/b", "3", 2, "ada"),
        on("https://evil.example/b", "4", 2.5, "ada", event_type="page_leave"),
        on("https://evil.example/a", "5", 3, "ada", event_type="page_leave"),
        on("https://evil.example/a", "6", 4, "bob", ip=BRITISH),
    )
    done = world.update()
    rows = rows_of(world)
    hour = rfc3339_of_hour(HOUR)
    assert {key.removeprefix(f"{hour}|"): (row["clicks"], row["unique_users"]) for key, row in rows.items()} == {
        "https://shop.example/a|DE": (1, 1), "(other)|DE": (2, 1), "(other)|GB": (1, 1),
    }  # fmt: skip
    # On /a until /b is viewed; leaving /a does not end the view of /b, leaving /b does.
    assert rows[f"{hour}|(other)|DE"]["time_spent_seconds"] == 60 + 30
    assert (done[HOUR].clicks, done[HOUR].other_clicks, done[HOUR].urls) == (4, 3, 2)
    assert_as_expected(world, hosts=HOSTS)


def test_the_most_clicked_urls_stay_however_many_are_made_up(make):
    world = make(limits=UrlLimits(most=2))
    real = [on(f"https://shop.example/{page}", f"{page}{n}", n, f"u{n}") for page in "ab" for n in range(3)]
    world.send(*real[:5])
    world.update()
    world.send(*(on(f"https://shop.example/made-up/{n}", f"m{n}", n % 60, "mallory") for n in range(50)), bot("b", AT))
    done = world.update()
    assert (done[HOUR].is_bounded, done[HOUR].other_clicks, done[HOUR].rows) == (True, 50, 3)
    other = rows_of(world)[f"{rfc3339_of_hour(HOUR)}|{OTHER}|DE"]
    assert (other["clicks"], other["unique_users"]) == (50, 1)
    world.send(*real[5:])
    world.update()
    assert_as_expected(world, most=2)


def test_a_url_that_comes_to_be_clicked_more_changes_places_with_another(make):
    world = make(limits=UrlLimits(most=1))
    world.send(on("https://h.example/a", "1", 0, "ada"), on("https://h.example/a", "2", 1, "bob"))
    world.update()
    world.send(on("https://h.example/b", "3", 2, "ada"))
    world.update()
    world.send(*(on("https://h.example/b", f"b{n}", 3 + n, "cid") for n in range(2)))
    world.update()
    clicks = {row["url"]: row["clicks"] for row in rows_of(world).values()}
    assert clicks == {"https://h.example/b": 3, OTHER: 2}
    assert_as_expected(world, most=1)


def test_up_to_the_bound_what_is_new_is_added_to_what_was_there(make):
    world = make(limits=UrlLimits.of(HOSTS, 2))
    world.send(on("https://shop.example/a", "1", 0, "ada"), on("https://evil.example/1", "2", 1, "eve"))
    world.update()
    world.send(on("https://shop.example/b", "3", 2, "ada"), on("https://evil.example/2", "4", 3, "eve"))
    done = world.update()
    assert not done[HOUR].is_bounded
    assert done[HOUR].named == [], "nothing was compared row by row"
    assert_as_expected(world, hosts=HOSTS, most=2)


@pytest.mark.parametrize("limits", [UrlLimits.of(HOSTS), UrlLimits(most=1)])
def test_an_hour_that_was_computed_under_other_limits_is_computed_whole(make, limits):
    world = make()
    world.send(on("https://evil.example/a", "1", 0, "ada"), on("https://shop.example/a", "2", 1, "ada"))
    world.update()
    named = {"hosts": HOSTS} if limits.hosts else {"most": limits.most}
    for of_now, what in ((limits, named), (NO_LIMITS, {})):
        world.limits = of_now
        assert differences(world)
        world.send(on("https://evil.example/a", f"more {what}", 5, "ada"))
        world.update()
        assert_as_expected(world, **what)


def test_a_checkpoint_without_limits_is_as_it_was_before_there_were_any(make):
    world = make()
    world.send(event("1", AT, "ada"))
    world.update()
    checkpoint = Checkpoints(world.books).read([HOUR])[HOUR]
    assert (checkpoint.limits, checkpoint.sums.is_bounded, checkpoint.sums.other_clicks) == ("", False, 0)
